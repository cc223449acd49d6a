"""Retrieval runs in the API: what is told is what the files say, and pictures are found where they may be."""

import contextlib
import io
import json
import shutil
from statistics import fmean

import pytest
from PIL import Image
from starlette.testclient import TestClient

from relsim.errors import ResultError
from relsim.web.app import create_app
from relsim.web.extras import Extras
from relsim.web.results import PictureFolder, Results, Run


@pytest.fixture
def run_folder(retrieval_run, tmp_path):
    """A copy of the run, to be changed."""
    return shutil.copytree(retrieval_run, tmp_path / "run")


@pytest.fixture
def served(library, models):
    """`served(results)` gives a client of a server with these results."""
    with contextlib.ExitStack() as stack:
        yield lambda results: stack.enter_context(
            TestClient(create_app(library, models, extras=Extras(results=results)), base_url="http://localhost")
        )


@pytest.fixture
def asked(served, retrieval_run):
    """A client of a server with one run."""
    return served(Results([retrieval_run]))


def test_the_page_is_told_that_there_are_results(asked, client):
    assert "results" in asked.get("/api/collection").json()["offers"]
    assert "results" not in client.get("/api/collection").json()["offers"]
    assert client.get("/api/results").status_code == 404


def test_a_run_is_told_as_its_file_says(asked, retrieval_run):
    written = json.loads((retrieval_run / "retrieval.json").read_text())
    judged = json.loads((retrieval_run / "judged.json").read_text())["detailed_results"]
    (name,) = asked.get("/api/results").json()
    assert (name["methods"], name["judged"]) == (list(written["results"]), True)
    told = asked.get("/api/results/0").json()
    assert [query["id"] for query in told["queries"]] == [query["image_id"] for query in written["queries"]]
    assert told["judge"] == "the-judge"
    for place, query in enumerate(told["queries"]):
        for at, method in enumerate(told["methods"]):
            row = written["results"][method][place]
            for metric, value in (row["metrics"] or {}).items():
                assert query["scores"][metric][at] == value
            scores = [one["score"] for one in judged[method] if one["query_id"] == query["id"]]
            known = [score for score in scores if score is not None]
            assert query["scores"]["judge"][at] == (fmean(known) if known else None)
    for at, method in enumerate(told["methods"]):
        means = written["methods"][method]["without_duplicates"]["metrics"]
        assert means
        for metric, estimate in means.items():
            assert told["means"][metric][at] == pytest.approx(estimate["value"])


def test_matches_are_those_of_the_file(asked, retrieval_run):
    written = json.loads((retrieval_run / "retrieval.json").read_text())["results"]
    told = asked.get("/api/results/0/matches", params={"queries": "3,0"}).json()
    assert [answer["query"] for answer in told] == [3, 0]
    for answer in told:
        for method, found in zip(written, answer["matches"], strict=True):
            wanted = written[method][answer["query"]]["matches"]
            assert [(one["id"], one["rank"], one["score"], one["relevant"]) for one in found] == [
                (one["image_id"], one["rank"], one["score"], one["relevant"]) for one in wanted
            ]


def test_the_published_form_gives_the_same_matches_without_measures_of_its_own(run_folder, served):
    (run_folder / "judged.json").unlink()
    client = served(Results([run_folder / "retrieval.json", run_folder / "retrieved_images.json"]))
    whole, published = (client.get(f"/api/results/{at}/matches", params={"queries": "1"}).json()[0] for at in (0, 1))
    assert client.get("/api/results/1").json()["measures"] == []
    keys = ("id", "rank", "score")
    for one, other in zip(whole["matches"], published["matches"], strict=True):
        assert [[match[key] for key in keys] for match in one] == [[match[key] for key in keys] for match in other]


def test_scores_of_another_run_are_counted_and_left_out(run_folder):
    judged = json.loads((run_folder / "judged.json").read_text())
    rows = next(iter(judged["detailed_results"].values()))
    scored = [row for row in rows if row["score"] is not None]
    scored[0]["retrieved_id"] = "another picture"
    scored[1]["query_id"] = "another query"
    (run_folder / "judged.json").write_text(json.dumps(judged))
    run = Run(run_folder)
    assert run.unmatched == 2
    total = sum(row["score"] is not None for rows in judged["detailed_results"].values() for row in rows)
    there = sum(one.judged is not None for query in run.queries for some in query.matches for one in some)
    assert there == total - 2


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("judged.json", '{"schema": "relsim.judge/1", "detailed_results": {"fake": [{}]}}', "damaged"),
        ("judged.json", '{"schema": "relsim.judge/1"}', "damaged"),
        ("retrieval.json", '{"schema": "relsim.retrieval/1", "queries": [], "results": {"fake": [{}]}}', "damaged"),
        ("retrieval.json", '{"schema": "relsim.study/1"}', "kind study"),
        ("retrieval.json", "{", "neither JSON"),
    ],
)
def test_damaged_files_are_refused(run_folder, name, content, reason):
    (run_folder / name).write_text(content)
    with pytest.raises(ResultError, match=reason):
        Run(run_folder)


def test_pictures_come_from_the_collection(asked, library):
    image_id = asked.get("/api/results/0").json()["queries"][0]["id"]
    answer = asked.get("/api/results/0/thumbnail", params={"id": image_id, "side": 96})
    assert answer.status_code == 200
    assert answer.content == asked.get("/api/thumbnail", params={"id": image_id, "side": 96}).content


def test_pictures_of_a_folder_come_first_and_nothing_else_is_read(run_folder, served, tmp_path, library):
    """The file names a picture that lies outside: it is not read, whatever the file says."""
    written = json.loads((run_folder / "retrieved_images.json").read_text())
    secret = tmp_path / "secret.png"
    Image.new("RGB", (8, 8), "red").save(secret)
    (tmp_path / "pictures" / "deep").mkdir(parents=True)
    row = next(iter(written.values()))[0]
    row |= {"query_image_id": "secret", "query_image_path": str(secret)}
    row["top_k_image_ids"][0], row["top_k_image_paths"][0] = "7", "/elsewhere/pictures/deep/seven.png"
    Image.new("RGB", (8, 8), "blue").save(tmp_path / "pictures" / "deep" / "seven.png")
    (run_folder / "retrieved_images.json").write_text(json.dumps(written))
    results = Results([run_folder / "retrieved_images.json"], tmp_path / "pictures")
    client = served(results)

    def ask(image_id):
        return client.get("/api/results/0/thumbnail", params={"id": image_id})

    assert ask("secret").status_code == 404
    blue = Image.open(io.BytesIO(ask("7").content)).convert("RGB").getpixel((4, 4))
    assert blue[2] > 200
    assert blue[0] < 60
    other = row["top_k_image_ids"][1]
    assert other in library.records
    assert ask(other).status_code == 200
    assert ask(str(secret)).status_code == 404
    assert ask("../secret.png").status_code == 404


def test_a_name_that_two_files_share_is_no_name(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / folder / "same.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "a" / "one.png")
    pictures = PictureFolder(tmp_path)
    assert pictures.find("same", "/x/same.png") is None
    assert pictures.find("same", "/x/b/same.png") == str(tmp_path / "b" / "same.png")
    assert pictures.find("one", "/x/y.png") == str(tmp_path / "a" / "one.png")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/results/1", 404),
        ("/api/results/-1", 422),
        ("/api/results/0/matches?queries=", 422),
        ("/api/results/0/matches?queries=1,,2", 422),
        ("/api/results/0/matches?queries=99999", 404),
        ("/api/results/0/matches?queries=" + ",".join("0" * 101), 422),
        ("/api/results/0/thumbnail?id=nobody", 404),
        ("/api/results/0/thumbnail?id=nobody&side=97", 404),
    ],
)
def test_what_cannot_be_is_told(asked, path, status):
    answer = asked.get(path)
    assert answer.status_code == status
    assert answer.json()["detail"]
