"""`relsim evaluate mteb`: tasks made of a labelled collection, run by mteb itself."""

import json

import pytest

pytest.importorskip("mteb")


@pytest.fixture
def colours(plain_images, tmp_path):
    """Two reds, two blues and a green, with captions that name the colour."""
    names = {"r1": "red", "r2": (250, 5, 5), "b1": "blue", "b2": (5, 5, 250), "g": "green"}
    plain_images(tmp_path / "images", {f"{name}.png": colour for name, colour in names.items()})
    words = {"r": "red", "b": "blue", "g": "green"}
    rows = [{"image_hash": name, "caption": f"A {words[name[0]]} thing", "relation": name[0]} for name in names]
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "manifest.jsonl"


def test_both_tasks_by_an_encoder_with_sentences(document, colours):
    found = document("evaluate", "mteb", colours, "--encoder", "fake", "--name", "Colours")
    scores = found["methods"]["fake"]["tasks"]
    assert list(scores) == ["ColoursI2IRetrieval", "ColoursT2IRetrieval"]
    assert scores["ColoursI2IRetrieval"]["ndcg_at_10"] == scores["ColoursT2IRetrieval"]["hit_rate_at_1"] == 1
    assert found["methods"]["fake"]["fingerprint"]["encoder"] == "fake"


def test_an_encoder_without_sentences_runs_the_task_of_pictures(verb, colours):
    result = verb("evaluate", "mteb", colours, "--encoder", "descriptors-colour", "--encoder", "fake")
    assert result.exit_code == 0, result.stderr
    assert "descriptors-colour has no sentences, so CollectionT2IRetrieval is passed over" in result.stderr
    header, *rows = [line.split() for line in result.stdout.splitlines()]
    assert header == ["ndcg@10", "map@10", "recall@10", "hit_rate@1", "task", "encoder"]
    assert [row[-2:] for row in rows] == [
        ["CollectionI2IRetrieval", "descriptors-colour"],
        ["CollectionI2IRetrieval", "fake"],
        ["CollectionT2IRetrieval", "fake"],
    ]


def test_what_makes_no_task_is_told(refused, verb, colours):
    assert "no task can be made" in refused("evaluate", "mteb", colours.parent / "images", "--encoder", "fake")
    assert verb("evaluate", "mteb", colours, "--name", "a b").exit_code == 2
    assert verb("evaluate", "mteb", colours, "--encoder", "fake", "--label", "colour").exit_code == 2
