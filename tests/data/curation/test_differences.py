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
