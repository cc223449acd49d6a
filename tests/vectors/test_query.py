"""Queries as people ask them: what a word is taken for, and which vector it becomes."""

import numpy as np
import pytest
from PIL import Image

from relsim.data.records import Failure, ImageRecord, Status
from relsim.encoders.descriptors import DescriptorEncoder
from relsim.encoders.fake import FakeEncoder
from relsim.errors import FingerprintMismatchError, ImageError, SearchError
from relsim.models.text_encoder import CaptionEncoder
from relsim.vectors import VectorTable
from relsim.vectors.query import Query, QueryKind, search_table, search_two_axes

COLOURS = ["black", "red", "white", "blue", "yellow"]
FAILED = Failure(ImageRecord("broken one", "/x"), Status.EMPTY, "the file is empty")


@pytest.fixture
def table(tmp_path):
    """Colours by name, in the fake encoder's space, and an image that failed."""
    encoder = FakeEncoder()
    with VectorTable.create(tmp_path / "t", encoder.fingerprint, 4, origin={"encoder": "fake"}) as made:
        made.append("a", [ImageRecord(name, "/x") for name in COLOURS], encoder.encode_text(COLOURS), [FAILED])
    return made


def load(origin):
    assert origin == {"encoder": "fake"}
    return FakeEncoder()


def never(origin):
    raise AssertionError(f"no encoder is needed, but {origin} was asked for")


@pytest.fixture
def red_file(tmp_path):
    path = tmp_path / "a picture.png"
    Image.new("RGB", (28, 28), "red").save(path)
    return path


class TestParse:
    def test_an_id_comes_before_a_file(self, table, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "red").write_bytes(b"")
        assert Query.parse("red", table) == Query(QueryKind.ID, "red")

    def test_a_file_comes_before_a_sentence(self, table, red_file):
        assert Query.parse(str(red_file), table).kind is QueryKind.IMAGE

    def test_a_folder_and_a_broken_link_are_files_too(self, table, tmp_path):
        (tmp_path / "link").symlink_to("nowhere")
        assert Query.parse(str(tmp_path), table).kind is QueryKind.IMAGE
        assert Query.parse(str(tmp_path / "link"), table).kind is QueryKind.IMAGE

    @pytest.mark.parametrize("text", ["a red thing", "{Object}", "Growth-of-{Subject}", "a\nb", "x " * 4000])
    def test_words_and_placeholders_are_a_sentence(self, text, table):
        assert Query.parse(text, table) == Query(QueryKind.TEXT, text)

    def test_an_image_that_failed_is_an_id_even_with_spaces(self, table):
        assert Query.parse("broken one", table).kind is QueryKind.ID

    @pytest.mark.parametrize("text", ["rde", "", "{}", "~nobody-of-this-name/a.png", "a/b/c.png", "x" * 5000, "a\0b"])
    def test_a_lone_word_that_names_nothing_is_refused(self, text, table):
        with pytest.raises(SearchError, match="say --as text"):
            Query.parse(text, table)

    @pytest.mark.parametrize("kind", ["id", "image", "text"])
    def test_the_kind_is_taken_at_its_word(self, kind, table):
        assert Query.parse("red", table, kind) == Query(QueryKind(kind), "red")

    def test_an_unknown_kind_is_refused(self, table):
        with pytest.raises(SearchError, match="known are id, image, text"):
            Query.parse("red", table, "sound")


class TestOneAxis:
    def test_an_id_needs_no_encoder_and_does_not_find_itself(self, table):
        found = search_table(table, Query(QueryKind.ID, "red"), 9, never)
        # red = (1, 0, 0, 1)/sqrt 2; yellow = (1, 1, 0, 1)/sqrt 3; black = (0, 0, 0, 1); white = (1, 1, 1, 1)/2
        expected = {"yellow": 2 / 6**0.5, "black": 0.5**0.5, "white": 0.5**0.5, "blue": 0.5}
        assert {hit.image_id: pytest.approx(hit.score) for hit in found.hits} == expected
        assert [hit.image_id for hit in found.hits] == list(expected)
        assert found.notes == ()

    def test_an_image_goes_through_the_tables_encoder(self, table, red_file):
        found = search_table(table, Query(QueryKind.IMAGE, str(red_file)), 1, load)
        assert (found.hits[0].image_id, found.hits[0].score) == ("red", pytest.approx(1))

    def test_a_sentence_goes_through_an_encoder_that_takes_text(self, table):
        found = search_table(table, Query(QueryKind.TEXT, "something blue"), 1, load)
        assert found.hits[0].image_id == "blue"

    def test_a_sentence_in_the_relational_space_needs_the_caption_encoder_only(self, tmp_path, facts):
        captions = ["A row of {Objects}", "{Objects} in a ring", "Growth of {Subject}"]
        vectors = CaptionEncoder().encode_text(captions)
        with VectorTable.create(tmp_path / "r", facts, 384) as table:
            table.append("a", [ImageRecord(caption, "/x") for caption in captions], vectors)
        found = search_table(table, Query(QueryKind.TEXT, captions[1]), 3, never)
        assert found.hits[0].image_id == captions[1]
        assert [hit.score for hit in found.hits] == pytest.approx(sorted(vectors @ vectors[1], reverse=True), abs=1e-6)

    def test_a_space_without_words_takes_no_sentence(self, tmp_path):
        encoder = DescriptorEncoder()
        with (
            VectorTable.create(tmp_path / "d", encoder.fingerprint, encoder.dimension) as table,
            pytest.raises(SearchError, match="descriptors, whose space has no sentences"),
        ):
            search_table(table, Query(QueryKind.TEXT, "a sentence"), 1, lambda _origin: encoder)

    def test_another_encoder_than_the_tables_is_refused(self, table, red_file):
        with pytest.raises(FingerprintMismatchError, match="'fake' there, 'descriptors' here"):
            search_table(table, Query(QueryKind.IMAGE, str(red_file)), 1, lambda _origin: DescriptorEncoder())

    def test_a_bad_image_is_found_out_before_the_encoder_is_loaded(self, table, tmp_path):
        with pytest.raises(ImageError, match=r"none\.png: no such file") as caught:
            search_table(table, Query(QueryKind.IMAGE, str(tmp_path / "none.png")), 1, never)
        assert caught.value.status == Status.MISSING.value

    def test_an_image_that_the_encoder_cannot_take_is_named(self, table, red_file):
        class Picky(FakeEncoder):
            def prepare(self, image):
                raise ImageError(Status.BAD_SHAPE, "too long")

        with pytest.raises(ImageError, match=r"a picture\.png: too long"):
            search_table(table, Query(QueryKind.IMAGE, str(red_file)), 1, lambda _origin: Picky())

    def test_an_image_that_failed_says_why(self, table):
        with pytest.raises(SearchError, match="it failed: empty, the file is empty"):
            search_table(table, Query(QueryKind.ID, "broken one"), 1, never)


class TestTwoAxes:
    @pytest.fixture
    def looks(self, tmp_path, unit):
        """Four of the five colours, with vectors of two numbers; `green` stands here only."""
        vectors = np.array([[1, 0], [0.6, 0.8], [0, 1], [-1, 0]], np.float32)
        encoder = DescriptorEncoder("hog")
        with VectorTable.create(tmp_path / "looks", encoder.fingerprint, 2) as table:
            table.append("a", [ImageRecord(name, "/x") for name in ["red", "black", "white", "green"]], vectors)
        return table

    def test_the_weight_counts_against_looks(self, table, looks):
        found = search_two_axes(table, looks, Query(QueryKind.ID, "red"), 9, never, weight=1.0)
        hits = [(hit.image_id, hit.score, hit.relational, hit.attribute) for hit in found.hits]
        root = 0.5**0.5
        assert hits == [
            ("white", pytest.approx(root), pytest.approx(root), pytest.approx(0, abs=1e-6)),
            ("black", pytest.approx(root - 0.6), pytest.approx(root), pytest.approx(0.6)),
        ]

    def test_the_ceiling_bounds_looks(self, table, looks):
        found = search_two_axes(table, looks, Query(QueryKind.ID, "red"), 9, never, ceiling=0.5)
        assert [hit.image_id for hit in found.hits] == ["white"]

    def test_images_of_one_table_only_are_counted_in_a_note(self, table, looks):
        found = search_two_axes(table, looks, Query(QueryKind.ID, "red"), 9, never)
        assert found.notes == ("3 images stand in only one of the two tables and cannot be found",)

    def test_an_image_goes_through_both_encoders(self, table, tmp_path, red_file):
        descriptors = DescriptorEncoder()
        picture = Image.open(red_file)
        with VectorTable.create(tmp_path / "d", descriptors.fingerprint, descriptors.dimension) as other:
            records = [ImageRecord(name, "/x") for name in ("red", "blue")]
            pictures = [picture, Image.new("RGB", (28, 28), "blue")]
            other.append("a", records, descriptors.encode([descriptors.prepare(item) for item in pictures]))
        made = {"": descriptors, "fake": FakeEncoder()}
        found = search_two_axes(
            table, other, Query(QueryKind.IMAGE, str(red_file)), 9, lambda origin: made[origin.get("encoder", "")]
        )
        assert found.hits[0].image_id == "red"
        assert (found.hits[0].relational, found.hits[0].attribute) == (pytest.approx(1), pytest.approx(1, abs=1e-5))

    def test_a_sentence_is_refused(self, table, looks):
        with pytest.raises(SearchError, match="says nothing of looks"):
            search_two_axes(table, looks, Query(QueryKind.TEXT, "a sentence"), 9, never)


def test_a_mistyped_path_is_no_sentence(table):
    with pytest.raises(SearchError, match="there is no file"):
        Query.parse("my photos/earth 1.jpg", table)
