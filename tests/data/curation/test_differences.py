"""Two copies of a collection, compared image by image."""

from dataclasses import replace

import pytest

from relsim.data.curation.differences import compare
from relsim.data.curation.inventory import Inventory, Item, take_inventory
from relsim.data.records import Status


@pytest.fixture
def first(shards):
    return take_inventory(shards)


def changed(inventory, **changes):
    """The inventory with some items by id changed, or left out where the change is None."""
    items = []
    for item in inventory.items:
        change = changes.get(item.image_id, {})
        if change is not None:
            items.append(replace(item, **change))
    return replace(inventory, name="second", items=tuple(items))


def found(comparison):
    return [(d.image_id, d.kind, d.first, d.second) for d in comparison.differences]


def test_a_copy_of_itself_differs_in_nothing(first):
    same = compare(first, first)
    assert (same.shared, same.equal, same.counts, same.differences) == (8, 8, {}, ())


def test_every_kind_of_difference_is_told(first):
    second = changed(
        first,
        a={"sha256": "f" * 64},
        gone={"status": Status.OK, "http_code": 200, "sha256": "e" * 64},
        a_small={"caption": "Something else"},
        slow=None,
        c={"url": "https://x.org/c"},
    )
    second = replace(second, items=(*second.items, Item("new", 99, status=Status.TIMEOUT)))
    comparison = compare(first, second)
    assert found(comparison) == [
        ("a", "bytes", first.items[0].sha256, "f" * 64),
        ("gone", "status", "dead (404)", "ok (200)"),
        ("a_small", "caption", "Something small", "Something else"),
        ("slow", "only_in_first", "timeout", None),
        ("c", "url", None, "https://x.org/c"),
        ("new", "only_in_second", None, "timeout"),
    ]
    assert list(comparison.counts) == ["only_in_first", "only_in_second", "status", "bytes", "caption", "url"]
    assert (comparison.ids_first, comparison.ids_second, comparison.shared, comparison.equal) == (8, 8, 7, 3)


def test_statuses_come_with_their_reasons(first):
    second = changed(first, gone={"status": Status.TIMEOUT, "http_code": None, "reason": "no answer for 20 s"})
    (one,) = compare(first, second).differences
    assert (one.first, one.second) == ("dead (404)", "timeout")
    reason = first.by_id()["gone"].reason
    assert one.why == f"first: {reason}; second: no answer for 20 s"
    second = changed(first, gone={"status": Status.OK, "http_code": 200, "reason": None})
    assert [one.why for one in compare(first, second).differences] == [f"first: {reason}"]


def test_other_bytes_come_with_what_they_are_and_whether_the_picture_is_the_same(first):
    sides = {"format": "JPEG", "width": 640, "height": 480, "phash": "00000000000000f0"}
    ours = changed(first, a={**sides, "size": 12_345}, b=sides, c={**sides, "phash": "8000000000000000"}, a2={**sides})
    theirs = changed(
        ours,
        a={"sha256": "f" * 64, "format": "PNG", "width": 320, "height": 240, "phash": "00000000000000f3", "size": 999},
        b={"sha256": "e" * 64, "phash": "00000000000000ff", "width": None},
        c={"sha256": "d" * 64},
        a2={"sha256": "c" * 64, "phash": "00000000000000d0"},
    )
    why = {one.image_id: one.why for one in compare(ours, theirs).differences}
    assert (
        why["a"] == "first: JPEG, 640 x 480, 12,345 bytes; second: PNG, 320 x 240, 999 bytes; the same picture (2 bits)"
    )
    assert why["b"] == "first: JPEG, 640 x 480; second: JPEG; the same picture (4 bits)"
    assert why["c"] == "first: JPEG, 640 x 480; second: JPEG, 640 x 480"  # of one colour: its hash says nothing
    assert why["a2"].endswith("the same picture (1 bit)")
    far = changed(ours, b={"sha256": "e" * 64, "phash": "00000000000001ef"})
    assert compare(ours, far).differences[0].why.endswith("another picture (6 bits)")


def test_raw_and_cleaned_captions_are_equal(first):
    second = changed(first, a={"caption": "A {Thing} inside a {Thing}", "extra": {}})
    assert [kind for _, kind, _, _ in found(compare(first, second))] == ["url"]


def test_an_image_differs_in_several_ways(first):
    second = changed(first, a={"sha256": "f" * 64, "caption": "X", "extra": {}})
    assert [kind for _, kind, _, _ in found(compare(first, second))] == ["bytes", "caption", "url"]


def test_what_a_side_does_not_know_is_not_compared(first):
    listed = Inventory("list", "list", tuple(Item(item.image_id, item.row) for item in first.items))
    assert compare(first, listed).differences == ()


def test_a_folder_and_shards_of_the_same_images_have_the_same_bytes(shards, tmp_path, images):
    place = tmp_path / "published"
    place.mkdir()
    for name in ("a", "a2", "b"):
        (place / name).write_bytes(images[name])
        (place / name).rename(place / f"{name}.png")
    stems = take_inventory(place)
    stems = replace(stems, items=tuple(replace(i, image_id=i.image_id.removesuffix(".png")) for i in stems.items))
    comparison = compare(take_inventory(shards), stems)
    assert comparison.equal == 3
    assert set(comparison.counts) == {"only_in_first"}
