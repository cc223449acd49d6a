"""The similarity space in a real browser: what is drawn where, and what hands can do with it."""

import io

import pytest
from PIL import Image


@pytest.fixture
def open_space(open_page, server):
    """`open_space(id)` opens the space of an image, and gives the page, the points, and the box of the canvas."""

    def opened(name, scale="published", **options):
        page = open_page(f"#/space?id={name}&scale={scale}", **options)
        page.wait_for_selector(".corners .strip")
        page.locator("canvas").scroll_into_view_if_needed()
        return page, server.ask("/api/space", id=name, scale=scale)[1]["points"]

    return opened


def at(page, point, zoom=1.0, centre=(0.5, 0.5)):
    """Where a point is in the window, from the paddings of the plane alone."""
    page.locator("canvas").scroll_into_view_if_needed()
    box = page.locator("canvas").bounding_box()
    left, right, top, bottom = (50, 8, 26, 62) if box["width"] < 600 else (58, 14, 30, 74)
    width, height = box["width"] - 2 - left - right, box["height"] - 2 - top - bottom  # a border of one pixel
    x = box["x"] + 1 + left + width / 2 + (point["x"] - centre[0]) * zoom * (width - 52)
    y = box["y"] + 1 + top + height / 2 - (point["y"] - centre[1]) * zoom * (height - 52)
    return x, y


def alone(points):
    """The point that is farthest from all others."""
    return max(
        points,
        key=lambda one: min(
            (one["x"] - other["x"]) ** 2 + (one["y"] - other["y"]) ** 2 for other in points if other is not one
        ),
    )


def test_a_picture_tells_its_scores_and_a_click_searches_with_it(open_space, library):
    page, points = open_space(library.ids[4])
    point = alone(points)
    page.mouse.move(*at(page, point))
    page.wait_for_selector(".tip:not([hidden])")
    told = page.text_content(".tip").replace("\u2212", "-")
    assert point["caption"] in told
    assert f"logic {point['relation']:.2f}" in told
    assert f"look {point['look']:.2f}" in told
    page.mouse.click(*at(page, point))
    page.wait_for_function("id => location.hash === `#/search?${new URLSearchParams({id})}`", arg=point["id"])
    page.wait_for_selector(".asked")
    page.click(".links a:has-text('space')")
    page.wait_for_function("id => location.hash === `#/space?${new URLSearchParams({id})}`", arg=point["id"])
    page.wait_for_selector("canvas")


def test_a_lasso_selects_what_is_within(open_space, library):
    page, points = open_space(library.ids[4])
    wanted = [point for point in points if point["x"] < 0.5 and point["y"] > 0.5]
    corners = [{"x": x, "y": y} for x, y in ((-0.02, 0.5), (0.5, 0.5), (0.5, 1.03), (-0.02, 1.03))]
    page.click("text=Lasso")
    page.mouse.move(*at(page, corners[0]))
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*at(page, corner), steps=4)
    page.mouse.up()
    page.wait_for_selector(".picked .strip li")
    assert page.text_content(".picked h2").startswith(f"{len(wanted)} picture")
    listed = page.eval_on_selector_all(".picked .strip a", "all => all.map(one => one.title)")
    assert listed == [point["id"] for point in wanted]
    assert page.get_attribute(".plane-tools [aria-pressed]", "aria-pressed") == "false"
    middle = [sum(point[axis] for point in wanted) / len(wanted) for axis in "xy"]
    nearest = min(wanted, key=lambda one: (one["x"] - middle[0]) ** 2 + (one["y"] - middle[1]) ** 2)
    link = page.get_attribute(".picked .plane-tools a", "href")
    assert link == page.evaluate("id => `#/search?${new URLSearchParams({id})}`", nearest["id"])
    page.click("text=Clear")
    page.wait_for_selector(".picked", state="hidden")
    page.click("text=Select what is in view")
    page.wait_for_selector(".picked .strip li")
    assert page.text_content(".picked h2").startswith(f"{len(points)} pictures")


def test_the_ids_of_a_selection_are_copied(open_page, server, library):
    page = open_page(f"#/space?id={library.ids[4]}", permissions=["clipboard-read", "clipboard-write"])
    page.click("text=Select what is in view")
    page.click("text=Copy ids")
    page.wait_for_function("() => document.querySelector('#status').textContent.includes('copied')")
    points = server.ask("/api/space", id=library.ids[4])[1]["points"]
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.splitlines() == [point["id"] for point in points]


def test_keys_and_wheel_move_what_is_in_view(open_space, library):
    page, points = open_space(library.ids[4])

    def in_view():
        page.click("text=Select what is in view")
        count = int(page.text_content(".picked h2").split()[0])
        page.click("text=Clear")
        return count

    assert in_view() == len(points)
    page.focus("canvas")
    for _ in range(4):
        page.keyboard.press("+")
    few = in_view()
    # Four steps of 1.4 show the middle 1 / 1.4^4 of either axis, and the margin of 26 pixels at each side.
    box = page.locator("canvas").bounding_box()
    reach = [0.5 / 1.4**4 * (side / (side - 52)) for side in (box["width"] - 74, box["height"] - 106)]
    assert few == sum(abs(one["x"] - 0.5) <= reach[0] and abs(one["y"] - 0.5) <= reach[1] for one in points)
    page.focus("canvas")
    page.keyboard.press("0")
    assert in_view() == len(points)
    point = alone(points)
    page.mouse.move(*at(page, point))
    for _ in range(8):
        page.mouse.wheel(0, -120)
    page.wait_for_function("() => Number(document.querySelector('canvas').dataset.zoom) > 8")
    page.mouse.move(*[place + 1 for place in at(page, point)])
    page.wait_for_selector(".tip:not([hidden])")  # what is under the mouse stays there
    assert point["caption"] in page.text_content(".tip")
    assert in_view() < len(points)


def test_each_corner_lists_its_nearest_for_those_who_see_no_canvas(open_space, library):
    page, points = open_space(library.ids[4])
    corners = {"analogy": (0, 1), "literal similarity": (1, 1), "anomaly": (0, 0), "mere appearance": (1, 0)}
    for section in page.query_selector_all(".corners section"):
        heading = section.query_selector("h3").text_content()
        (name,) = [corner for corner in corners if heading.startswith(corner)]
        x, y = corners[name]
        within = [point for point in points if point["quadrant"] == name]
        nearest = sorted(within, key=lambda one: (one["x"] - x) ** 2 + (one["y"] - y) ** 2)[:8]
        listed = [link.get_attribute("title") for link in section.query_selector_all("a")]
        assert listed == [point["id"] for point in nearest]
    page.focus(".corners a")
    page.keyboard.press("Enter")
    page.wait_for_function("() => location.hash.startsWith('#/search?id=')")


def test_another_scale_moves_the_pictures(open_space, library, server):
    page, points = open_space(library.ids[4])
    page.click(".scales a:has-text('percentile')")
    page.wait_for_function("() => document.querySelector('.scales [aria-current]').textContent === 'percentile'")
    moved = server.ask("/api/space", id=library.ids[4], scale="percentile")[1]["points"]
    assert {point["id"] for point in moved} == {point["id"] for point in points}
    assert page.evaluate("document.activeElement.textContent") == "percentile"
    page.locator("canvas").scroll_into_view_if_needed()
    point = alone(moved)
    page.mouse.move(*at(page, point))
    page.wait_for_selector(".tip:not([hidden])")
    assert point["caption"] in page.text_content(".tip")


def test_another_picture_comes_and_the_keyboard_stays(open_space, library):
    page, _ = open_space(library.ids[5])
    before = page.url
    page.focus("text=Another picture")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda address: address != before)
    page.wait_for_function("() => document.activeElement.textContent === 'Another picture'")


def test_the_picture_that_is_saved_is_the_canvas(open_space, library):
    page, points = open_space(library.ids[4])
    page.wait_for_load_state("networkidle")
    where = at(page, alone(points))
    with page.expect_download() as waiting:
        page.click("text=Save PNG")
    assert waiting.value.suggested_filename == "similarity-space.png"
    image = Image.open(io.BytesIO(waiting.value.path().read_bytes())).convert("RGB")
    box = page.locator("canvas").bounding_box()
    assert image.size == (round(box["width"]) - 2, round(box["height"]) - 2)
    # Where a picture stands there are many colours, not those of an empty plane.
    x, y = (round(place - box[side]) for place, side in zip(where, "xy", strict=True))
    assert len(image.crop((x - 15, y - 15, x + 15, y + 15)).getcolors(900)) > 50


def test_a_tap_tells_and_offers_both_ways_on(open_space, library):
    page, points = open_space(library.ids[4], width=360, height=780, has_touch=True, is_mobile=True)
    point = alone(points)
    page.touchscreen.tap(*at(page, point))
    page.wait_for_selector(".tip:not([hidden])")
    assert point["caption"] in page.text_content(".tip")
    page.tap(".tip a:has-text('Its space')")
    page.wait_for_function("id => location.hash === `#/space?${new URLSearchParams({id})}`", arg=point["id"])


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1440, "light")])
def test_it_fits_can_be_read_and_has_names(open_space, library, faint, nameless, width, scheme):
    page, _ = open_space(library.ids[4], width=width, scheme=scheme)
    page.click("text=Select what is in view")
    page.wait_for_selector(".picked .strip li")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert faint(page) == []
    assert nameless(page) == []
    assert page.get_attribute("canvas", "aria-label").endswith("look across, logic upwards")


def test_without_a_query_it_starts_with_the_first_picture_and_errors_are_told(open_page, library):
    page = open_page("#/space")
    page.wait_for_selector("canvas")
    assert page.text_content(".asked figcaption") == library.caption(library.ids[0])
    page.evaluate("location.hash = '#/space?id=nothing'")
    page.wait_for_selector("[role=alert]")
    assert "no image of that id" in page.text_content("[role=alert]")
    assert [text for text in open_page.complaints if "404" not in text] == []
    open_page.complaints.clear()  # the browser tells of the answer, too
