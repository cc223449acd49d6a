"""The map in a real browser: it is made while one waits, its groups are told, and pictures lead on."""

import itertools

import pytest


@pytest.fixture
def open_map(open_page, server):
    """`open_map()` opens the map, and gives the page and the map's document."""

    def opened(**options):
        page = open_page("#/map", **options)
        page.wait_for_selector(".map-group")
        page.locator("canvas").scroll_into_view_if_needed()
        return page, server.ask("/api/map")[1]

    return opened


def at(page, x, y):
    """Where a place of the whole map is in the window, from the paddings of the plane alone."""
    box = page.locator("canvas").bounding_box()
    unit = min(box["width"], box["height"]) - 2 - 16 - 52
    return box["x"] + box["width"] / 2 + (x - 0.5) * unit, box["y"] + box["height"] / 2 - (y - 0.5) * unit


def alone(document):
    """Number of the picture that is farthest from all others."""
    places = list(zip(document["x"], document["y"], strict=True))
    return max(
        range(len(places)),
        key=lambda one: min(
            (places[one][0] - x) ** 2 + (places[one][1] - y) ** 2 for other, (x, y) in enumerate(places) if other != one
        ),
    )


def between(values):
    """A place near the middle at which no point is: in the widest gap."""
    inner = sorted(value for value in values if 0.35 < value < 0.65)
    return sum(max(itertools.pairwise(inner), key=lambda pair: pair[1] - pair[0])) / 2


def test_it_is_made_while_one_waits(open_page, server):
    page = open_page("#/map")
    page.wait_for_selector(".making, .map-group")
    page.wait_for_selector(".map-group")
    assert page.query_selector(".making") is None
    assert page.get_attribute("canvas", "aria-label").startswith(f"Map of {len(server.ask('/api/map')[1]['ids'])}")


def test_groups_are_told_with_their_captions(open_map):
    page, document = open_map()
    told = page.eval_on_selector_all(
        ".map-group", "all => all.map(one => [...one.children].slice(1).map(e => e.textContent))"
    )
    expected = [[f"{n + 1}. {group['label']}", str(group["size"])] for n, group in enumerate(document["groups"])]
    assert told == expected
    swatches = page.eval_on_selector_all(
        ".map-group path", "all => all.map(one => one.getAttribute('d') + one.getAttribute('fill'))"
    )
    assert len(set(swatches)) == len(swatches)


def test_a_group_comes_to_the_fore_and_lists_its_pictures_by_keys_alone(open_map, library):
    page, document = open_map()
    group = document["groups"][1]
    page.focus(".map-groups li:nth-child(2) button")
    page.keyboard.press("Enter")
    assert page.get_attribute(".map-groups li:nth-child(2) button", "aria-pressed") == "true"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector(".map-groups li:nth-child(2) .strip a")
    links = page.query_selector_all(".map-groups li:nth-child(2) .strip a")
    assert [link.get_attribute("title") for link in links] == group["nearest"][:6]
    assert [link.text_content() for link in links] == [library.caption(name) for name in group["nearest"][:6]]
    # What is in view holds the whole group.
    page.click("text=Select what is in view")
    page.wait_for_selector(".picked .strip a")
    listed = set(page.eval_on_selector_all(".picked .strip a", "all => all.map(one => one.title)"))
    members = {name for name, number in zip(document["ids"], document["group"], strict=True) if number == 1}
    assert members <= listed
    assert listed != set(document["ids"]) or len(members) == len(document["ids"])


def test_a_picture_tells_its_caption_and_a_click_searches_with_it(open_map, library):
    page, document = open_map()
    number = alone(document)
    name = document["ids"][number]
    page.mouse.move(*at(page, document["x"][number], document["y"][number]))
    page.wait_for_function(
        "text => document.querySelector('.tip:not([hidden])')?.textContent.includes(text)", arg=library.caption(name)
    )
    assert f"group {document['group'][number] + 1}" in page.text_content(".tip")
    page.mouse.click(*at(page, document["x"][number], document["y"][number]))
    page.wait_for_function("id => location.hash === `#/search?${new URLSearchParams({id})}`", arg=name)


def test_a_lasso_selects_with_captions(open_map, library):
    page, document = open_map()
    across, up = (between(document[axis]) for axis in "xy")
    wanted = [n for n, (x, y) in enumerate(zip(document["x"], document["y"], strict=True)) if x < across and y < up]
    corners = [(-0.03, -0.03), (across, -0.03), (across, up), (-0.03, up)]
    page.keyboard.down("Shift")
    page.mouse.move(*at(page, *corners[0]))
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*at(page, *corner), steps=4)
    page.mouse.up()
    page.keyboard.up("Shift")
    page.wait_for_selector(".picked .strip li")
    listed = page.eval_on_selector_all(".picked .strip a", "all => all.map(one => [one.title, one.textContent])")
    names = [document["ids"][number] for number in wanted]
    assert sorted(listed) == sorted([name, library.caption(name)] for name in names)
    page.focus("canvas")
    page.keyboard.press("Escape")
    page.wait_for_selector(".picked", state="hidden")


def crowd(number):
    """A map of so many pictures: a picture, a mark 30 pixels beside it, and all others far to the left."""
    left = [0.02 + 0.4 * ((7 * n) % 1_000) / 1_000 for n in range(number - 2)]
    up = [(13 * n) % 997 / 997 for n in range(number - 2)]
    return {
        "schema": "relsim.map/1",
        "ids": [f"id-{n}" for n in range(number)],
        "x": [0.8, 0.8, *left],
        "y": [0.5, 0.5, *up],
        "group": [2, 1, *(n % 3 for n in range(number - 2))],
        "groups": [{"label": None, "size": 1, "x": 0.2, "y": 0.2, "nearest": []} for _ in range(3)],
    }


ROW = """([x, y]) => {
  const canvas = document.querySelector("canvas");
  const box = canvas.getBoundingClientRect();
  const [left, top, half] = [x - box.x, y - box.y, 11].map((one) => Math.round(one * devicePixelRatio));
  const { data } = canvas.getContext("2d").getImageData(left - half, top, 2 * half, 1);
  return [...Array(2 * half).keys()].map((one) => String(data.slice(4 * one, 4 * one + 3)));
}"""
"""Colours of the pixels to the left and the right of a place."""
ORANGE, ACCENT = "230,159,0", "31,95,174"


@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("number", [300, 20_000])
def test_a_mark_among_many_has_its_colour_is_found_and_is_seen_to_be_selected(open_page, picture, number, ratio):
    document = crowd(number)
    page = open_page("#/search", device_scale_factor=ratio)
    page.route("**/api/map?*", lambda route: route.fulfill(json=document))
    page.route("**/api/thumbnail?*", lambda route: route.fulfill(content_type="image/png", body=picture))
    page.evaluate("location.hash = '#/map'")
    page.wait_for_selector("canvas[data-zoom]")
    page.locator("canvas").scroll_into_view_if_needed()
    box = page.locator("canvas").bounding_box()
    beside = 30 / (min(box["width"], box["height"]) - 2 - 16 - 52)
    document["x"][1] += beside
    page.evaluate("location.hash = '#/search'")
    page.wait_for_selector(".card")
    page.evaluate("location.hash = '#/map'")
    page.wait_for_selector("canvas[data-zoom]")
    page.locator("canvas").scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    x, y = at(page, document["x"][1], 0.5)
    seen = page.evaluate(ROW, [x, y])
    assert ORANGE in seen
    assert ACCENT not in seen[len(seen) // 2 :]
    page.mouse.move(x, y)
    page.wait_for_selector(".tip:not([hidden])")
    assert page.inner_text(".tip .note") == "group 2"
    page.mouse.move(box["x"] + box["width"] - 5, box["y"] + 5)
    page.wait_for_selector(".tip", state="hidden")
    page.click("text=Select what is in view")
    page.wait_for_selector(".picked .strip a")
    assert page.inner_text(".picked h2") == f"{number:,} pictures selected"
    page.locator("canvas").scroll_into_view_if_needed()
    x, y = at(page, document["x"][1], 0.5)
    page.wait_for_function(
        f"([place, colour]) => ({ROW})(place).slice(10 * devicePixelRatio).includes(colour)", arg=[[x, y], ACCENT]
    )
    seen = page.evaluate(ROW, [x, y])
    assert (ORANGE in seen) == (number < 4_000)  # a large mark has a ring, a small one is covered


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1440, "light")])
def test_it_fits_can_be_read_and_has_names(open_map, faint, nameless, width, scheme):
    page, _ = open_map(width=width, scheme=scheme)
    page.click(".map-groups li:first-child button")
    page.click(".map-groups li:first-child summary")
    page.wait_for_selector(".map-groups .strip a")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert faint(page) == []
    assert nameless(page) == []
