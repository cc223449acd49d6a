"""`relsim evaluate pairs`: the table of the paper, copies, and bad input."""

import shutil

import pytest

TABLE = {"input": {"a": "red", "b": "blue", "c": "white"}, "same": {"a": "red", "b": "blue"}, "other": {"c": "black"}}


@pytest.fixture
def folder(plain_images, tmp_path):
    for name, colours in TABLE.items():
        plain_images(tmp_path / name, {f"{stem}.png": colour for stem, colour in colours.items()})
    shutil.copy(tmp_path / "input" / "a.png", tmp_path / "other" / "a.png")
    plain_images(tmp_path / "same", {"b.png": "yellow"})
    return tmp_path


def test_a_row_for_each_method_and_a_column_for_each_encoder(verb, folder):
    """White against black: (1, 1, 1, 1) / 2 times (0, 0, 0, 1). Blue against yellow: 1 / sqrt(2) / sqrt(3)."""
    result = verb("evaluate", "pairs", folder, "--encoder", "fake", "--encoder", "descriptors-colour")
    assert result.exit_code == 0
    header, other, same = [line.split() for line in result.stdout.splitlines()]
    assert header == ["fake", "descriptors-colour", "pairs", "copies", "method"]
    # mean of 1 and 0.5 with deviation 0.5 / sqrt(2); mean of 1 and 0.40825, deviation 0.59175 / sqrt(2)
    assert (other[:3], other[-3:]) == (["0.750", "±", "0.354"], ["2", "1", "other"])
    assert (same[:3], same[-3:]) == (["0.704", "±", "0.418"], ["2", "1", "same"])
    assert "sample standard deviation" in result.stderr
    assert "2 outputs are copies" in result.stderr
    assert f"  {folder / 'other' / 'a.png'} (other): the same bytes" in result.stderr


def test_json_has_every_pair(document, folder):
    found = document("evaluate", "pairs", folder, "--encoder", "fake")
    assert found["schema"] == "relsim.pairs/1"
    assert found["methods"]["other"]["scores"]["fake"]["without_copies"] == {
        "mean": pytest.approx(0.5),
        "sd": None,
        "count": 1,
    }
    assert found["encoders"]["fake"]["encoder"] == "fake"
    assert [(row["method"], row["name"], row["copy"]) for row in found["results"]] == [
        ("other", "a", "exact"),
        ("other", "c", None),
        ("same", "a", "exact"),
        ("same", "b", None),
    ]


def test_a_measure_of_pairs_gives_distances_beside_similarities(verb, document, folder, measure):
    """White and black differ in three channels, blue and yellow too; a copy differs in none."""
    arguments = ("evaluate", "pairs", folder / "list.csv", "--encoder", "fake", "--encoder", measure)
    rows = ["input/a.png,other/a.png,other", "input/c.png,other/c.png,other", "input/b.png,same/b.png,same"]
    (folder / "list.csv").write_text("\n".join(["input,output,method", *rows]) + "\n")
    found = document(*arguments)
    assert found["measures"] == {"fake": "similarity", "channels": "distance"}
    assert [row["scores"]["channels"] for row in found["results"]] == [0, 3, 3]
    assert found["methods"]["other"]["scores"]["channels"]["all"]["mean"] == 1.5
    result = verb(*arguments)
    assert result.stdout.splitlines()[0].split()[:3] == ["fake", "channels", "(distance)"]
    assert "a distance is the smaller the more alike" in result.stderr
    (folder / "same" / "b.png").write_bytes(b"no picture")
    lost = document(*arguments, exits=3)
    assert [row["method"] for row in lost["left_out"]] == ["same"]


def test_bad_pictures_exit_with_3(verb, document, folder):
    (folder / "same" / "b.png").write_bytes(b"no picture")
    result = verb("evaluate", "pairs", folder, "--encoder", "fake")
    assert result.exit_code == 3
    assert "1 pairs left out" in result.stderr
    assert "(not_image)" in result.stderr
    found = document("evaluate", "pairs", folder, "--encoder", "fake", exits=3)
    assert [(row["method"], row["name"]) for row in found["left_out"]] == [("same", "b")]


def test_what_is_no_list_is_told(refused, verb, folder):
    assert "must hold the subfolder input" in refused("evaluate", "pairs", folder / "same", "--encoder", "fake")
    assert verb("evaluate", "pairs", folder, "--encoder", "fake", "--encoder", "fake").exit_code == 2
