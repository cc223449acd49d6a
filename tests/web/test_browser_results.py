"""Results in a real browser: filters, order, keys, pictures."""

import json

import pytest


@pytest.fixture(scope="module")
def server(start_server, retrieval_run):
    """A server that has results, in the place of the one that all tests share."""
    with start_server("--results", str(retrieval_run)) as running:
        yield running


@pytest.fixture(scope="module")
def overview(server):
    return server.ask("/api/results/0")[1]


def shown(page):
    """Places of the queries that are shown, once the list has come to rest."""
    page.wait_for_selector(".answer, .answers .empty")
    return [int(place) for place in page.eval_on_selector_all(".answer", "all => all.map(one => one.dataset.place)")]


def test_every_method_has_a_row_of_what_it_found(open_page, server, overview):
    page = open_page("#/results")
    assert shown(page) == list(range(20))
    page.wait_for_function("() => document.querySelector('.found-picture img').naturalWidth > 0")
    answer = server.ask("/api/results/0/matches", queries="0")[1][0]
    for place, method in enumerate(overview["methods"]):
        row = page.locator(".answer").first.locator(f"section[aria-label='{method}']")
        assert row.locator(".found-picture").count() == len(answer["matches"][place])
        ids = row.locator(".found-picture").evaluate_all("all => all.map(one => one.title)")
        assert ids == [match["id"] for match in answer["matches"][place]]
    page.click("nav[aria-label='Pages'] button:has-text('Next')")
    page.wait_for_function("() => document.querySelectorAll('.answer').length === 10")
    assert shown(page) == list(range(20, 30))
    assert page.evaluate("document.activeElement.dataset.place") == "20"


def test_where_one_loses_is_what_the_scores_say(open_page, overview):
    """The losses of each measure, by a plain comparison of the numbers."""
    page = open_page("#/results?measure=judge&a=logic&b=look&sort=gap")
    shown(page)
    page.check("#lose")
    losses = {
        place: second - first
        for place, query in enumerate(overview["queries"])
        for first, second in [query["scores"]["judge"]]
        if first is not None and second is not None and second > first
    }
    wanted = sorted(losses, key=lambda place: (-losses[place], place))
    assert 0 < len(wanted) < 30
    page.wait_for_function("place => document.querySelector('.answer')?.dataset.place === place", arg=str(wanted[0]))
    assert shown(page) == wanted[:20]
    assert "lose=1" in page.url
    page.reload()
    assert shown(page) == wanted[:20]
    page.select_option("#a", "look")
    page.select_option("#b", "look")
    page.wait_for_selector(".answers .empty")


def test_queries_are_found_by_label(open_page, overview):
    label = next(query["label"] for query in overview["queries"] if query["label"])
    page = open_page("#/results")
    shown(page)
    page.fill("#text", label)
    wanted = [at for at, one in enumerate(overview["queries"]) if label in f"{one['id']} {one['label']}"]
    page.wait_for_function("count => document.querySelectorAll('.answer').length === count", arg=len(wanted[:20]))
    assert shown(page) == wanted[:20]


def test_j_and_k_walk_through_all_queries(open_page):
    page = open_page("#/results")
    shown(page)
    place = "document.activeElement.dataset.place"
    page.keyboard.press("j")
    assert page.evaluate(place) == "0"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert page.evaluate(place) == "1"
    for _ in range(18):
        page.keyboard.press("j")
    assert page.evaluate(place) == "19"
    page.keyboard.press("j")
    page.wait_for_function(f"() => {place} === '20'")
    page.keyboard.press("k")
    page.wait_for_function(f"() => {place} === '19'")
    page.focus("#text")
    page.keyboard.type("jk")
    assert page.input_value("#text") == "jk"


def test_a_match_opens_beside_its_query(open_page, server):
    page = open_page("#/results")
    match = server.ask("/api/results/0/matches", queries="0")[1][0]["matches"][0][0]
    page.click(".found-picture")
    page.wait_for_selector("dialog[open]")
    assert match["id"] in page.text_content("dialog .two")
    assert f"{match['score']:.2f}" in page.text_content("dialog .facts")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")


def test_a_long_list_says_how_long_it_is_and_has_more_by_a_key(start_server, library, open_page, faint, tmp_path):
    names = list(library.ids[:63])
    row = {"query_image_id": names[0], "query_image_path": "", "top_k_image_ids": names[1:]}
    row |= {"top_k_image_paths": [""] * 62, "top_k_scores": [0.5] * 62}
    (tmp_path / "retrieved_images.json").write_text(json.dumps({"long": [row]}))
    with start_server("--results", str(tmp_path)) as running:
        page = open_page("#/results", of=running)
        shown(page)
        method = page.locator(".answer section[aria-label='long']")
        titles = "all => all.map(one => one.title)"
        assert method.locator(".found-picture").evaluate_all(titles) == names[1:11]
        assert method.locator(".rest").inner_text().split("\n") == ["40 more", "10 of 62 shown"]
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert faint(page) == []
        method.locator(".rest button").focus()
        page.keyboard.press("Enter")
        assert method.locator(".found-picture").evaluate_all(titles) == names[1:51]
        assert page.evaluate("document.activeElement.title") == names[11]
        method.locator(".rest button").click()
        assert method.locator(".found-picture").evaluate_all(titles) == names[1:]
        assert method.locator(".rest").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280
        page.context.close()


def test_text_of_a_run_is_never_markup(start_server, retrieval_run, browser, tmp_path):
    written = json.loads((retrieval_run / "retrieved_images.json").read_text())
    evil = "<img src=x onerror=document.body.dataset.evil=1>"
    rows = next(iter(written.values()))
    rows[0]["query_image_id"] = rows[0]["top_k_image_ids"][0] = evil
    (tmp_path / "retrieved_images.json").write_text(json.dumps({evil: rows}))
    with start_server("--results", str(tmp_path)) as running:
        page = browser.new_page()
        page.goto(f"{running.address}/#/results")
        page.wait_for_selector(".answer img.missing")
        assert evil in page.text_content(".answer h2")
        assert page.evaluate("document.body.dataset.evil") is None
        page.close()


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1440, "light")])
def test_the_page_fits_and_can_be_read(open_page, faint, nameless, width, scheme):
    page = open_page("#/results", width=width, scheme=scheme)
    shown(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert faint(page) == []
    assert nameless(page) == []


def test_a_narrow_window_leaves_room_for_a_finger_and_for_numbers(open_page, overview):
    """A box to tick of 24 px or more; names of methods take two fifths of the width at most, and are told whole."""
    page = open_page("#/results", width=360)
    shown(page)
    box = page.locator(".filters .check input").bounding_box()
    assert min(box["width"], box["height"]) >= 23.9
    names = page.locator(".wide tbody th")
    assert names.evaluate_all("all => all.map((one) => one.title)") == overview["methods"]
    page.evaluate("document.querySelector('.wide tbody th').textContent = 'm'.repeat(60)")
    assert names.first.bounding_box()["width"] <= 0.4 * 360 + 20  # and its padding
