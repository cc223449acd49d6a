"""`relsim evaluate retrieval`: files, resuming, and what bad input does."""

import json
import shutil

import pytest
from PIL import Image

COLOURS = ("red", "green", "blue", "yellow", "cyan", "magenta")


@pytest.fixture
def pictures(tmp_path):
    """Twelve pictures in six pairs: a half of one colour beside a half of another; the pair shares its first colour."""
    folder = tmp_path / "collection"
    (folder / "images").mkdir(parents=True)
    rows = []
    for number, colour in enumerate(COLOURS):
        for other in ("black", "white"):
            picture = Image.new("RGB", (64, 64), colour)
            picture.paste(other, (0, 0, 8 + 8 * number, 32))
            picture.save(folder / "images" / f"{colour}-{other}.png")
            rows.append({"image_hash": f"{colour}-{other}", "relation": colour})
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def retrieval(*arguments):
    return ("evaluate", "retrieval", *arguments)


def test_two_encoders_and_their_files(verb, pictures, tmp_path):
    encoders = ("--encoder", "fake", "--encoder", "descriptors:side=32,grid=4")
    result = verb(*retrieval(pictures / "manifest.jsonl", *encoders, "-o", tmp_path / "out"))
    assert (result.exit_code, result.stderr.splitlines()[1:]) == (0, [])
    assert "12 embedded by fake, 12 embedded by descriptors:side=32,grid=4" in result.stderr
    rows = [line.split() for line in result.stdout.splitlines()]
    # Wilson's interval of 12 out of 12 begins at 12 / (12 + 1.96²).
    assert ["1.000", "0.758", "to", "1.000", "12", "1.000", "precision@1", "fake"] in rows
    assert any(row[-3:] == ["fake", "-", "descriptors:side=32,grid=4"] for row in rows)
    found = json.loads((tmp_path / "out" / "retrieved_images.json").read_text())
    assert list(found) == ["fake", "descriptors:side=32,grid=4"]
    first = found["fake"][0]
    assert (first["query_image_id"], first["top_k_image_ids"][0]) == ("red-black", "red-white")
    assert first["query_image_path"] == str(pictures / "images" / "red-black.png")


def test_the_second_run_embeds_nothing_and_writes_the_same_bytes(document, pictures, tmp_path, monkeypatch):
    arguments = retrieval(pictures / "manifest.jsonl", "--encoder", "fake", "--queries", 5, "-o", tmp_path / "out")
    first = document(*arguments)
    files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()}
    assert first["tables"]["fake"]["embedded"] == 12

    def refuse(*_):
        pytest.fail("a picture was encoded again")

    monkeypatch.setattr("relsim.encoders.fake.FakeEncoder.encode", refuse)
    second = document(*arguments)
    assert second["tables"]["fake"]["embedded"] == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()} == files
    assert {**first, "tables": None} == {**second, "tables": None}


def test_a_picture_that_changed_under_its_id_is_embedded_anew(document, verb, pictures, tmp_path):
    """The second run finds what a run in a new folder finds."""
    arguments = retrieval(pictures / "manifest.jsonl", "--encoder", "fake")
    document(*arguments, "-o", tmp_path / "out")
    Image.new("RGB", (64, 64), "white").save(pictures / "images" / "red-black.png")
    result = verb(*arguments, "-o", tmp_path / "out")
    assert "1 embedded by fake (1 of them anew: picture or caption had changed)" in result.stderr
    document(*arguments, "-o", tmp_path / "new")
    kept, new = (json.loads((tmp_path / name / "retrieval.json").read_text()) for name in ("out", "new"))
    assert kept == new
    assert document(*arguments, "-o", tmp_path / "out")["tables"]["fake"]["embedded"] == 0


def test_a_caption_that_changed_is_embedded_anew(document, pictures, tmp_path):
    """A caption encoder reads the caption and not the picture: only a change of that counts."""
    manifest = pictures / "manifest.jsonl"
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]

    def write(first):
        captions = [first, *(f"{row['relation']} things that grow" for row in rows[1:])]
        written = [{**row, "caption": text} for row, text in zip(rows, captions, strict=True)]
        manifest.write_text("".join(json.dumps(row) + "\n" for row in written))

    arguments = retrieval(manifest, "--encoder", "caption-minilm:captioner=none")
    write("a red thing")
    document(*arguments, "-o", tmp_path / "out")
    Image.new("RGB", (64, 64), "white").save(pictures / "images" / "red-white.png")
    (same,) = document(*arguments, "-o", tmp_path / "out")["tables"].values()
    assert same["embedded"] == 0
    assert same["captions"] == {"given": 12, "written": 0}
    write("a whale beneath the ice")
    (again,) = document(*arguments, "-o", tmp_path / "out")["tables"].values()
    assert (again["embedded"], again["changed"]) == (1, 1)
    document(*arguments, "-o", tmp_path / "new")
    kept, new = (
        json.loads((tmp_path / name / "retrieved_images.json").read_text())["caption-minilm:captioner=none"]
        for name in ("out", "new")
    )
    for ours, theirs in zip(kept, new, strict=True):
        assert ours["top_k_scores"] == pytest.approx(theirs["top_k_scores"], abs=1e-5)


def test_duplicates_count_apart(document, pictures, tmp_path):
    """A copy of each picture makes it easy with duplicates; without them nothing changes."""
    alone = document(*retrieval(pictures / "manifest.jsonl", "--encoder", "fake", "-o", tmp_path / "alone"))
    with (pictures / "manifest.jsonl").open("a") as manifest:
        for path in sorted((pictures / "images").glob("*-black.png")):
            shutil.copy(path, path.with_name(f"copy-{path.name}"))
            manifest.write(json.dumps({"image_hash": f"copy-{path.stem}", "relation": path.stem.split("-")[0]}) + "\n")
    found = document(
        *retrieval(pictures / "manifest.jsonl", "--encoder", "fake", "--distance", 0, "-o", tmp_path / "out")
    )
    assert (found["duplicates"]["queries"], found["duplicates"]["exact"]) == (12, 12)
    assert found["tables"]["fake"]["captions"] is None
    assert alone["duplicates"]["exact"] == 0
    whole = json.loads((tmp_path / "out" / "retrieval.json").read_text())
    for query, result in zip(whole["queries"], whole["results"]["fake"], strict=True):
        barred = [one["image_id"] for one in query["excluded"]]
        assert not set(barred) & {match["image_id"] for match in result["matches"]}
        if len(barred) > 1:
            assert result["matches_with_duplicates"][0]["image_id"] == barred[1]


def test_tables_take_part_and_may_be_the_collection(verb, document, pictures, tmp_path):
    verb("embed", pictures / "manifest.jsonl", "--encoder", "descriptors", "-o", tmp_path / "looks.table")
    both = document(
        *retrieval(pictures / "manifest.jsonl", "--encoder", "fake", "--table", f"looks={tmp_path / 'looks.table'}"),
        *("-o", tmp_path / "both"),
    )
    assert list(both["methods"]) == ["fake", "looks"]
    assert both["methods"]["looks"]["fingerprint"]["encoder"] == "descriptors"
    alone = document(*retrieval("--table", f"looks={tmp_path / 'looks.table'}", "-o", tmp_path / "alone"))
    assert alone["methods"]["looks"] == both["methods"]["looks"]
    assert (alone["database"], alone["label"]) == (12, "relation")


def test_distractors_and_a_list_of_queries(document, pictures, plain_images, tmp_path):
    plain_images(tmp_path / "more", {f"{number}.png": (number * 40, 9, 200) for number in range(5)})
    (tmp_path / "ask.txt").write_text("red-white\nblue-black\nunheard-of\n0.png\n")
    found = document(
        *retrieval(pictures / "manifest.jsonl", "--encoder", "fake", "--distractors", tmp_path / "more"),
        *("--query-from", tmp_path / "ask.txt", "-o", tmp_path / "out", "-k", 3),
        exits=3,
    )
    assert (found["database"], found["distractors"], found["asked"]) == (17, 5, 2)
    assert [one["image_id"] for one in found["left_out"]] == ["unheard-of", "0.png"]
    whole = json.loads((tmp_path / "out" / "retrieval.json").read_text())
    assert [query["image_id"] for query in whole["queries"]] == ["red-white", "blue-black"]


def test_unreadable_pictures_are_rows_with_a_status(verb, pictures, tmp_path):
    (pictures / "images" / "red-black.png").write_bytes(b"")
    (pictures / "images" / "red-white.png").unlink()
    result = verb(*retrieval(pictures / "manifest.jsonl", "--encoder", "fake", "-o", tmp_path / "out"))
    assert result.exit_code == 3
    assert "  red-black: the file is empty (empty)" in result.stderr
    whole = json.loads((tmp_path / "out" / "retrieval.json").read_text())
    assert {one["image_id"]: one["status"] for one in whole["failures"]} == {
        "red-black": "empty",
        "red-white": "missing",
    }
    assert whole["database"] == 10


def test_k_beyond_the_collection_is_told(verb, pictures, tmp_path):
    result = verb(*retrieval(pictures / "manifest.jsonl", "--encoder", "fake", "-k", 50, "-o", tmp_path / "out"))
    assert result.exit_code == 0
    assert "lists have at most 11 matches" in result.stderr


def test_other_options_make_another_table(document, pictures, tmp_path):
    for side in (32, 64):
        found = document(
            *retrieval(pictures / "images", "--encoder", f"descriptors:side={side}", "-o", tmp_path / "out")
        )
        assert found["tables"][f"descriptors:side={side}"]["embedded"] == 12
    assert len(list((tmp_path / "out" / "tables").iterdir())) == 2


def test_the_relational_encoder_takes_its_options(document, pictures, golden, tmp_path):
    spec = f"relational:checkpoint_dir={golden / 'relsim'},base_model={golden / 'base'},device=cpu,dtype=float32"
    found = document(*retrieval(pictures / "manifest.jsonl", "--encoder", spec, "--queries", 2, "-o", tmp_path / "out"))
    assert found["methods"][spec]["fingerprint"]["encoder"] == "relational"
    assert found["methods"][spec]["origin"]["checkpoint_dir"] == str(golden / "relsim")


def test_what_cannot_be_asked_is_told(refused, verb, pictures, plain_images, tmp_path):
    out = ("-o", tmp_path / "out")
    assert "name a collection, or a table" in refused(*retrieval(*out))
    (tmp_path / "empty").mkdir()
    assert "no images" in refused(*retrieval(tmp_path / "empty", *out))
    one = plain_images(tmp_path / "one", {"a.png": "red"})
    assert "1 of 1 pictures can be used" in refused(*retrieval(one, "--encoder", "fake", *out))
    assert "there is no encoder 'nobody'" in refused(*retrieval(pictures / "images", "--encoder", "nobody", *out))
    assert "its options are side, grid" in refused(
        *retrieval(pictures / "images", "--encoder", "descriptors:size=3", *out)
    )
    other = plain_images(tmp_path / "other", {"red-black.png": "red"})
    told = refused(*retrieval(pictures / "images", "--encoder", "fake", "--distractors", other, *out))
    assert "the id red-black.png names a picture of the collection" in told
    wrong = verb(*retrieval(pictures / "manifest.jsonl", "--encoder", "fake", "--label", "relatoin", *out))
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    words = " ".join(wrong.stderr.replace("│", " ").split())
    assert "no picture has the field 'relatoin'; there are " in words
    assert "relation" in words.partition("there are ")[2]
    assert verb(*retrieval(one, "--table", "nothing", *out)).exit_code == 2
    assert verb(*retrieval(one, "--encoder", "fake", "--encoder", "fake", *out)).exit_code == 2


def test_a_measure_of_pairs_ranks_the_candidates_anew(document, verb, refused, pictures, measure, tmp_path):
    arguments = retrieval(pictures / "manifest.jsonl", "--encoder", "fake", "--rerank", measure, "-o", tmp_path / "out")
    told = document(*arguments, "--rerank-depth", 4, "-k", 3)
    assert list(told["methods"]) == ["fake", "fake+channels"]
    assert told["methods"]["fake+channels"]["origin"] == {"encoder": "fake", "rerank": "channels", "rerank_depth": 4}
    found = json.loads((tmp_path / "out" / "retrieved_images.json").read_text())["fake+channels"]
    # The first pixels are black or white but where a colour begins at once: those of one kind differ in no channel.
    first = next(one for one in found if one["query_image_id"] == "green-black")
    assert first["top_k_scores"] == sorted(first["top_k_scores"], reverse=True)
    assert first["top_k_scores"][0] == 0
    result = verb(*arguments, "--reference", "fake+channels")
    assert "fake+channels - fake" in result.stdout
    other = verb(*arguments[:-1], tmp_path / "untouched", "--reference", "other")
    assert (other.exit_code, "no method other; there are fake, fake+channels" in " ".join(other.stderr.split())) == (
        2,
        True,
    )
    assert not (tmp_path / "untouched").exists()
    alone = retrieval(pictures / "manifest.jsonl", "--encoder", "fake", "-o", tmp_path / "untouched")
    assert "no other method" in verb(*alone, "--reference", "fake").stderr
    assert "no measure of pairs" in refused(*arguments[:-4], "--rerank", "fake", "-o", tmp_path / "none")


def test_the_path_of_a_table_may_have_an_equals_sign(document, verb, pictures, tmp_path):
    odd = tmp_path / "seed=1"
    odd.mkdir()
    verb("embed", pictures / "manifest.jsonl", "--encoder", "fake", "-o", odd / "vectors")
    told = document(*retrieval("--table", f"mine={odd / 'vectors'}", "-o", tmp_path / "out"))
    assert (list(told["methods"]), told["database"]) == (["mine"], 12)
