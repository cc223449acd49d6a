"""A collection of a hundred thousand pictures in a browser: each is near, and few of them are in the document."""

import shutil

import numpy as np
import pytest

from relsim.data.records import ImageRecord
from relsim.fingerprint import Fingerprint
from relsim.vectors.table import VectorTable

IMAGES = 100_000


@pytest.fixture(scope="module")
def large(start_server, library, tmp_path_factory):
    """A server of so many ids; each shows one of the pictures of the drawn collection."""
    folder = tmp_path_factory.mktemp("large")
    sources = [record.source for record in library.records.values()]
    records = [ImageRecord(f"image-{row:06d}", sources[row % len(sources)]) for row in range(IMAGES)]
    vectors = np.random.default_rng(0).standard_normal((IMAGES, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with VectorTable.create(folder / "relation", Fingerprint.of({"encoder": "drawn"}), 8) as table:
        table.append("all", records, vectors)
    shutil.copytree(folder / "relation", folder / "look")
    with start_server(tables=(folder / "relation", folder / "look")) as running:
        yield running


def shown(page):
    """Numbers of the cells in the document, and of those in sight."""
    return page.evaluate("""() => {
      const cells = [...document.querySelectorAll("[data-index]")];
      const inside = ({ top, bottom }) => bottom > 0 && top < innerHeight;
      const number = (cell) => Number(cell.dataset.index);
      return [
        cells.map(number),
        cells.filter((cell) => inside(cell.getBoundingClientRect())).map(number),
      ];
    }""")


def all_in_sight_have_come(page):
    page.wait_for_function("""() => [...document.querySelectorAll("[data-index]")]
      .filter((cell) => cell.getBoundingClientRect().bottom > 0 && cell.getBoundingClientRect().top < innerHeight)
      .every((cell) => cell.querySelector("img")?.naturalWidth)""")


@pytest.mark.parametrize("share", [0.0, 0.37, 1.0])
def test_any_place_is_reached_at_once_and_only_what_is_in_sight_is_drawn(open_page, large, share):
    page = open_page(of=large)
    page.wait_for_selector(".card img")
    page.evaluate(f"scrollTo(0, {share} * (document.documentElement.scrollHeight - innerHeight))")
    page.wait_for_timeout(200)
    all_in_sight_have_come(page)
    cells, seen = shown(page)
    assert len(cells) < 120
    assert abs(sum(seen) / len(seen) - share * IMAGES) < 60
    assert (0 in seen, IMAGES - 1 in seen) == (share == 0, share == 1)


def test_the_last_picture_is_one_key_away_and_is_asked_with(open_page, large):
    page = open_page(of=large)
    page.wait_for_selector(".card img")
    page.locator("[data-index='0'] a, [data-index='0'] button").first.focus()
    page.keyboard.press("End")
    page.wait_for_function(f"() => document.activeElement.closest('[data-index]')?.dataset.index === '{IMAGES - 1}'")
    page.keyboard.press("Enter")
    page.wait_for_selector(".card .bars")
    assert "image-099999" in page.url


def test_a_wild_scroll_leaves_nothing_behind(open_page, large):
    page = open_page(of=large)
    page.wait_for_selector(".card img")
    page.mouse.move(600, 500)
    for step in range(60):
        page.mouse.wheel(0, 9_000 if step % 5 else -4_000)
        page.wait_for_timeout(16)
        assert len(shown(page)[0]) < 120
    all_in_sight_have_come(page)
