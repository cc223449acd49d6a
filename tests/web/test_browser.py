"""The page in a real browser, against a real server: what a person does, and what comes of it."""

import base64

import pytest


def results(page):
    """Addresses of the pictures that are shown, in order."""
    page.wait_for_selector(".card .bars")
    return page.eval_on_selector_all(".cell .card > a", "links => links.map(link => link.getAttribute('href'))")


def test_a_click_on_a_picture_searches_with_it(open_page, server, library):
    page = open_page()
    page.click(".card a")
    first = library.ids[0]
    page.wait_for_selector(".asked")
    found = server.ask("/api/search", id=first, blend=0.5, count=120)[1]["matches"]
    assert f"id={found[0]['id']}" in results(page)[0]
    page.click(".card a")
    page.wait_for_function("id => location.hash.includes(id)", arg=found[0]["id"])
    page.go_back()
    page.wait_for_function("id => location.hash.includes(id)", arg=first)


def test_an_index_that_was_searched_is_told(open_page, library):
    """Beside the query, in the words of `relsim search`; nothing where all was compared."""
    page = open_page()

    def by_index(route):
        told = route.fetch().json()
        told["path"] |= {
            "kind": "binary",
            "recall": {"k": 10, "queries": 256, "seed": 0, "value": 0.99375, "lowest": 0.6},
        }
        route.fulfill(json=told)

    page.route("**/api/search?*text=*", by_index)
    page.goto(page.url.split("#")[0] + f"#/search?id={library.ids[0]}")
    page.wait_for_selector(".asked")
    assert "index" not in page.inner_text(".how")
    page.goto(page.url.split("#")[0] + "#/search?text=a+ring")
    page.wait_for_selector("blockquote")
    assert "Searched by the index binary (recall@10 0.9938 when it was built)." in page.inner_text(".how")


def test_back_leads_to_where_one_was(open_page):
    """In the collection and among what was found, each time to within a row; titles tell entries apart."""
    page = open_page(width=360, height=700)
    page.wait_for_selector(".card img")
    titles, left = [], []
    for top in (1500, 900):
        page.evaluate("top => scrollTo({ top, behavior: 'instant' })", top)
        page.wait_for_function(
            "top => history.state?.top === top && document.querySelectorAll('.card').length", arg=top
        )
        titles.append(page.title())
        left.append(page.evaluate("location.hash"))
        page.evaluate(
            """() => [...document.querySelectorAll('.card > a')]
                .find((one) => one.getBoundingClientRect().top > 100).click()"""
        )
        page.wait_for_function("was => location.hash !== was", arg=left[-1])
        page.wait_for_selector(".asked")
        page.wait_for_selector(".card .bars")
    for top, place in ((900, left[1]), (1500, left[0])):
        page.go_back()
        page.wait_for_function("was => location.hash === was", arg=place)
        page.wait_for_function("top => Math.abs(scrollY - top) < 250", arg=top)
    assert titles[0] == "Search · relsim"
    assert titles[1].startswith("Works like ")


def test_a_sentence_finds_pictures_by_the_keyboard_alone(open_page, server):
    page = open_page()
    sentence = "{Objects} arranged in a ring"
    page.focus("#sentence")
    page.keyboard.type(sentence)
    page.keyboard.press("Enter")
    shown = results(page)
    found = server.ask("/api/search", text=sentence, count=120)[1]["matches"]
    assert [hit["id"] for hit in found[:4]] == [address.partition("id=")[2].partition("&")[0] for address in shown[:4]]
    assert page.text_content("blockquote") == sentence
    page.focus(".cell a[tabindex='0']")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.closest('.cell').dataset.index") == "1"
    page.keyboard.press("End")
    assert page.evaluate("Number(document.activeElement.closest('.cell').dataset.index)") == len(found) - 1


def test_the_slider_changes_the_order(open_page, library):
    page = open_page(f"#/search?id={library.ids[3]}")
    logic = results(page)
    page.click(".stops button:nth-child(1)")
    page.wait_for_function(
        "was => document.querySelector('.cell .card > a').getAttribute('href') !== was", arg=logic[0]
    )
    looks = results(page)
    assert [address.partition("&")[0] for address in looks[:5]] != [address.partition("&")[0] for address in logic[:5]]
    assert page.get_attribute("#blend", "aria-valuetext") == "same look"
    page.focus("#blend")
    page.keyboard.press("End")
    page.wait_for_function(
        "() => document.querySelector('#blend').getAttribute('aria-valuetext') === 'same logic, different look'"
    )
    assert page.evaluate("document.activeElement.id") == "blend"


@pytest.mark.parametrize("way", ["drop", "choose", "paste"])
def test_a_picture_of_ones_own_searches(open_page, picture, library, tmp_path, way):
    page = open_page()
    page.wait_for_selector(".card")
    if way == "choose":
        (tmp_path / "mine.png").write_bytes(picture)
        page.set_input_files("#file", tmp_path / "mine.png")
    else:
        page.evaluate(
            """([data, way]) => {
              const bytes = Uint8Array.from(atob(data), (sign) => sign.charCodeAt(0));
              const files = new DataTransfer();
              files.items.add(new File([bytes], "mine.png", {type: "image/png"}));
              const event = way === "drop"
                ? new DragEvent("drop", {dataTransfer: files, bubbles: true, cancelable: true})
                : new ClipboardEvent("paste", {clipboardData: files, bubbles: true, cancelable: true});
              document.body.dispatchEvent(event);
            }""",
            [base64.b64encode(picture).decode(), way],
        )
    page.wait_for_selector(".asked img")
    assert f"id={library.ids[0]}" in results(page)[0]
    assert page.text_content(".asked figcaption") == "your picture"


def test_a_file_that_is_no_picture_is_told(open_page, tmp_path):
    page = open_page()
    page.wait_for_selector(".card")
    (tmp_path / "mine.png").write_bytes(b"no picture")
    with page.expect_response(lambda answer: answer.url.endswith("/api/uploads")) as answered:
        page.set_input_files("#file", tmp_path / "mine.png")
    assert answered.value.status == 422
    page.wait_for_function("() => document.querySelector('#status').textContent.includes('cannot be used')")
    assert [text for text in open_page.complaints if "422" not in text] == []
    open_page.complaints.clear()  # the browser tells of the answer, too


def test_two_pictures_side_by_side(open_page, server, library):
    page = open_page(f"#/search?id={library.ids[3]}")
    first = server.ask("/api/search", id=library.ids[3], count=1)[1]["matches"][0]
    page.hover(".card")
    page.click(".card .beside")
    page.wait_for_selector("dialog[open]")
    assert f"{first['relation']:.2f}" in page.text_content("dialog .relation dd").replace("\u2212", "-")
    assert library.caption(first["id"]) in page.text_content("dialog .two")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("place", ["", "#/search?text=A+ring+of+{Objects}"])
def test_nothing_is_wider_than_the_window(open_page, width, place):
    page = open_page(place, width=width)
    page.wait_for_selector(".card img")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_the_contrast_of_aa(open_page, faint, library, scheme):
    page = open_page(f"#/search?id={library.ids[0]}", scheme=scheme)
    results(page)
    assert faint(page) == []


def test_every_picture_has_a_text_and_every_control_a_name(open_page, nameless, library):
    page = open_page(f"#/search?id={library.ids[0]}")
    results(page)
    assert nameless(page) == []


def test_the_link_past_the_bar_stays_in_the_view(open_page):
    page = open_page("#/map")
    page.wait_for_selector(".map-group")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("() => [document.activeElement.id, location.hash]") == ["view", "#/map"]
    assert page.locator(".map-group").count() > 0


def test_the_keyboard_goes_on_from_what_was_found(open_page):
    page = open_page()
    page.locator(".card a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".card .bars")
    page.wait_for_function("() => document.activeElement.tagName === 'H1'")
    page.locator("#blend").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(600)
    assert page.evaluate("() => document.activeElement.id") == "blend"


def test_tab_reaches_one_picture_and_what_is_on_it_and_goes_on(open_page, library):
    page = open_page(f"#/search?id={library.ids[0]}")
    results(page)
    page.focus("text=All pictures")
    inside = "document.activeElement.closest('[data-index]')?.dataset.index ?? null"
    page.keyboard.press("Tab")
    assert page.evaluate(inside) == "0"
    assert "Arrow keys" in page.evaluate("getComputedStyle(document.querySelector('.grid'), '::after').content")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.matches(\"[data-index='1'] .beside\")")
    page.keyboard.press("Tab")
    assert page.evaluate(inside) is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_stands_in_an_empty_field_can_be_read_and_one_key_passes_the_file(open_page, scheme):
    page = open_page(scheme=scheme)
    page.wait_for_selector(".card")
    soft, field = page.evaluate("""() => {
      const colour = (name, part) => getComputedStyle(document.querySelector(name), part).color;
      return [colour("#sentence", "::placeholder"), colour(".caption")];
    }""")
    assert soft == field  # whose contrast is measured
    page.focus("label[for=file]")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.matches('.example')")


def test_a_picture_that_is_dropped_in_another_view_leaves_the_page_where_it_is(open_page):
    page = open_page("#/map")
    page.wait_for_selector(".map-group")
    prevented = page.evaluate("""() => {
      const carried = new DataTransfer();
      carried.items.add(new File(["x"], "x.png", { type: "image/png" }));
      return ["dragover", "drop"].map((name) => {
        const event = new DragEvent(name, { dataTransfer: carried, bubbles: true, cancelable: true });
        document.body.dispatchEvent(event);
        return event.defaultPrevented;
      });
    }""")
    assert prevented == [True, True]
    page.wait_for_function("() => document.getElementById('status').textContent.includes('view Search')")
    assert page.url.endswith("#/map")


def test_who_leaves_before_a_picture_has_arrived_stays_away(open_page, picture, tmp_path):
    page = open_page()
    page.wait_for_selector(".card")
    (tmp_path / "own.png").write_bytes(picture)
    page.route("**/api/uploads", lambda route: (page.wait_for_timeout(1_000), route.continue_()))
    with page.expect_response("**/api/uploads"):
        page.set_input_files("input[type=file]", str(tmp_path / "own.png"))
        page.evaluate("() => { location.hash = '#/map'; }")
        page.wait_for_selector(".map-group")
    page.wait_for_timeout(500)
    assert page.url.endswith("#/map")


def test_a_picture_that_a_busy_server_refuses_is_asked_for_again(open_page, refusing, library):
    page = open_page("#/map")  # the routes come before the pictures
    page.wait_for_selector(".map-group")
    asked = refusing(page, "**/api/thumbnail?*", never=f"id={library.ids[1]}&")
    page.evaluate("() => { location.hash = '#/search'; }")
    page.wait_for_function("() => document.querySelector('[data-index=\"0\"] img')?.naturalWidth > 0")
    page.wait_for_selector("[data-index='1'] img.missing")
    assert page.get_attribute("[data-index='1'] img", "alt").startswith("cannot be shown: ")
    assert page.locator("img.missing").count() == 1
    assert [len(asked(library.ids[place])) for place in (0, 1)] == [3, 3]
    open_page.complaints.clear()  # the browser tells of the answers, too


@pytest.mark.parametrize("width", [360, 1280])
def test_percentiles_of_cards_are_those_of_the_comparison_on_one_line(open_page, server, library, width):
    told = server.ask("/api/search", id=library.ids[0], count=120)[1]
    page = open_page(width=width)
    page.wait_for_selector(".card img")
    for place, value in enumerate((100, 99.97, 99.94, 99.4, 98.96, 3.2)):
        told["matches"][place]["relation_percentile"] = value
    page.route("**/api/search?*", lambda route: route.fulfill(json=told))
    page.click(".card a")
    page.wait_for_selector(".card .bars")
    shown = page.locator(".card .relation small")
    assert shown.all_inner_texts()[:6] == ["99.9 %", "99.9 %", "99.9 %", "99.4 %", "98 %", "3 %"]
    titles = shown.evaluate_all("all => all.map((one) => one.title)")[:4]
    assert titles == [f"higher than {value} % of unrelated pairs" for value in (99.9, 99.9, 99.9, 99.4)]
    fits = """all => all.map((one) => {
      const [box, row] = [one.getBoundingClientRect(), one.closest("article").getBoundingClientRect()];
      return box.height < 25 && box.right <= row.right + 0.5 && one.scrollWidth <= one.clientWidth + 1;
    })"""
    assert all(shown.evaluate_all(fits))
    bars = page.locator(".card .relation .bar").evaluate_all("all => all.map((one) => one.clientWidth)")
    assert min(bars) >= 16
