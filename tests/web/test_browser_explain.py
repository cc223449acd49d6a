"""Why two pictures are alike, in a real browser: maps over both, captions, and both axes."""

import pytest


def test_a_pair_is_explained(open_page, faint, nameless, server, library):
    page = open_page(f"#/search?id={library.ids[3]}", width=1280)
    page.wait_for_selector(".card .bars")
    other = server.ask("/api/search", id=library.ids[3], blend=0.5, count=1)[1]["matches"][0]["id"]
    page.hover(".card")
    page.click(".card .beside")
    page.click("dialog .why button")
    page.wait_for_selector("dialog .heat")
    told = server.ask("/api/explain", id=library.ids[3], other=other)[1]
    assert page.locator("dialog .heat").count() == 4
    assert page.evaluate("document.activeElement.matches('dialog .why')")
    page.keyboard.press("End")
    page.wait_for_function("() => document.querySelector('dialog').scrollTop > 200")
    assert page.evaluate("""() => {
      const place = document.querySelector("dialog .primary").getBoundingClientRect();
      return place.top > 0 && place.bottom < innerHeight;
    }""")
    shown = page.inner_text("dialog")
    assert told["shared"][0] in shown
    assert told["pictures"][0]["sentence"] in shown
    assert shown.count("unrelated pairs") == 2
    # The most attended cell has the colour at the end of the scale over grey, so it is the yellowest of all.
    rows = told["pictures"][0]["attention"]
    cells = [(value, row, column) for row, line in enumerate(rows) for column, value in enumerate(line)]
    if max(cells)[0] == max(value for one in told["pictures"] for line in one["attention"] for value in line):
        _, row, column = max(cells)
        left, top, right, bottom = told["pictures"][0]["seen"]
        at = [
            left + (right - left) * (column + 0.5) / len(rows[0]),
            top + (bottom - top) * (row + 0.5) / len(rows),
        ]
        red, green, blue = page.evaluate(
            """([x, y]) => { const one = document.querySelector('.heat');
              return [...one.getContext('2d').getImageData(x * one.width, y * one.height, 1, 1).data].slice(0, 3) }""",
            at,
        )
        assert min(red, green) > blue + 60
    assert (faint(page), nameless(page)) == ([], [])
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark")])
def test_it_fits_a_narrow_window(open_page, faint, library, width, scheme):
    page = open_page(f"#/search?id={library.ids[5]}", width=width, scheme=scheme, has_touch=True)
    page.wait_for_selector(".card .beside")
    page.click(".card .beside")
    page.click("dialog .why button")
    page.wait_for_selector("dialog .heat")
    assert page.evaluate("document.querySelector('dialog').scrollWidth <= document.querySelector('dialog').clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert faint(page) == []
