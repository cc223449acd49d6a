"""`relsim judge` against a real local server, with faults, kills and a model on this machine."""

import json
import shutil
import signal
import socket
import time

import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from relsim.endpoint.messages import Picture
from relsim.evaluation.judge_prompts import PROMPTS
from relsim.evaluation.statistics import bootstrap_difference, bootstrap_mean
from relsim.world.gallery import write_gallery

PUBLISHED_ROW = ["query_id", "query_image", "retrieved_image", "method", "rank", "response", "score"]
SUMMARY = ["total_pairs", "valid_pairs", "average_score", "min_score", "max_score"]


@pytest.fixture
def server(server):
    """It rates every pair 8 unless told otherwise."""
    server.text = "8"
    return server


@pytest.fixture
def flags(server, tmp_path):
    """Options of every call: the server, the document, and one question at once, so that faults have an order."""
    return [
        *("--endpoint", server.url, "--model", "tiny-vlm", "--out", tmp_path / "judged.json"),
        *("--concurrency", 1, "--timeout", 10),
    ]


@pytest.fixture
def run_of(tmp_path):
    """`run_of({method: [[match, …], …]})` writes a published run with queries q0, q1, …; the image n is 20 + n wide."""

    def write(methods):
        folder = tmp_path / "images"
        folder.mkdir(exist_ok=True)

        def image(number):
            path = folder / f"{number}.png"
            if not path.exists():
                Image.new("RGB", (20 + number, 16), (number * 5 % 256, 90, 40)).save(path)
            return f"images/{number}.png"

        run = {
            method: [
                {
                    "query_image_id": f"{query}",
                    "query_image_path": image(query),
                    "top_k_image_ids": [f"{match}" for match in matches],
                    "top_k_image_paths": [image(match) for match in matches],
                    "top_k_scores": [0.9 - 0.1 * rank for rank in range(len(matches))],
                }
                for query, matches in enumerate(found)
            ]
            for method, found in methods.items()
        }
        path = tmp_path / "retrieved_images.json"
        path.write_text(json.dumps(run))
        return path

    return write


@pytest.fixture
def numbers(chat_server):
    """Which images a request shows, in their order."""
    return lambda body: tuple(image.width - 20 for _, image in chat_server.pictures(body))


def rows(document, method):
    return document["detailed_results"][method]


def test_each_pair_is_asked_about_in_both_orders_and_the_output_is_the_published_one(
    server, run_of, flags, document, numbers, tmp_path
):
    server.text = lambda body: {(0, 7): "9", (7, 0): "8", (1, 8): "3/10", (8, 1): "Score: 2"}[numbers(body)]
    path = run_of({"relsim": [[7, 9], [8, 9]]})
    found = document("judge", path, *flags)
    assert sorted(map(numbers, server.asked)) == [(0, 7), (1, 8), (7, 0), (8, 1)]
    assert found == json.loads((tmp_path / "judged.json").read_text())
    assert found["config"] == {"json_path": str(path), "top_k": 1, "methods": ["relsim"]}
    assert list(found["summary"]["relsim"].items()) == list(zip(SUMMARY, [2, 2, 5.5, 2.5, 8.5], strict=True))
    first, second = rows(found, "relsim")
    assert list(first)[:7] == PUBLISHED_ROW
    assert [first[name] for name in PUBLISHED_ROW] == [
        *("0", str(tmp_path / "images" / "0.png"), str(tmp_path / "images" / "7.png"), "relsim", 1, "9", 8.5)
    ]
    assert [(rating["order"], rating["score"], rating["response"]) for rating in second["ratings"]] == [
        ("query first", 3, "3/10"),
        ("match first", 2, "Score: 2"),
    ]
    assert found["methods"]["relsim"]["order_bias"] == bootstrap_mean([1.0, 1.0]).to_json()
    assert found["methods"]["relsim"]["mean"] == bootstrap_mean([8.5, 2.5]).to_json()
    assert found["methods"]["relsim"]["repeat_spread"] is None


def test_the_model_sees_a_prompt_and_two_pictures_and_no_name_of_a_method(server, run_of, flags, verb):
    names = ["secret-method-a", "secret-method-b"]
    assert verb("judge", run_of({name: [[5 + n]] for n, name in enumerate(names)}), *flags).exit_code == 0
    assert len(server.asked) == 4
    for body in server.asked:
        assert "secret" not in json.dumps(body)
        system, user = body["messages"]
        assert system == {"role": "system", "content": "You are a helpful assistant."}
        assert [part["type"] for part in user["content"]] == ["text", "image_url", "image_url"]
        assert user["content"][0]["text"] == PROMPTS["published"].text
        assert (body["temperature"], "response_format" in body) == (0, False)


def test_questions_are_shuffled_by_the_seed(server, run_of, flags, verb, numbers, tmp_path):
    path = run_of({"a": [[10 + n] for n in range(6)], "b": [[20 + n] for n in range(6)]})
    orders = []
    for seed, replies in ((1, "x"), (1, "y"), (2, "z")):
        del server.asked[:]
        assert verb("judge", path, *flags, "--seed", seed, "--replies", tmp_path / replies).exit_code == 0
        orders.append([numbers(body) for body in server.asked])
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2])
    assert orders[0] != sorted(orders[0])


def test_what_two_methods_found_is_asked_about_once_and_counts_for_both(server, run_of, flags, document):
    found = document("judge", run_of({"a": [[5]], "b": [[5]]}), *flags, "--price-in", 2, "--price-out", 10)
    assert len(server.asked) == found["asked_now"] == 2
    assert [rows(found, method)[0]["score"] for method in "ab"] == [8, 8]
    cost = (2 * 1000 * 2 + 2 * 20 * 10) / 1e6
    assert found["usage_now"] == {"input_tokens": 2000, "output_tokens": 40, "unreported": 0, "cost": cost}
    again = document("judge", run_of({"a": [[5]], "b": [[5]]}), *flags, "--price-in", 2, "--price-out", 10)
    assert (again["asked_now"], again["usage_now"]["cost"], again["usage_ever"]["cost"]) == (0, 0, cost)
    assert {**again, "asked_now": 2, "usage_now": found["usage_now"]} == found


def test_methods_are_compared_on_the_queries_that_both_have_a_score_for(server, run_of, flags, document, numbers):
    """The match n has the score n; method a has none for query 1."""
    server.text = lambda body: "prose" if 9 in numbers(body) else str(max(numbers(body)) / 10)
    path = run_of({"a": [[50], [9], [70], [60]], "b": [[40], [41], [42], [43]], "c": [[50], [41], [90], [80]]})
    found = document("judge", path, *flags, exits=3)
    first = found["comparisons"][0]
    expected = bootstrap_difference([5.0, 7.0, 6.0], [4.0, 4.2, 4.3])
    assert {name: first[name] for name in ("first", "second", "metric")} == {
        "first": "a",
        "second": "b",
        "metric": "score",
    }
    assert {name: first[name] for name in ("value", "low", "high", "count")} == expected.to_json()
    assert first["p"] == 0.25  # all three differences have one sign: 2 of the 8 patterns are as far from 0
    assert [(item["first"], item["second"], item["count"]) for item in found["comparisons"]] == [
        *(("a", "b", 3), ("a", "c", 3), ("b", "c", 4))
    ]
    assert all(item["p"] <= item["p_holm"] <= 1 for item in found["comparisons"])
    assert found["summary"]["a"]["valid_pairs"] == 3
    assert found["methods"]["a"]["valid"]["value"] == 0.75


def test_repeats_are_asked_anew_and_their_spread_is_told(server, run_of, flags, document, numbers):
    given = {(0, 5): iter(["4", "6", "8"]), (5, 0): iter(["7", "7", "7"])}
    server.text = lambda body: next(given[numbers(body)])
    found = document("judge", run_of({"a": [[5]]}), *flags, "--repeats", 3)
    assert [body["messages"] for body in server.asked].count(server.asked[0]["messages"]) == 3
    (row,) = rows(found, "a")
    assert (row["score"], len({rating["reply"] for rating in row["ratings"]})) == (6.5, 6)
    assert found["repeat_spread"]["value"] == pytest.approx((np.std([4, 6, 8], ddof=1) + 0) / 2)
    assert found["order_bias"]["value"] == -1
    assert document("judge", run_of({"a": [[5]]}), *flags, "--repeats", 3)["asked_now"] == 0
    assert document("judge", run_of({"a": [[5]]}), *flags, "--repeats", 2)["asked_now"] == 0


def test_one_order_shows_the_query_first(server, run_of, flags, document, numbers):
    found = document("judge", run_of({"a": [[5, 6], [7, 8]]}), *flags, "--one-order", "--top-k", 2, "--limit", 1)
    assert sorted(map(numbers, server.asked)) == [(0, 5), (0, 6)]
    assert (found["order_bias"], found["summary"]["a"]["total_pairs"]) == (None, 2)
    assert [row["rank"] for row in rows(found, "a")] == [1, 2]


def test_replies_without_a_score_are_statuses_and_never_numbers(
    server, chat_server, run_of, flags, verb, document, tmp_path
):
    said, whole = chat_server.saying, chat_server.completion
    faults = {
        "ok": chat_server.answer,
        "unparsed": said(whole("I'd say 7 or 8")),
        "out_of_range": said(whole("11")),
        "refused": said(whole(None, refusal="I will not")),
        "truncated": said(whole("1", finish="length")),
        "endpoint_error": said(b'{"choices": [{"mess'),
    }
    server.then(*faults.values(), chat_server.status(400, content=b"too many pictures"))
    path = run_of({"a": [[10 + n] for n in range(7)]})
    result = verb("judge", path, *flags, "--one-order")
    assert result.exit_code == 3
    found = json.loads((tmp_path / "judged.json").read_text())
    assert found["methods"]["a"]["statuses"] == {**dict.fromkeys(faults, 1), "endpoint_error": 2}
    assert [row["score"] for row in rows(found, "a") if row["status"] == "ok"] == [8]
    assert all(row["score"] is None and row["reason"] for row in rows(found, "a") if row["status"] != "ok")
    assert list(found["summary"]["a"].values()) == [7, 1, 8, 8, 8]
    assert found["methods"]["a"]["valid"]["value"] == pytest.approx(1 / 7)
    assert "6 of 7 pairs without a score" in result.stderr
    asked = len(server.asked)
    assert document("judge", path, *flags, "--one-order", exits=3)["asked_now"] == len(server.asked) - asked == 1
    assert document("judge", path, *flags, "--one-order", "--ask-again")["asked_now"] == 5


def test_faults_that_pass_leave_no_trace(server, chat_server, run_of, flags, document):
    server.then(
        chat_server.status(429, {"Retry-After": "0.1"}), chat_server.status(500), chat_server.cut, chat_server.slow(0.1)
    )
    found = document("judge", run_of({"a": [[5]]}), *flags)
    assert (found["summary"]["a"]["average_score"], found["asked_now"], len(server.asked)) == (8, 2, 5)


def test_a_pair_with_one_order_alone_has_no_score(server, run_of, flags, document, numbers):
    server.text = lambda body: "9" if numbers(body) == (0, 5) else "They are alike."
    (row,) = rows(document("judge", run_of({"a": [[5]]}), *flags, exits=3), "a")
    assert (row["score"], row["status"]) == (None, "unparsed")
    assert [rating["score"] for rating in row["ratings"]] == [9, None]


def test_strict_asks_for_json_and_keeps_the_reasons(server, run_of, flags, document):
    server.text = '{"reason": "both grow", "score": 7}'
    found = document("judge", run_of({"a": [[5]]}), *flags, "--prompt", "strict")
    assert [body["response_format"] for body in server.asked] == [{"type": "json_object"}] * 2
    assert server.asked[0]["messages"][1]["content"][0]["text"] == PROMPTS["strict"].text
    (row,) = rows(found, "a")
    assert (row["score"], row["ratings"][0]["reason"]) == (7, "both grow")
    assert (found["asked_now"], found["usage_now"]["input_tokens"]) == (2, 2000)


def test_a_server_without_json_mode_is_asked_without_and_nothing_twice(server, chat_server, run_of, flags, document):
    refusal = chat_server.status(400, content=b'{"error": {"message": "response_format is not supported"}}')
    server.then(refusal)
    server.text = '```json\n{"score": 7}\n```'
    found = document("judge", run_of({"a": [[5], [6]]}), *flags, "--prompt", "strict")
    assert ["response_format" in body for body in server.asked] == [True, False, False, False, False]
    assert (found["summary"]["a"]["average_score"], found["asked_now"]) == (7, 4)
    assert "response_format" not in found["fingerprint"]["settings"]
    assert document("judge", run_of({"a": [[5], [6]]}), *flags, "--prompt", "strict")["asked_now"] == 0
    assert len(server.asked) == 5


def test_a_prompt_of_ones_own_is_sent_and_told(server, run_of, flags, document, tmp_path):
    (tmp_path / "mine.txt").write_text("How alike? Number from 0 to 10.\n")
    found = document("judge", run_of({"a": [[5]]}), *flags, "--prompt", tmp_path / "mine.txt")
    assert server.asked[0]["messages"][1]["content"][0]["text"] == "How alike? Number from 0 to 10."
    assert found["prompt"] == {"name": "mine.txt", "text": "How alike? Number from 0 to 10."}
    digests = {prompt.digest for prompt in PROMPTS.values()}
    assert found["fingerprint"]["prompt"] not in digests


def test_azure_is_asked_by_deployment_and_version_with_its_own_kind_of_key(
    server, run_of, flags, document, monkeypatch
):
    monkeypatch.setenv("AZURE_KEY", "sk-azure")
    server.path = "/openai/deployments/tiny-vlm/chat/completions?api-version=2024-10-21"
    address = server.url.removesuffix("/v1")
    words = ["--endpoint", address, "--api-version", "2024-10-21", "--key-variable", "AZURE_KEY"]
    assert document("judge", run_of({"a": [[5]]}), *flags, *words)["asked_now"] == 2
    assert {headers.get("api-key") for headers in server.headers} == {"sk-azure"}


def test_a_list_of_pairs_and_images_of_shards(server, flags, document, make_shards, tmp_path, numbers):
    files = {}
    for number in range(4):
        Image.new("RGB", (20 + number, 16), "red").save(tmp_path / "x.png")
        files[f"id{number}"] = (tmp_path / "x.png").read_bytes()
    shards = make_shards(tmp_path / "shards", files)
    lines = [
        {"a": "id0", "b": "id1", "method": "m"},
        {"a": "id0", "b": "id2", "query": "Q", "rank": 2, "method": "m"},
        {"a": "id3", "b": "gone"},
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = document("judge", tmp_path / "pairs.jsonl", *flags, "--images", shards, exits=3)
    assert sorted(map(numbers, server.asked)) == [(0, 1), (0, 2), (1, 0), (2, 0)]
    assert [(row["query_id"], row["rank"], row["score"]) for row in rows(found, "m")] == [("id0", 1, 8), ("Q", 2, 8)]
    (row,) = rows(found, "pairs")
    assert (row["status"], row["retrieved_id"], row["response"]) == ("bad_image", "gone", "Error: no such file")


def test_images_of_a_folder_are_found_by_published_ids_and_broken_ones_cost_only_their_pairs(
    server, run_of, flags, document, tmp_path
):
    path = run_of({"a": [[5], [6]]})
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "6.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    found = document("judge", path, *flags, "--images", tmp_path / "elsewhere", exits=3)
    assert [(row["status"], row["score"]) for row in rows(found, "a")] == [("ok", 8), ("bad_image", None)]
    assert len(server.asked) == 2


def test_a_run_that_was_killed_goes_on_and_asks_nothing_twice(start, server, run_of, flags, tmp_path, document):
    """The server answers some questions and then holds its breath; the command is killed and started again."""
    path = run_of({"a": [[10 + n] for n in range(5)], "b": [[20 + n] for n in range(5)]})
    replies = tmp_path / "judged.replies"

    def text(_):
        if len(server.answered) >= 6:
            server.free.clear()
        return "8"

    server.text = text
    process = start("judge", path, *flags, "--concurrency", 3)
    try:
        deadline = time.monotonic() + 90
        while not (
            len(server.asked) == len(server.answered) + 3
            and len(list(replies.glob("*/*.json"))) == len(server.answered) >= 7
        ):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    given = {json.dumps(body) for body in server.answered}
    assert not (tmp_path / "judged.json").exists()
    before = len(server.asked)
    server.text = "8"
    server.free.set()
    found = document("judge", path, *flags)
    asked = [json.dumps(body) for body in server.asked[before:]]
    assert found["asked_now"] == len(asked) == 20 - len(given)
    assert given.isdisjoint(asked)
    assert len(given | set(asked)) == 20
    assert [found["summary"][method]["valid_pairs"] for method in "ab"] == [5, 5]


def test_without_a_network_it_ends_in_one_line_and_writes_nothing(refused, run_of, flags, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ("--endpoint", f"http://127.0.0.1:{port}/v1", "--tries", 1)
    told = refused("judge", run_of({"a": [[10 + n] for n in range(6)]}), *flags, *words)
    assert "gave no answer to 8 questions in a row" in told
    assert not (tmp_path / "judged.json").exists()


def test_a_full_disk_is_told_and_what_is_kept_is_not_asked_again(
    refused, document, server, run_of, flags, small_disk, tmp_path
):
    disk, remount = small_disk
    path = run_of({"a": [[10 + n] for n in range(15)]})
    server.text = '{"score": 8, "reason": "' + "so it is, " * 5_000 + '"}'
    assert "no space left" in refused("judge", path, *flags, "--replies", disk / "r")
    kept = len(list((disk / "r").glob("*/*.json")))
    remount("size=20m")
    assert 0 < kept < 30
    assert document("judge", path, *flags, "--replies", disk / "r")["asked_now"] == 30 - kept


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--endpoint", "localhost"], "is no address of an endpoint"),
        (["--prompt", "nothing"], "neither published nor strict nor a file"),
        (["--method", "x"], "has no method x; it has a"),
        (["--images", "nowhere"], "nowhere: no such file"),
        (["--price-in", 1], "both prices"),
        (["--set", "x"], "NAME=VALUE"),
        (["--model", "local:nowhere"], "takes no --endpoint"),
        (["--device", "cpu"], "for a model on this machine"),
    ],
)
def test_wrong_options_are_told_before_anything_is_sent(refused, server, run_of, flags, options, told):
    assert told in refused("judge", run_of({"a": [[5]]}), *flags, *options)
    assert server.asked == []


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("r.json", "[]", "no object with a list for each method"),
        ("r.json", '{"a": [{}]}', "entry 1 of a has no query_image_id"),
        ("r.json", '{"a": [{"query_image_id": "x"}]}', "top_k_image_ids must be a list"),
        ("r.json", '{"a": []}', "has no pairs to judge"),
        ("r.json", "{", "is not JSON"),
        ("p.jsonl", '{"a": "x"}', "line 1: b must be there"),
        ("p.jsonl", '{"a": "x", "b": "y", "rank": 0}', "rank must be a whole number"),
    ],
)
def test_files_that_are_neither_form_are_refused(refused, server, flags, tmp_path, name, content, told):
    (tmp_path / name).write_text(content)
    assert told in refused("judge", tmp_path / name, *flags)
    assert server.asked == []


@pytest.fixture
def judged_of(server, run_of, flags, verb, numbers, tmp_path):
    """A judged document of 30 queries, whose scores are returned by query."""
    rng = np.random.default_rng(4)
    scores = {query: int(score) for query, score in enumerate(rng.integers(0, 11, 30))}
    server.text = lambda body: str(scores[min(numbers(body))])
    path = run_of({"a": [[40 + query] for query in range(30)]})
    assert verb("judge", path, *flags, "--one-order").exit_code == 0
    return tmp_path / "judged.json", scores


class TestAgreement:
    """`relsim judge agreement` against scikit-learn and scipy."""

    @pytest.fixture
    def people(self, judged_of):
        """Ratings of two people for all queries but the last, by query."""
        rng = np.random.default_rng(5)
        _, scores = judged_of
        return {query: np.clip(scores[query] + rng.integers(-3, 4, 2), 0, 10) for query in range(29)}

    @pytest.mark.parametrize("form", ["csv", "json", "jsonl"])
    def test_it_is_that_of_the_libraries(self, judged_of, people, document, tmp_path, form):
        path, scores = judged_of
        ratings = [
            {"query_id": str(query), "retrieved_id": f"{40 + query}.png", "score": int(score), "rater": rater}
            for query, given in people.items()
            for rater, score in enumerate(given)
        ]
        ratings.append({"query_id": "other", "retrieved_id": "x", "score": 5, "rater": 0})
        file = tmp_path / f"human.{form}"
        text = {
            "csv": "\n".join([",".join(ratings[0]), *(",".join(map(str, row.values())) for row in ratings)]),
            "json": json.dumps(ratings),
            "jsonl": "\n".join(map(json.dumps, ratings)),
        }
        file.write_text(text[form])
        found = document("judge", "agreement", path, file)
        judge = [scores[query] for query in people]
        human = [float(given.mean()) for given in people.values()]
        whole = np.floor(np.array(human) + 0.5).astype(int)
        assert (found["pairs"], found["queries"], found["ratings"], found["human_only"]) == (29, 29, 59, 1)
        kappa = cohen_kappa_score(judge, whole, weights="quadratic", labels=range(11))
        assert found["weighted_kappa"]["value"] == pytest.approx(kappa, abs=1e-12)
        assert found["spearman"]["value"] == pytest.approx(spearmanr(judge, human).statistic, abs=1e-12)
        gaps = np.subtract(judge, human)
        assert found["mean_absolute_difference"] == pytest.approx(bootstrap_mean(np.abs(gaps)).to_json())
        assert found["mean_difference"] == pytest.approx(bootstrap_mean(gaps).to_json())
        assert found["spearman"]["low"] < found["spearman"]["value"] < found["spearman"]["high"] <= 1

    def test_a_published_document_is_read_as_well(self, judged_of, document, tmp_path):
        path, _ = judged_of
        whole = json.loads(path.read_text())
        kept = [{name: row[name] for name in PUBLISHED_ROW} for row in rows(whole, "a")]
        published = {**{name: whole[name] for name in ("config", "summary")}, "detailed_results": {"a": kept}}
        (tmp_path / "published.json").write_text(json.dumps(published))
        (tmp_path / "h.csv").write_text(
            f"query_id,retrieved_id,score\n0,40,{kept[0]['score']}\n1,41,{kept[1]['score']}\n"
        )
        found = document("judge", "agreement", tmp_path / "published.json", tmp_path / "h.csv")
        assert (found["pairs"], found["mean_absolute_difference"]["value"]) == (2, 0)

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("query_id,score\n1,2\n", "no column retrieved_id"),
            ("query_id,retrieved_id,score\n0,40,11\n", "'11' is no number from 0 to 10"),
            ("query_id,retrieved_id,score\n0,,5\n", "must be there"),
            ("query_id,retrieved_id,score\n", "has no ratings"),
            ("query_id,retrieved_id,score\nx,y,5\n", "must use the same query_id"),
        ],
    )
    def test_ratings_that_cannot_be_used_are_told(self, judged_of, refused, tmp_path, text, told):
        (tmp_path / "h.csv").write_text(text)
        assert told in refused("judge", "agreement", judged_of[0], tmp_path / "h.csv")

    def test_something_else_is_no_judged_document(self, refused, tmp_path):
        (tmp_path / "x.json").write_text("{}")
        assert "is no judged document" in refused("judge", "agreement", tmp_path / "x.json", tmp_path / "x.json")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The pictures that a calibration draws itself where they are missing."""
    return write_gallery(tmp_path_factory.mktemp("world") / "w", count=0, triplets=6, size=64, workers=1).folder


class TestCalibrate:
    """`relsim judge calibrate` with servers that know the truth of the drawn pictures."""

    @pytest.fixture
    def calibrate(self, server, document, drawn, tmp_path):
        """Calibrates a judge whose score is a function of two manifest rows."""
        shutil.copytree(drawn, tmp_path / "out" / "world-6-64-0")
        flags = ["--endpoint", server.url, "--model", "tiny-vlm", "--count", 6, "--size", 64, "--one-order"]

        def run(score):
            world = {}

            def text(body):
                if not world:
                    for line in (drawn / "manifest.jsonl").read_text().splitlines():
                        row = json.loads(line)
                        data = (drawn / "images" / f"{row['image_hash']}.png").read_bytes()
                        world[Picture(data, 64).data_url()] = row
                shown = [part["image_url"]["url"] for part in body["messages"][1]["content"][1:]]
                return str(score(*(world[url] for url in shown)))

            server.text = text
            return document("judge", "calibrate", *flags, "--concurrency", 1, "--out", tmp_path / "out")

        return run

    def test_a_judge_of_relations_separates_them(self, calibrate, server, tmp_path):
        found = calibrate(lambda a, b: 9 if a["relation"] == b["relation"] else 1)
        values = {kind: mean["value"] for kind, mean in found["means"].items()}
        assert values == {"relation": 9, "look": 1, "both": 9, "neither": 1}
        assert {name: item["value"] for name, item in found["accuracy"].items()} == {"conflict": 1, "aligned": 1}
        areas = {name: item["value"] for name, item in found["auc"].items()}
        assert areas == {"all": 1, "conflict": 1, "aligned": 1, "look": 0.5}
        assert json.loads((tmp_path / "out" / "calibration.json").read_text()) == found
        assert len(server.asked) == found["pairs"] == 24

    def test_a_judge_of_looks_fails_where_they_conflict_and_asks_nothing_twice(self, calibrate, server):
        found = calibrate(lambda a, b: 9 if a["look"] == b["look"] else 1)
        assert {name: item["value"] for name, item in found["accuracy"].items()} == {"conflict": 0, "aligned": 1}
        areas = {name: item["value"] for name, item in found["auc"].items()}
        assert areas == {"all": 0.5, "conflict": 0, "aligned": 1, "look": 1}
        asked = len(server.asked)
        assert calibrate(lambda *_: 5) == found
        assert len(server.asked) == asked

    def test_the_pictures_are_drawn_where_they_are_missing(self, server, document, tmp_path):
        words = ["--endpoint", server.url, "--model", "tiny-vlm", "--count", 1, "--size", 32, "--seed", 5]
        found = document("judge", "calibrate", *words, "--out", tmp_path / "new")
        assert (found["pairs"], found["world"]) == (4, str(tmp_path / "new" / "world-1-32-5"))
        assert len(server.asked) == 8
        assert len(list((tmp_path / "new" / "replies").glob("*/*.json"))) == 8

    def test_one_who_always_says_the_same_is_at_one_half(self, calibrate):
        found = calibrate(lambda *_: 5)
        assert {item["value"] for part in ("accuracy", "auc") for item in found[part].values()} == {0.5}
