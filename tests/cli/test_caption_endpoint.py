"""`relsim caption --endpoint`: captions of single pictures, asked of a server."""

import json

import pytest


@pytest.fixture
def flags(server):
    return ["--endpoint", server.url, "--model", "tiny-vlm", "--greedy"]


def test_captions_are_written_and_gone_on_with(verb, server, chat_server, golden, golden_paths, flags, tmp_path):
    """Recipe and question are the folder's; pictures whose rows are there are not asked about again."""
    out = tmp_path / "captions.jsonl"
    words = [*flags, "-c", golden / "captioner", "--max-new-tokens", 9, "--out", out, "--set", "top_k=50"]
    assert verb("caption", *golden_paths[:2], *words).exit_code == 0
    assert verb("caption", *golden_paths[:4], *words).exit_code == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["caption"] for row in rows] == ["Growth of {Subject} over time"] * 4
    assert len(server.asked) == 4
    for body in server.asked:
        assert (body["model"], body["max_tokens"], body["temperature"], body["top_k"]) == ("tiny-vlm", 9, 0, 50)
        assert chat_server.pictures(body)[0][1].size == (448, 448)


def test_document_tells_the_model(document, golden_paths, flags):
    found = document("caption", golden_paths[0], *flags)
    assert found["fingerprint"]["captioner"] == "endpoint:tiny-vlm"
    assert found["fingerprint"]["recipe"] == "squash448"


def test_answers_are_kept_where_they_are_asked_to_be(verb, server, golden_paths, flags, tmp_path):
    for _ in range(2):
        verb("caption", golden_paths[0], *flags, "--replies", tmp_path / "replies")
    assert len(server.asked) == 1


def test_picture_without_an_answer_is_told(verb, server, golden_paths, flags):
    server.text = lambda body: ""
    result = verb("caption", golden_paths[0], *flags)
    assert result.exit_code == 3
    assert "empty: an empty text" in result.stderr


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--endpoint", "{url}"], "an endpoint needs the name of its model: --model NAME"),
        (["--endpoint", "{url}", "--model", "x", "--device", "cpu"], "--device is for a model that runs here"),
        (["--endpoint", "nowhere", "--model", "x"], "no address of an endpoint"),
        (["--model", "x"], "--model and --set are for an endpoint"),
        (["--endpoint", "{url}", "--model", "x", "--recipe", "round"], "--recipe"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(refused, server, golden_paths, words, fault):
    assert fault in refused("caption", golden_paths[0], *(word.format(url=server.url) for word in words))
