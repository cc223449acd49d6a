"""`relsim data stats`: what the captions of a collection name, and which say nearly the same."""

import json

import pytest

from relsim.evaluation.statistics import wilson

CAPTIONS = ["{A} row of {Things}", "A dog beside {Object}", '"{A} row, of {Things}."', None]


@pytest.fixture
def listed(tmp_path):
    path = tmp_path / "list.jsonl"
    rows = ({"image_hash": str(number), "caption": caption} for number, caption in enumerate(CAPTIONS))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_stats_tell_how_anonymous_captions_are(document, listed):
    found = document("data", "stats", listed)
    assert found["captions"]["present"] == 3
    assert found["anonymity"] == {
        "captions": 3,
        "anonymous": wilson(2, 3).to_json(),
        "reasons": {"animal": 1},
        "named": {"dog": 1},
        "near_duplicates": 1,
        "alike": [["{A} row of {Things}", "{A} row, of {Things}."]],
    }


def test_stats_tell_it_in_words(verb, listed):
    said = verb("data", "stats", listed).stdout
    assert "anonymous: 66.7% of the captions" in said
    assert "what speaks against the others:\n  1  " in said
    assert (
        "captions that say nearly the same as an earlier one: 1\n  {A} row of {Things} / {A} row, of {Things}.\n"
        in said
    )


def test_a_list_without_captions_has_nothing_to_tell(verb, document, tmp_path):
    path = tmp_path / "bare.jsonl"
    path.write_text('{"image_hash": "a"}\n')
    assert document("data", "stats", path)["anonymity"] is None
    assert "anonymous" not in verb("data", "stats", path).stdout
