"""`relsim search` against brute force over the table's own vectors, and what it says when it cannot answer."""

import json
import os
import subprocess

import numpy as np
import pytest
from PIL import Image

from relsim.data.records import ImageRecord
from relsim.encoders.fake import FakeEncoder
from relsim.models.text_encoder import CaptionEncoder
from relsim.vectors import VectorTable

ODD_IDS = ["[bold]x[/bold].png", "日本 é 😀.png", "line\nbreak.png", "\x1b[31mred.png", "plain.png"]


@pytest.fixture(scope="module")
def tables(tmp_path_factory, golden, model_flags):
    """The golden images as a relational table and as a table of looks."""
    from typer.testing import CliRunner

    from relsim.cli.main import app

    folder = tmp_path_factory.mktemp("tables")
    flags = {"relational": list(map(str, model_flags)), "looks": ["--encoder", "descriptors"]}
    for name, options in flags.items():
        arguments = ["embed", str(golden / "images"), "--out", str(folder / name), *options]
        assert CliRunner().invoke(app, arguments).exit_code == 0
    return folder / "relational", folder / "looks"


@pytest.fixture
def fake_table(tmp_path):
    """Black, red, white and blue under their names, by the fake encoder."""
    encoder = FakeEncoder()
    names = ["black", "red", "white", "blue"]
    with VectorTable.create(tmp_path / "fake", encoder.fingerprint, 4, origin={"encoder": "fake"}) as table:
        table.append("a", [ImageRecord(name, f"/{name}.png") for name in names], encoder.encode_text(names))
    return tmp_path / "fake"


def brute_force(table, vector, k, *, without=None):
    """Ids and cosines by a full sort in double precision, ties by id."""
    scores = table.vectors.astype(np.float64) @ np.asarray(vector, np.float64)
    ranked = sorted((-score, image_id) for score, image_id in zip(scores, table.ids, strict=True))
    return [(image_id, -score) for score, image_id in ranked if image_id != without][:k]


def assert_hits(hits, expected):
    assert [hit["image_id"] for hit in hits] == [image_id for image_id, _ in expected]
    assert [hit["score"] for hit in hits] == pytest.approx([score for _, score in expected], abs=1e-5)
    assert [hit["rank"] for hit in hits] == list(range(1, len(hits) + 1))


class TestOneAxis:
    def test_an_id_finds_what_brute_force_finds(self, document, tables, expected):
        query = expected["images"][3]
        found = document("search", tables[0], query, "--top-k", 6)
        table = VectorTable.open(tables[0])
        assert found["query"] == {"kind": "id", "value": query}
        assert_hits(found["hits"], brute_force(table, table.vector(query), 6, without=query))

    def test_an_image_file_finds_itself_first(self, document, tables, golden_paths):
        found = document("search", tables[0], golden_paths[2])
        table = VectorTable.open(tables[0])
        assert found["query"]["kind"] == "image"
        assert_hits(found["hits"], brute_force(table, table.vector(golden_paths[2].name), 10))
        assert found["hits"][0]["score"] == pytest.approx(1, abs=1e-5)

    def test_a_sentence_is_searched_by_its_caption_vector(self, document, tables):
        sentence = "{Objects} arranged in a ring around an empty {Center}"
        found = document("search", tables[0], sentence, "-k", 17)
        assert found["query"]["kind"] == "text"
        expected = brute_force(VectorTable.open(tables[0]), CaptionEncoder().encode_text([sentence])[0], 17)
        assert_hits(found["hits"], expected)

    def test_a_sentence_longer_than_any_file_name(self, document, fake_table):
        found = document("search", fake_table, "red and " * 200 + "red", "-k", 1)
        assert (found["query"]["kind"], found["hits"][0]["image_id"]) == ("text", "red")

    @pytest.mark.parametrize(("kind", "first"), [("id", "white"), ("image", "red"), ("text", "blue")])
    def test_the_kind_can_be_told(self, kind, first, document, fake_table, tmp_path, monkeypatch):
        """`blue` as an id, as a file that is red, and as a word."""
        monkeypatch.chdir(tmp_path)
        Image.new("RGB", (28, 28), "red").save("blue", format="PNG")
        found = document("search", fake_table, "blue", "--as", kind, "-k", 1)
        assert found["query"]["kind"] == kind
        # Next to blue, without itself: black at 0.707, white at 0.707 and red at 0.5; ties go by id.
        assert found["hits"][0]["image_id"] == ("black" if kind == "id" else first)

    def test_no_more_hits_than_images(self, verb, fake_table):
        assert len(verb("search", fake_table, "red", "-k", 50).stdout.splitlines()) == 1 + 3

    def test_people_get_ranks_and_scores(self, verb, fake_table):
        # red = (1, 0, 0, 1)/sqrt 2, black = (0, 0, 0, 1), white = (1, 1, 1, 1)/2, blue = (0, 0, 1, 1)/sqrt 2
        result = verb("search", fake_table, "red")
        assert result.stderr == ""
        assert result.stdout.splitlines() == [
            "rank   score  image",
            "   1  0.7071  black",
            "   2  0.7071  white",
            "   3  0.5000  blue",
        ]


class TestTwoAxes:
    def test_a_weight_ranks_by_the_difference(self, document, tables, expected):
        query = expected["images"][0]
        found = document("search", tables[0], query, "--attributes", tables[1], "--weight", 0.7, "-k", 8)
        how, looks = (VectorTable.open(path) for path in tables)
        relational = dict(brute_force(how, how.vector(query), 99))
        attribute = dict(brute_force(looks, looks.vector(query), 99))
        difference = {i: relational[i] - 0.7 * attribute[i] for i in relational if i != query}
        assert_hits(found["hits"], sorted(difference.items(), key=lambda item: (-item[1], item[0]))[:8])
        for hit in found["hits"]:
            assert hit["relational"] == pytest.approx(relational[hit["image_id"]], abs=1e-5)
            assert hit["attribute"] == pytest.approx(attribute[hit["image_id"]], abs=1e-5)

    def test_a_ceiling_leaves_out_lookalikes(self, document, tables, golden_paths):
        query = golden_paths[0]
        found = document("search", tables[0], query, "--attributes", tables[1], "--ceiling", 0.2, "-k", 17)
        how, looks = (VectorTable.open(path) for path in tables)
        attribute = dict(brute_force(looks, looks.vector(query.name), 99))
        allowed = [(i, s) for i, s in brute_force(how, how.vector(query.name), 99) if attribute[i] <= 0.2]
        assert 0 < len(allowed) < 17
        assert_hits(found["hits"], allowed)

    def test_a_person_sees_both_axes(self, verb, tables, expected):
        result = verb("search", tables[0], expected["images"][0], "--attributes", tables[1], "--weight", 1, "-k", 3)
        assert result.stdout.splitlines()[0].split() == ["rank", "score", "relational", "attribute", "image"]
        for line in result.stdout.splitlines()[1:]:
            _, score, relational, attribute, _ = line.split()
            assert float(score) == pytest.approx(float(relational) - float(attribute), abs=2e-4)

    def test_images_of_one_table_only_are_mentioned(self, verb, tables, golden_paths, tmp_path, expected):
        verb("embed", *golden_paths[:5], "--out", tmp_path / "few", "--encoder", "descriptors")
        result = verb("search", tables[0], expected["images"][0], "--attributes", tmp_path / "few", "--weight", 1)
        assert result.exit_code == 0
        assert result.stderr == "relsim: 12 images stand in only one of the two tables and cannot be found\n"
        assert len(result.stdout.splitlines()) == 1 + 4

    def test_a_sentence_has_no_looks(self, refused, tables):
        assert "needs" not in refused("search", tables[0], "red", "--as", "id", "--attributes", tables[1])
        line = refused("search", tables[0], "a row of {Things}", "--attributes", tables[1], "--weight", 1)
        assert line.startswith("a sentence says nothing of looks")

    @pytest.mark.parametrize("option", ["--weight", "--ceiling"])
    def test_an_axis_without_its_table_is_wrong_usage(self, option, verb, tables):
        result = verb("search", tables[0], "x", option, 1)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "name a second table with --attributes" in result.stderr

    def test_nothing_below_the_ceiling_is_no_error(self, verb, tables, expected):
        result = verb("search", tables[0], expected["images"][0], "--attributes", tables[1], "--ceiling", -1)
        assert (result.exit_code, result.stdout, result.stderr) == (0, "", "nothing found\n")


class TestRefusals:
    def test_a_word_that_names_nothing(self, refused, fake_table):
        line = refused("search", fake_table, "reed")
        assert (
            line == f"'reed' is neither an id of {fake_table} nor a file; to search for it as a sentence, say --as text"
        )

    def test_an_unknown_id(self, refused, fake_table):
        line = refused("search", fake_table, "no such\nid", "--as", "id")
        assert line == f"{fake_table} has no vector for no such\\nid: it holds no such image_id."

    def test_an_image_that_failed(self, verb, refused, plain_images, tmp_path):
        folder = plain_images(tmp_path / "images", {"a.png": "red"})
        (folder / "my empty.png").write_bytes(b"")
        verb("embed", folder, "--out", tmp_path / "t", "--encoder", "fake")
        assert "it failed: empty, the file is empty" in refused("search", tmp_path / "t", "my empty.png")

    @pytest.mark.parametrize(
        ("name", "reason"), [("bad.png", "the file is empty"), ("folder", "a folder, not an image")]
    )
    def test_a_query_that_is_no_image(self, name, reason, refused, fake_table, tmp_path):
        (tmp_path / "bad.png").write_bytes(b"")
        (tmp_path / "folder").mkdir()
        assert refused("search", fake_table, tmp_path / name).startswith(f"{tmp_path / name}: {reason}")

    def test_a_broken_link(self, refused, fake_table, tmp_path):
        (tmp_path / "link").symlink_to("nowhere")
        assert refused("search", fake_table, tmp_path / "link") == f"{tmp_path}/link: a link that leads nowhere"

    def test_the_home_folder_of_nobody(self, refused, fake_table):
        assert "there is no file" in refused("search", fake_table, "~nobody-of-this-name/x.png")

    def test_an_image_in_another_recipe(self, refused, tables, golden_paths):
        line = refused("search", tables[0], golden_paths[0], "--recipe", "squash448")
        assert "recipe: 'native' there, 'squash448' here" in line

    def test_a_model_that_has_moved(self, refused, tables, golden_paths, tmp_path, golden, verb):
        table = json.loads((tables[0] / "table.json").read_text())
        table["origin"]["checkpoint_dir"] = str(tmp_path / "moved")
        copy = tmp_path / "t"
        copy.mkdir()
        for part in tables[0].glob("part-*"):
            os.link(part, copy / part.name)
        (copy / "table.json").write_text(json.dumps(table))
        assert f"{tmp_path}/moved" in refused("search", copy, golden_paths[0])
        assert verb("search", copy, golden_paths[0], "-c", golden / "relsim").exit_code == 0

    def test_a_sentence_in_a_space_without_words(self, refused, tables):
        assert "whose space has no sentences" in refused("search", tables[1], "two words")

    def test_what_is_no_table(self, refused, tmp_path):
        assert f"{tmp_path} is not a vector table" in refused("search", tmp_path, "x")

    @pytest.mark.parametrize("wrong", [["--as", "sound"], ["-k", "0"], ["--weight", "much"]])
    def test_wrong_usage_exits_2(self, wrong, verb, fake_table):
        result = verb("search", fake_table, "red", *wrong)
        assert (result.exit_code, result.stdout) == (2, "")


class TestOutput:
    @pytest.fixture
    def odd_table(self, tmp_path):
        encoder = FakeEncoder()
        with VectorTable.create(tmp_path / "odd", encoder.fingerprint, 4, origin={"encoder": "fake"}) as table:
            records = [ImageRecord(image_id, "/x", {"note": "é"}) for image_id in ODD_IDS]
            table.append("a", records, encoder.encode_text(["red"] * len(ODD_IDS)))
        return tmp_path / "odd"

    def test_ids_are_text_to_the_terminal(self, verb, odd_table):
        lines = verb("search", odd_table, "plain.png").stdout.splitlines()
        assert {line.split(maxsplit=2)[2] for line in lines[1:]} == {
            "[bold]x[/bold].png",
            "日本 é 😀.png",
            "line\\nbreak.png",
            "\\x1b[31mred.png",
        }

    def test_json_has_them_as_they_are(self, document, odd_table):
        found = document("search", odd_table, "line\nbreak.png")
        assert {hit["image_id"] for hit in found["hits"]} == set(ODD_IDS) - {"line\nbreak.png"}
        assert set(found) == {"schema", "table", "query", "top_k", "two_axes", "path", "hits", "fingerprint"}
        assert found["schema"] == "relsim.search/1"
        assert set(found["hits"][0]) == {"image_id", "score", "source", "rank", "fields"}
        assert found["hits"][0]["fields"] == {"note": "é"}

    @pytest.mark.parametrize("json_flag", [[], ["--json"]])
    def test_a_reader_that_leaves_is_no_error(self, json_flag, start, odd_table):
        with start("search", odd_table, "plain.png", *json_flag) as process:
            process.stdout.close()
            assert process.stderr.read() == ""

    def test_the_first_line_through_head(self, environment, odd_table, start):
        head = subprocess.Popen(["head", "-1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        with head, start("search", odd_table, "plain.png", stdout=head.stdin) as process:
            head.stdin.close()
            assert head.stdout.read() == "rank   score  image\n"
            assert process.stderr.read() == ""

    def test_signs_that_the_encoding_lacks_are_escaped(self, start, odd_table, environment):
        with start("search", odd_table, "plain.png", env={**environment, "PYTHONIOENCODING": "latin-1"}) as process:
            process.stdout.reconfigure(encoding="latin-1")
            out, err = process.communicate()
        assert (process.returncode, err) == (0, "")
        assert "\\u65e5\\u672c é \\U0001f600.png" in out
