"""Numbers about a collection, against numpy and counts by hand."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relsim.data.curation.inventory import Inventory, Item, take_inventory
from relsim.data.curation.statistics import QUANTILES, Spread, statistics_of


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=50))
def test_quantiles_are_numpys_inverted_distribution(values):
    spread = Spread.of(values)
    assert (spread.count, spread.total) == (len(values), sum(values))
    expected = np.quantile(values, QUANTILES, method="inverted_cdf").tolist()
    assert list(spread.quantiles.values()) == expected
    assert list(spread.quantiles) == ["0", "5", "25", "50", "75", "95", "100"]


def test_nothing_has_no_spread():
    assert Spread.of([]) is None


@pytest.fixture
def facts(shards):
    return statistics_of(take_inventory(shards))


def test_rows_are_counted_by_what_became_of_them(facts):
    assert (facts.rows, facts.ids, facts.repeated_ids) == (9, 8, 1)
    assert facts.statuses == {"ok": 6, "blocked": 1, "dead": 1, "timeout": 1}
    assert facts.http_codes == {"200": 6, "403": 1, "404": 1}
    assert facts.formats == {"PNG": 3, "GIF": 1, "JPEG": 1, "WEBP": 1}
    assert (facts.repeated_bytes, facts.groups) == (1, 1)


def test_sizes_are_those_of_the_images(facts):
    assert (facts.width.quantiles["0"], facts.width.quantiles["100"]) == (48, 96)
    assert facts.pixels.total == 3 * 96 * 72 + 64 * 48 + 2 * 48 * 36
    assert facts.image_bytes is None


def test_hosts_are_counted_with_their_images(facts):
    assert (facts.host_count, list(facts.hosts)) == (3, ["one.org", "two.org", "three.org"])
    assert facts.hosts["two.org"] == {"rows": 3, "ok": 1}


def test_captions_are_measured_cleaned(facts):
    captions = facts.captions
    assert (captions.present, captions.absent, captions.distinct, captions.repeating) == (6, 3, 6, 0)
    assert (captions.quoted, captions.without_placeholder) == (1, 2)
    assert captions.characters.quantiles["100"] == len("a  {thing} inside a {THING}")
    assert captions.words.quantiles["0"] == 2
    assert captions.placeholders.total == 7
    assert captions.commonest_placeholders["{Thing}"] == 3
    assert captions.commonest == {}


def test_captions_that_repeat_are_told_with_their_counts():
    items = tuple(Item(str(number), number, caption="A" if number < 3 else "B") for number in range(5))
    captions = statistics_of(Inventory("x", "list", items)).captions
    assert (captions.distinct, captions.repeating, captions.commonest) == (2, 3, {"A": 3, "B": 2})


@pytest.mark.parametrize("url", ["https://[::1", "nothing", "", "https:///x"])
def test_a_url_without_a_host_is_counted_as_such(url):
    facts = statistics_of(Inventory("x", "list", (Item("a", 0, url=url),)))
    assert facts.hosts == {"(no host)": {"rows": 1, "ok": 0}}


def test_a_folder_knows_its_bytes(folder, images):
    facts = statistics_of(take_inventory(folder))
    assert facts.image_bytes.total == sum(map(len, images.values()))
    assert facts.statuses == {"ok": 6, "not_image": 1}
    json.dumps(facts.to_dict())


def test_an_empty_collection_has_zeros():
    facts = statistics_of(Inventory("x", "list", ()))
    assert (facts.rows, facts.pixels, facts.captions.present, facts.hosts) == (0, None, 0, {})
