"""`relsim evaluate triplets`: a table for people, a document for programs."""

import json

import pytest

FAKE = ("--encoder", "fake")
PICTURES = {"a": ("red", "rings"), "b": ("red", "row"), "c": ("blue", "rings"), "d": ("blue", "row")}


@pytest.fixture
def world(plain_images, tmp_path):
    """Four pictures of two relations in two colours, with labels: mean colour sees the wrong ones."""
    plain_images(tmp_path / "images", {f"{name}.png": colour for name, (colour, _) in PICTURES.items()})
    rows = [
        {"image_hash": name, "relation": relation, "family": "plain", "look": colour}
        for name, (colour, relation) in PICTURES.items()
    ]
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_the_table_has_a_row_for_each_family(verb, world):
    result = verb("evaluate", "triplets", world, *FAKE, "--count", 40)
    assert (result.exit_code, result.stderr) == (0, "")
    header, *rows = [line.split() for line in result.stdout.splitlines()]
    assert header == ["accuracy", "95", "%", "interval", "triplets", "kind", "family"]
    assert [(row[0], row[5], row[6], row[7]) for row in rows] == [
        ("0.0", "40", "conflict", "all"),
        ("0.0", "40", "conflict", "plain"),
        ("50.0", "40", "control", "all"),
        ("50.0", "40", "control", "plain"),
    ]


def test_a_measure_of_pairs_is_asked_for_its_distances(verb, document, world, measure):
    """Red and blue differ in two channels, and colour is the wrong guess of every conflict."""
    told = document("evaluate", "triplets", world, "--encoder", measure, "--count", 40)
    whole = {
        entry["kind"]: entry["value"] for entry in told["accuracy"] if entry["family"] is entry["relation"] is None
    }
    assert whole == {"conflict": 0.0, "control": 0.5}
    assert told["fingerprint"]["encoder"] == "channels"
    (world / "images" / "d.png").write_bytes(b"")
    result = verb("evaluate", "triplets", world, "--encoder", measure, "--count", 40)
    assert result.exit_code == 3
    assert "triplets left out" in result.stderr


def test_rows_may_be_relations(verb, world):
    shown = verb("evaluate", "triplets", world / "manifest.jsonl", *FAKE, "--count", 4, "--by", "relation").stdout
    names = ["all", "rings", "row"]
    assert [line.split()[-1] for line in shown.splitlines()] == ["relation", *names, *names]


def test_json_holds_accuracies_and_their_origin(document, world):
    found = document("evaluate", "triplets", world, *FAKE, "--count", 10)
    assert list(found) == ["schema", "manifest", "accuracy", "missing", "failures", "fingerprint"]
    assert found["schema"] == "relsim.triplets/1"
    assert found["manifest"] == str(world / "manifest.jsonl")
    conflict = found["accuracy"][0]
    assert (conflict["kind"], conflict["value"], conflict["count"]) == ("conflict", 0.0, 10)
    assert found["fingerprint"]["encoder"] == "fake"


def test_triplets_beside_the_manifest_are_used(document, world):
    triplet = {"anchor": "a", "positive": "b", "negative": "c", "kind": "aligned", "family": None, "relation": None}
    (world / "triplets.jsonl").write_text(json.dumps(triplet) + "\n")
    (found,) = document("evaluate", "triplets", world, *FAKE)["accuracy"]
    assert (found["kind"], found["value"], found["count"]) == ("aligned", 1.0, 1)


def test_the_seed_decides_the_triplets(verb, world):
    def table(seed):
        return verb("evaluate", "triplets", world, "--encoder", "descriptors", "--count", 9, "--seed", seed).stdout

    assert table(1) == table(1)


def test_the_relational_encoder_takes_a_checkpoint(document, world, model_flags):
    found = document("evaluate", "triplets", world, *model_flags, "--count", 2)
    assert found["fingerprint"]["encoder"] == "relational"


def test_a_bad_image_exits_3_and_is_told(verb, world):
    (world / "images" / "d.png").write_bytes(b"")
    result = verb("evaluate", "triplets", world, *FAKE, "--count", 20)
    assert result.exit_code == 3
    assert "triplets left out" in result.stderr
    assert "  d: the file is empty (empty)" in result.stderr


def test_a_folder_without_a_manifest_is_told(refused, tmp_path):
    assert "must hold manifest.jsonl" in refused("evaluate", "triplets", tmp_path, *FAKE)


def test_a_manifest_without_labels_is_told(refused, world):
    (world / "manifest.jsonl").write_text('{"image_hash": "a"}\n')
    assert "names no relations" in refused("evaluate", "triplets", world, *FAKE)


def test_options_of_a_model_are_refused_for_an_encoder_without_one(refused, world):
    assert "takes no --recipe" in refused("evaluate", "triplets", world, *FAKE, "--recipe", "native")
