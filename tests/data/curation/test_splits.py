"""Splits: what belongs together stays together, and rows that come later move nothing."""

import hashlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relsim.data.curation.inventory import Inventory, Item, take_inventory
from relsim.data.curation.splits import parse_shares, split, unit, write_split
from relsim.data.manifest import read_manifest
from relsim.data.records import Status
from relsim.errors import SourceError

SHARES = {"train": 0.8, "test": 0.2}


def of(*items):
    return Inventory("x", "list", items)


def places(made):
    """The part of every id."""
    return {item.image_id: part for part, items in made.parts.items() for item in items}


def many(count, start=0, **fields):
    return [
        Item(hashlib.md5(str(n).encode(), usedforsecurity=False).hexdigest(), n, **fields)
        for n in range(start, start + count)
    ]


def test_a_single_row_goes_where_its_number_says():
    """The number is the SHA-256 of `<seed>:<id>`, worked out here by hand."""
    number = int(hashlib.sha256(b"7:abc").hexdigest()[:16], 16) / 2**64
    assert math.isclose(unit(7, "abc"), number, abs_tol=2**-52)
    expected = "train" if number < 0.8 else "test"
    assert places(split(of(Item("abc", 0)), SHARES, seed=7)) == {"abc": expected}


def test_shares_are_met_as_chance_meets_them():
    made = split(of(*many(20_000)), {"train": 0.7, "val": 0.1, "test": 0.2})
    for part, share in {"train": 0.7, "val": 0.1, "test": 0.2}.items():
        assert abs(len(made.parts[part]) / 20_000 - share) < 5 * math.sqrt(share * (1 - share) / 20_000)
    assert made.sets == 20_000
    assert sum(map(len, made.parts.values())) == 20_000


def test_another_seed_is_another_split():
    rows = of(*many(200))
    assert places(split(rows, SHARES, seed=1)) == places(split(rows, SHARES, seed=1))
    assert places(split(rows, SHARES, seed=1)) != places(split(rows, SHARES, seed=2))


def test_appended_rows_move_none_of_the_others():
    before = places(split(of(*many(300)), SHARES))
    after = places(split(of(*many(300), *many(200, start=300)), SHARES))
    assert {image_id: after[image_id] for image_id in before} == before


def test_the_order_of_rows_does_not_matter():
    rows = many(100)
    assert places(split(of(*rows), SHARES)) == places(split(of(*reversed(rows)), SHARES))


@pytest.mark.parametrize(
    ("rule", "alike"),
    [
        ("group", {"extra": {"group": 3}}),
        ("caption", {"caption": "A {Thing} in  a {Thing}"}),
        ("near", {"status": Status.OK, "phash": "0123456789abcdef"}),
        (None, {"status": Status.OK, "sha256": "a" * 64}),
        (None, {"url": "https://x.org/a"}),
    ],
)
def test_rows_that_belong_together_are_in_one_part(rule, alike):
    """Forty that are alike in this one way; without the rule they straddle."""
    made = split(of(*many(40, **alike)), SHARES)
    assert (made.sets, made.largest) == (1, 40)
    assert sorted(map(len, made.parts.values())) == [0, 40]
    if rule is not None:
        others = [name for name in ("group", "caption", "near") if name != rule]
        apart = split(of(*many(40, **alike)), SHARES, together=others)
        assert (apart.sets, min(map(len, apart.parts.values())) > 0) == (40, True)


def test_captions_are_equal_whatever_their_quotes_spaces_and_case():
    captions = ["A {Thing}", '"A {Thing}"', "a  {THING}\n"]
    rows = [Item(str(n), n, caption=text, extra={"caption_clean": text.strip('"')}) for n, text in enumerate(captions)]
    assert split(of(*rows), SHARES).sets == 1


def test_rows_without_a_caption_do_not_belong_together():
    assert split(of(*many(20, caption="")), SHARES).sets == 20
    assert split(of(*many(20)), SHARES).sets == 20


def test_what_is_together_by_one_rule_and_another_is_together():
    rows = [
        Item("a", 0, caption="one"),
        Item("b", 1, caption="one", extra={"group": 1}),
        Item("c", 2, caption="two", extra={"group": 1}),
    ]
    assert split(of(*rows), SHARES).largest == 3


def test_rows_of_a_download_without_an_image_are_left_out(shards):
    made = split(take_inventory(shards), SHARES)
    assert (sorted(places(made)), made.left_out) == (["a", "a2", "a_jpeg", "a_small", "b", "c"], 3)
    assert made.sets == 2  # c is alone; a_jpeg looks like a and is in the seed group of b


def test_parts_are_written_as_manifests(shards, tmp_path):
    made = split(take_inventory(shards), SHARES, seed=4)
    write_split(tmp_path / "split", made)
    rows = {part: read_manifest(tmp_path / "split" / f"{part}.jsonl") for part in SHARES}
    assert rows == {part: [item.manifest_row for item in items] for part, items in made.parts.items()}
    facts = json.loads((tmp_path / "split" / "split.json").read_text())
    assert (facts["schema"], facts["seed"], facts["left_out"]) == ("relsim.split/1", 4, 3)
    assert facts["parts"]["train"] == {"share": 0.8, "rows": len(rows["train"])}
    with pytest.raises(SourceError, match="exists already"):
        write_split(tmp_path / "split", made)


def test_shares_are_read():
    assert parse_shares("train=0.9, test=0.1") == {"train": 0.9, "test": 0.1}


@pytest.mark.parametrize(
    "text",
    ["", "train", "train=", "train=x", "train=0", "train=-1,test=2", "train=0.5", "a=0.5,a=0.5", "../a=1", ".a=1"],
)
def test_shares_that_cannot_be_are_one_clear_line(text):
    with pytest.raises(SourceError) as caught:
        parse_shares(text)
    assert "\n" not in str(caught.value)


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=5), st.integers(0, 50))
def test_every_row_has_one_part_whatever_the_shares(weights, seed):
    shares = {f"part{n}": weight / sum(weights) for n, weight in enumerate(weights)}
    made = split(of(*many(30)), shares, seed=seed)
    assert sum(map(len, made.parts.values())) == len(places(made)) == 30


def test_an_unknown_rule_and_an_empty_collection_are_clear():
    with pytest.raises(SourceError, match="nothing is kept together by looks"):
        split(of(Item("a", 0)), SHARES, together=["looks"])
    with pytest.raises(SourceError, match="has no rows to split"):
        split(of(), SHARES)
