"""Ranking by a measure of pairs: every candidate measured, nearest first, ties by id, whatever the batch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from relsim.data.records import ImageRecord, Status
from relsim.encoders.pairwise import distances, measure_pairs, rerank
from relsim.errors import EncoderError, ImageError
from relsim.fingerprint import Fingerprint


class Brightness:
    """The difference of mean grey values; black to white is 255."""

    name = "brightness"
    fingerprint = Fingerprint.of({"encoder": "brightness"})

    def __init__(self):
        self.batches = []

    def prepare(self, image):
        if image.width == 13:
            raise ImageError(Status.BAD_SHAPE.value, "13 brings bad luck")
        return float(np.asarray(image.convert("L")).mean())

    def distance(self, batch_a, batch_b):
        self.batches.append(len(batch_a))
        found = np.abs(np.subtract(batch_a, batch_b)).astype(np.float32)
        found[found == 200] = np.nan
        return found


@pytest.fixture(scope="module")
def greys(tmp_path_factory):
    """`greys(value, image_id)` is the record of a plain picture."""
    folder = tmp_path_factory.mktemp("greys")

    def record(value, image_id=None, width=8):
        path = folder / f"{value}-{width}.png"
        if not path.exists():
            Image.new("L", (width, 8), value).save(path)
        return ImageRecord(str(value) if image_id is None else image_id, str(path))

    return record


@given(values=st.lists(st.integers(0, 190), max_size=12), batch_size=st.integers(1, 5))
def test_the_order_is_brute_forces(greys, values, batch_size):
    candidates = [greys(value, f"{row:02}") for row, value in enumerate(values)]
    ranking = rerank(Brightness(), greys(100, "query"), candidates, batch_size=batch_size, workers=2)
    expected = sorted((abs(value - 100), f"{row:02}") for row, value in enumerate(values))
    assert [(one.distance, one.record.image_id) for one in ranking.ranked] == expected
    assert ranking.failures == []


def test_batches_are_as_large_as_asked(greys):
    measure = Brightness()
    rerank(measure, greys(0, "query"), [greys(value) for value in range(1, 8)], batch_size=3)
    assert measure.batches == [3, 3, 1]


def test_the_query_is_left_out_and_its_double_is_not(greys):
    ranking = rerank(Brightness(), greys(5), [greys(5), greys(5, "double"), greys(9)])
    assert [one.record.image_id for one in ranking.ranked] == ["double", "9"]


def test_what_cannot_be_measured_is_told_and_ends_nothing(greys, tmp_path):
    gone = ImageRecord("gone", str(tmp_path / "gone.png"))
    candidates = [gone, greys(3, "unlucky", width=13), greys(200, "odd"), greys(1)]
    ranking = rerank(Brightness(), greys(0, "query"), candidates, batch_size=2)
    assert [one.record.image_id for one in ranking.ranked] == ["1"]
    told = {failure.record.image_id: failure.reason for failure in ranking.failures}
    assert told.keys() == {"gone", "unlucky", "odd"}
    assert told["unlucky"] == "13 brings bad luck"
    assert told["odd"] == "the distance is not finite"


def test_a_query_that_cannot_be_read_is_an_error(greys, tmp_path):
    with pytest.raises(ImageError, match=r"gone\.png"):
        rerank(Brightness(), ImageRecord("gone", str(tmp_path / "gone.png")), [greys(1)])


def test_a_batch_needs_a_pair(greys):
    with pytest.raises(ValueError, match="batch_size is 0"):
        rerank(Brightness(), greys(1), [greys(2)], batch_size=0)


def test_a_measure_that_gives_another_number_of_distances_is_refused(greys):
    class Short(Brightness):
        def distance(self, batch_a, batch_b):
            return super().distance(batch_a, batch_b)[:-1]

    with pytest.raises(EncoderError, match=r"brightness gave distances of shape \(1,\) for 2 pairs"):
        rerank(Short(), greys(1), [greys(2), greys(3)])


def test_pairs_are_measured_as_they_are_listed(greys, tmp_path):
    """Whatever the batch; those that cannot be measured keep their places."""
    gone = ImageRecord("gone", str(tmp_path / "gone.png"))
    zero, unlucky = greys(0, "zero"), greys(3, "unlucky", width=13)
    pairs = [(zero, greys(10)), (greys(90), greys(10)), (zero, gone), (unlucky, zero), (zero, greys(200, "odd"))]
    for batch_size in (1, 2, 5):
        seen = []
        found = measure_pairs(Brightness(), pairs, batch_size=batch_size, workers=2, on_measured=seen.append)
        assert found.distances == seen == [10, 80, None, None, None]
        assert {failure.record.image_id for failure in found.failures} == {"gone", "unlucky", "odd"}


def test_all_pairs_are_measured_in_batches(greys):
    values = [0, 10, 90]
    measure = Brightness()
    found = distances(measure, [greys(value) for value in values], batch_size=4)
    np.testing.assert_array_equal(found, np.abs(np.subtract.outer(values, values)))
    assert measure.batches == [4, 4, 1]
