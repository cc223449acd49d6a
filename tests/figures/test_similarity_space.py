"""The similarity space: published normalisation and grid by brute force, percentiles, and a figure without overlap."""

from dataclasses import replace

import numpy as np
import pytest

from relsim.errors import ResultError
from relsim.evaluation.result_files import read_result
from relsim.figures.similarity_space import QUADRANTS, Query, SpaceSettings, make_space, read_space
from relsim.figures.space_picture import draw_space, slots
from relsim.vectors.calibration import distribution_of
from relsim.vectors.two_axis import TwoAxisHit


def hits(count, seed=0, source="x.png"):
    rng = np.random.default_rng(seed)
    pairs = rng.uniform(-0.2, 0.9, (count, 2))
    return [
        TwoAxisHit(f"i{place:04d}", 0.0, float(relation), float(look), source, place + 1)
        for place, (relation, look) in enumerate(pairs)
    ]


def by_id(space):
    return {point.image_id: point for point in space.points}


def test_both_scores_are_stretched_from_the_least_to_the_greatest():
    found = hits(500)
    space = make_space(Query("q", ""), found)
    look = [hit.attribute for hit in found]
    relation = [hit.relational for hit in found]
    for hit in found:
        point = by_id(space)[hit.image_id]
        assert point.x == pytest.approx((hit.attribute - min(look)) / (max(look) - min(look)), abs=1e-12)
        assert point.y == pytest.approx((hit.relational - min(relation)) / (max(relation) - min(relation)), abs=1e-12)
    assert (space.x.low, space.x.high, space.y.low, space.y.high) == (
        *(min(look), max(look)),
        *(min(relation), max(relation)),
    )
    assert [point.relational for point in space.points] == sorted(relation, reverse=True)


def test_cells_are_twenty_by_ten_and_show_five_pictures_at_most():
    space = make_space(Query("q", ""), hits(3000))
    assert (space.settings.columns, space.settings.rows, space.settings.per_cell) == (20, 10, 5)
    for point in space.points:
        assert point.column == min(19, int(point.x * 20))
        assert point.row == min(9, int(point.y * 10))
    cells = {}
    for point in space.points:
        cells.setdefault((point.column, point.row), []).append(point.shown)
    assert len(cells) == 200
    assert [sum(shown) for shown in cells.values()] == [min(5, len(shown)) for shown in cells.values()]


def test_a_sample_is_seeded_and_a_smaller_one_is_part_of_a_larger_one():
    found = hits(300)
    ids = [set(by_id(make_space(Query("q", ""), found, settings=SpaceSettings(sample=size)))) for size in (40, 200)]
    assert (len(ids[0]), len(ids[1])) == (40, 200)
    assert ids[0] < ids[1]
    again = make_space(Query("q", ""), list(reversed(found)), settings=SpaceSettings(sample=40))
    assert set(by_id(again)) == ids[0]
    other = make_space(Query("q", ""), found, settings=SpaceSettings(sample=40, seed=1))
    assert set(by_id(other)) != ids[0]
    assert other.collection == 300


def test_corners_have_the_names_of_gentner_and_markman():
    corners = {"analogy": (0.1, 0.9), "literal similarity": (0.9, 0.9), "anomaly": (0.1, 0.1)}
    corners["mere appearance"] = (0.9, 0.1)
    found = [TwoAxisHit(name, 0.0, y, x, "", 1) for name, (x, y) in corners.items()]
    space = make_space(Query("q", ""), found)
    assert {point.image_id: point.quadrant for point in space.points} == {name: name for name in corners}
    assert set(QUADRANTS.values()) == set(corners)


def test_percentiles_count_the_less_similar_of_the_collection_or_of_unrelated_pairs():
    found = hits(101)
    null = distribution_of(np.linspace(-1, 1, 2001))
    settings = SpaceSettings(scale="percentile")
    space = make_space(Query("q", ""), found, settings=settings, nulls=(None, null))
    assert (space.x.percentile_of, space.y.percentile_of) == ("this collection", "unrelated pairs")
    for point in space.points:
        below = sum(hit.attribute < point.attribute for hit in found)
        assert point.attribute_percentile == pytest.approx(100 * below / 101)
        assert point.relational_percentile == pytest.approx(100 * (point.relational + 1) / 2, abs=0.01)
        assert (point.x, point.y) == (point.attribute_percentile / 100, point.relational_percentile / 100)


def test_equal_scores_stand_in_the_middle():
    found = [TwoAxisHit(f"{place}", 0.0, 0.5, 0.25, "", 1) for place in range(3)]
    assert {(point.x, point.y) for point in make_space(Query("q", ""), found).points} == {(0.5, 0.5)}


@pytest.mark.parametrize(
    "settings", [{"scale": "log"}, {"columns": 0}, {"per_cell": 0}, {"sample": 0}], ids=lambda row: next(iter(row))
)
def test_settings_that_mean_nothing_are_refused(settings):
    with pytest.raises(ResultError):
        SpaceSettings(**settings)


def test_no_picture_makes_no_space():
    with pytest.raises(ResultError, match="no picture"):
        make_space(Query("q", ""), [])


def test_the_document_reads_back_as_the_same_space(tmp_path, write):
    space = make_space(Query("q", "/q.png"), hits(30), settings=SpaceSettings("raw", 20, 4, 3, 2, 5))
    assert read_space(read_result(write(tmp_path, "space.json", space.to_json()))) == space


def test_the_published_form_is_written_and_read(tmp_path, write):
    space = make_space(Query("q", ""), hits(30))
    published = space.published_form()
    assert published["i0000"] == {
        "clip_score": hits(30)[0].attribute,
        "our_score": hits(30)[0].relational,
        "our_path": "x.png",
    }
    again = read_space(read_result(write(tmp_path, "xy.json", published)))
    assert {p.image_id: (p.x, p.y) for p in again.points} == {p.image_id: (p.x, p.y) for p in space.points}


def test_a_damaged_document_is_refused(tmp_path, write):
    content = make_space(Query("q", ""), hits(3)).to_json()
    del content["axes"]
    with pytest.raises(ResultError, match="is no similarity space: KeyError 'axes'"):
        read_space(read_result(write(tmp_path, "space.json", content)))


@pytest.mark.parametrize("count", range(1, 10))
def test_slots_lie_within_their_cell_and_apart(count):
    squares = list(slots(count))
    assert len(squares) == count
    for place, one in enumerate(squares):
        assert min(one.left, one.bottom) >= 0
        assert max(one.left, one.bottom) + one.side <= 1
        for other in squares[place + 1 :]:
            apart = (abs(one.left - other.left) >= one.side) or (abs(one.bottom - other.bottom) >= one.side)
            assert apart


def test_pictures_of_the_figure_lie_in_their_cells_and_do_not_overlap(pictures):
    names = [f"{number:02d}" for number in range(12)] + ["bad"]
    found = [
        TwoAxisHit(name, 0.0, 0.3 * (place % 3), 0.2 * (place % 2), str(pictures / f"{name}.png"), 1)
        for place, name in enumerate(names)
    ]
    settings = SpaceSettings(columns=4, rows=3)
    space = make_space(Query("q", str(pictures / "00.png")), found, settings=settings)
    figure = draw_space(space)
    axes = figure.axes[0]
    boxes = [image.get_extent() for image in axes.images]
    assert len(boxes) == sum(point.shown for point in space.points) == 13
    cells = {(point.column, point.row) for point in space.points}
    for left, right, low, high in boxes:
        assert (int(left), int(low)) in cells
        assert left < right <= int(left) + 1
        assert low < high <= int(low) + 1
    for place, one in enumerate(boxes):
        for other in boxes[place + 1 :]:
            assert one[1] <= other[0] or other[1] <= one[0] or one[3] <= other[2] or other[3] <= one[2]
    words = [text.get_text() for text in (*axes.texts, *figure.texts)]
    assert set(QUADRANTS.values()) <= set(words)
    assert any("1 cannot be read" in word for word in words)


def test_thumbnails_keep_their_proportions(pictures):
    found = [TwoAxisHit("11", 0.0, 0.5, 0.5, str(pictures / "11.png"), 1)]  # 30 wide, 31 high
    axes = draw_space(make_space(Query("q", ""), found, settings=SpaceSettings(columns=2, rows=2))).axes[0]
    left, right, low, high = axes.images[0].get_extent()
    assert (right - left) / (high - low) == pytest.approx(30 / 31)


def test_ticks_say_what_the_scale_says():
    for scale, ends in (("published", ("0.00", "1.00")), ("percentile", ("0", "100")), ("raw", ("0.10", "0.90"))):
        found = [TwoAxisHit(f"{y}", 0.0, y, y, "", 1) for y in (0.1, 0.9)]
        space = make_space(Query("q", ""), found, settings=SpaceSettings(scale=scale, columns=4, rows=4))
        labels = [label.get_text() for label in draw_space(space).axes[0].get_xticklabels()]
        assert (labels[0], labels[-1]) == ends


@pytest.mark.parametrize("scale", ["published", "percentile", "raw"])
@pytest.mark.parametrize(("columns", "rows"), [(1, 1), (2, 2), (8, 5), (3, 10), (20, 2), (20, 10), (100, 100)])
def test_words_of_the_figure_keep_apart_on_every_grid(pictures, collisions, columns, rows, scale):
    settings = SpaceSettings(scale=scale, columns=columns, rows=rows)
    names = ("relsim-mini-attributes-of-a-long-name", "a-checkpoint-of-a-name-that-is-very-long-indeed")
    space = make_space(Query("q", str(pictures / "11.png")), hits(30), settings=settings, names=names)
    figure = draw_space(replace(space, collection=12_345), title="A title")
    assert collisions(figure) == ([], [])
    assert max(figure.get_size_inches()) < 45
