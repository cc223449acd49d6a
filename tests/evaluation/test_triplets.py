"""Triplets: their file, their score, their report."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from relsim.errors import SourceError
from relsim.evaluation.statistics import wilson
from relsim.evaluation.triplets import Triplet, read_triplets, score_triplets, triplet_points, write_triplets

UP, RIGHT, DIAGONAL = np.eye(2, dtype=np.float32)[0], np.eye(2, dtype=np.float32)[1], np.float32([0.6, 0.8])
VECTORS = {"a": UP, "b": UP.copy(), "c": DIAGONAL, "d": RIGHT}


def test_points_are_one_a_half_and_none():
    """cos(a, b) = 1, cos(a, c) = 0.6, cos(a, d) = 0; c against itself is a tie."""
    triplets = [Triplet("a", "b", "c"), Triplet("a", "c", "c"), Triplet("a", "d", "c"), Triplet("c", "d", "a")]
    assert triplet_points(VECTORS, triplets).tolist() == [1, 0.5, 0, 1]


def test_equal_vectors_tie_exactly():
    """Whatever their place in a matrix: float32 products of 384 numbers would differ here and there."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 384))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    vectors = {f"{side}{row}": rows[row] for row in range(40) for side in ("x", "y")}
    triplets = [Triplet(f"x{i}", f"x{j}", f"y{j}") for i in range(40) for j in range(40) if i != j]
    assert set(triplet_points(vectors, triplets)) == {0.5}


@pytest.fixture
def report():
    triplets = [
        *[Triplet("a", "b", "d", "aligned", "nesting", "rings")] * 3,
        *[Triplet("a", "d", "b", "conflict", "nesting", "rings")] * 2,
        Triplet("a", "b", "d", "conflict", "flow", "chase"),
        Triplet("a", "c", "c", "conflict", "flow", "arrows"),
        Triplet("a", "b", "d", "conflict"),
        Triplet("a", "b", "gone", "conflict", "flow", "chase"),
    ]
    return score_triplets(VECTORS, triplets)


def test_accuracies_are_shares_with_wilson_intervals(report):
    assert report.kinds == {"conflict": wilson(2.5, 5), "aligned": wilson(3, 3)}
    assert report.families == {
        "conflict": {"flow": wilson(1.5, 2), "nesting": wilson(0, 2)},
        "aligned": {"nesting": wilson(3, 3)},
    }
    assert report.relations["conflict"] == {"arrows": wilson(0.5, 1), "chase": wilson(1, 1), "rings": wilson(0, 2)}


def test_triplets_without_a_vector_are_counted(report):
    assert report.missing == 1


def test_the_document_is_flat_and_versioned(report):
    document = json.loads(json.dumps(report.to_json()))
    assert document["schema"] == "relsim.triplets/1"
    first, *rest = document["accuracy"]
    assert first == {"kind": "conflict", "family": None, "relation": None, **wilson(2.5, 5).to_json()}
    assert len(rest) == 1 + 3 + 4


def test_the_table_has_a_row_for_each_kind_and_family(report):
    assert [row[3:] for row in report.rows()] == [
        ["kind", "family"],
        ["conflict", "all"],
        ["conflict", "flow"],
        ["conflict", "nesting"],
        ["aligned", "all"],
        ["aligned", "nesting"],
    ]
    assert report.rows()[1][:3] == ["50.0 %", "17.0 to 83.0", "5"]
    assert ["conflict", "chase"] in [row[3:] for row in report.rows("relation")]


def test_no_usable_triplet_is_an_error():
    with pytest.raises(SourceError, match="none of the 1 triplets"):
        score_triplets(VECTORS, [Triplet("a", "b", "gone")])


class TestFile:
    def test_triplets_come_back_with_their_other_keys(self, tmp_path):
        triplets = [Triplet("a", "b", "ç", "conflict", "flow", "chase", {"layout": [1, None]}), Triplet("a", "b", "c")]
        write_triplets(tmp_path / "t.jsonl", triplets)
        assert read_triplets(tmp_path / "t.jsonl") == triplets

    def test_a_byte_order_mark_and_empty_lines_are_accepted(self, tmp_path):
        (tmp_path / "t").write_text('\ufeff\n{"anchor": "a", "positive": "b", "negative": "c"}\r\n\n')
        assert read_triplets(tmp_path / "t") == [Triplet("a", "b", "c")]

    @pytest.mark.parametrize(
        ("line", "told"),
        [
            ("[1]", "a JSON object is needed"),
            ("{", "line 2: "),
            ('{"anchor": "a", "positive": "b"}', "negative must be there"),
            ('{"anchor": "a", "positive": "b", "negative": 3}', "negative must be there and be an image id"),
            ('{"anchor": "a", "positive": "b", "negative": "c", "kind": "odd"}', "conflict, aligned, control"),
            ('{"anchor": "a", "positive": "b", "negative": "c", "family": 3}', "family must be a string"),
        ],
    )
    def test_a_bad_line_is_told_by_number(self, tmp_path, line, told):
        good = json.dumps(Triplet("a", "b", "c").to_dict())
        (tmp_path / "t").write_text(f"{good}\n{line}\n")
        with pytest.raises(SourceError, match="line 2") as error:
            read_triplets(tmp_path / "t")
        assert told in str(error.value)

    def test_an_empty_or_absent_file_is_told(self, tmp_path):
        (tmp_path / "t").write_text("\n")
        with pytest.raises(SourceError, match="holds no triplets"):
            read_triplets(tmp_path / "t")
        with pytest.raises(SourceError, match="cannot be read"):
            read_triplets(tmp_path / "none")

    def test_a_killed_writer_leaves_the_earlier_file(self, tmp_path):
        write_triplets(tmp_path / "t.jsonl", [Triplet("a", "b", "c")])
        program = (
            "import os, pathlib, signal\n"
            "from relsim.evaluation.triplets import Triplet, write_triplets\n"
            "def many():\n"
            "    for number in range(100_000):\n"
            "        if number == 50_000:\n"
            "            os.kill(os.getpid(), signal.SIGKILL)\n"
            "        yield Triplet('x', 'y', str(number))\n"
            f"write_triplets(pathlib.Path({str(tmp_path / 't.jsonl')!r}), many())\n"
        )
        killed = subprocess.run([sys.executable, "-c", program], env=os.environ, check=False)
        assert killed.returncode == -9
        assert read_triplets(tmp_path / "t.jsonl") == [Triplet("a", "b", "c")]
