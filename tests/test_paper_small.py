"""recipes/paper_small in miniature: every step runs, none runs twice, and its stand-ins do what the page says."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from relsim.data.manifest import read_manifest
from relsim.evaluation.study import read_study
from relsim.evaluation.study_answers import StudyAnswers

pytest.importorskip("mteb")
RECIPE = Path(__file__).parents[1] / "recipes" / "paper_small" / "make.py"


def run(work):
    """Run the recipe in miniature, within one process."""
    command = [sys.executable, str(RECIPE), "--quick", "--here", "--work", str(work)]
    variables = {**os.environ, "RELSIM_CHECKPOINT": "/nowhere", "NO_PROXY": "127.0.0.1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=variables, timeout=900)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paper") / "work"
    done = run(folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def relations(work):
    rows = [row for part in ("test", "distractors") for row in read_manifest(work / part / "manifest.jsonl")]
    return {row.image_hash: row.extra["relation"] for row in rows}


def test_every_figure_is_drawn_and_every_part_is_reported(work):
    names = {path.name for path in (work / "figures").glob("*.png") if path.read_bytes().startswith(b"\x89PNG")}
    assert names == {
        *(f"figure-{name}.png" for name in ("5", "6", "6-judge", "7", "8", "9")),
        *("heat-map.png", "table-2.png", "training.png", "explanation.png"),
    }
    titles = [line.removeprefix("## ") for line in (work / "tables.md").read_text().splitlines() if line[:3] == "## "]
    assert titles == ["Retrieval", "Judge", "Calibration", "Study", "Triplets", "Pairs", "MTEB", "Steps"]
    page = (work / "report.html").read_text()
    for heading in ("Judge", "Calibration of a judge", "A judge and people", "Study", "Why two pictures are alike"):
        assert f">{heading}: " in page
    assert "Not shown" not in page


def test_the_judge_rates_every_pair_alike_in_both_orders(work):
    judged = json.loads((work / "judged.json").read_text())
    rows = [row for rows in judged["detailed_results"].values() for row in rows]
    assert len(rows) == 8 * 4
    assert {row["status"] for row in rows} == {"ok"}
    for row in rows:
        scores = {rating["order"]: rating["score"] for rating in row["ratings"]}
        assert scores["query first"] == scores["match first"] == row["score"]
    assert len({row["score"] for row in rows}) > 5


def test_ratings_are_the_truth(work, relations):
    with (work / "truth.csv").open() as file:
        rows = list(csv.DictReader(file))
    expected = {(row["query_id"], row["retrieved_id"]): row["score"] for row in rows}
    assert {"0", "10"} == set(expected.values())
    for (query, match), score in expected.items():
        assert (score == "10") == (relations[query] == relations[match])


def test_simulated_people_mostly_choose_the_relation(work, relations):
    study = read_study(work / "study.json")
    answers = StudyAnswers(work / "study.sqlite", study).answers()
    assert {answer.person for answer in answers} == {"simulated 1", "simulated 2", "simulated 3"}
    assert len(answers) == 3 * len(study.questions)
    right = {
        question.question_id: [
            side
            for side in ("left", "right")
            if relations[getattr(question, side).image_id] == relations[question.query.image_id]
        ]
        for question in study.questions
    }
    decided = [
        answer.choice == right[answer.question_id][0] for answer in answers if len(right[answer.question_id]) == 1
    ]
    assert len(decided) > 10
    assert sum(decided) / len(decided) > 0.6  # 0.85, and chance would be a third


def test_what_is_done_is_not_done_again(work):
    before = {path: path.stat().st_mtime_ns for path in work.rglob("*") if path.is_file() and path.name != "tables.md"}
    again = run(work)
    assert again.returncode == 0, again.stderr[-3000:]
    assert "$ relsim" not in again.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before
