"""Lists of images in a real browser: filters, review, corrections in a name, and what a second person sees."""

import json

import pytest

from relsim.data.manifest import ManifestRow, write_manifest

CAPTIONS = (
    *("A ring of {Objects}", "A dog beside {Object}", "<img src=x onerror=document.title='run'> {Object}"),
    *("Growth of {Subject}", "Two cats in a row"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, library):
    """A list of which some rows have pictures (they are of the collection), and one that has none."""
    folder = tmp_path_factory.mktemp("data")
    ids = list(library.ids[:6])
    rows = [ManifestRow(name, None, CAPTIONS[n % 5], {"group": n // 3}) for n, name in enumerate([*ids, "a", "b"])]
    write_manifest(folder / "pictures.jsonl", rows)
    rows = [ManifestRow(f"h{n}", f"https://a.example/{n}.png", CAPTIONS[n % 5]) for n in range(130)]
    write_manifest(folder / "words.jsonl", rows)
    rows = [ManifestRow(name, None, grouped(n), {"group": n % GROUPS}) for n, name in enumerate(library.ids[:GROUPED])]
    write_manifest(folder / "grouped.jsonl", [*rows, ManifestRow("alone", None, "A ring of {Objects}")])
    return folder


GROUPS, GROUPED = 14, 42
"""Groups of three rows each, which do not lie together in the list."""


def grouped(number):
    """The caption of a row: that of its group, but in group 3 each has its own."""
    group = number % GROUPS
    return f"Row {number} of {{Objects}}" if group == 3 else f"{CAPTIONS[group % 3]} {'more ' * group}"


@pytest.fixture(scope="module")
def server(start_server, folder):
    """A server that shows lists, in the place of the one that all tests share."""
    lists = [f"--data={folder / name}.jsonl" for name in ("pictures", "words", "grouped")]
    with start_server(*lists) as running:
        yield running


def numbers(page):
    """The rows that are shown in a table."""
    page.wait_for_selector("tr[data-row], .empty")
    return [int(row) for row in page.eval_on_selector_all("tr[data-row]", "all => all.map(one => one.dataset.row)")]


def changes(folder, name):
    path = folder / f"{name}.jsonl.changes.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_rows_with_pictures_are_a_grid_and_others_a_table(open_page, folder):
    page = open_page("#/data?list=pictures")
    page.wait_for_selector(".cell img")
    assert page.locator(".cell").count() == 8
    assert page.locator(".cell .none").all_inner_texts()[0].strip().startswith("A dog beside")
    page.click(".modes a:has-text('Rows')")
    assert numbers(page) == list(range(8))
    page.select_option("#list", "words")
    page.wait_for_function("() => location.hash === '#/data?list=words'")
    page.wait_for_selector(".pager")
    assert numbers(page) == list(range(50))
    page.click(".pager a:has-text('Later')")
    page.wait_for_function("() => document.querySelector('tr[data-row]').dataset.row === '50'")
    assert numbers(page) == list(range(50, 100))


def test_filters_leave_what_passes_and_stay_in_the_address(open_page):
    page = open_page("#/data?list=words")
    numbers(page)
    page.select_option("#says", "finding=animal")
    page.wait_for_function("() => document.querySelector('.told').textContent.startsWith('52 of 130')")
    assert numbers(page) == [n for n in range(130) if n % 5 in (1, 4)][:50]
    assert page.locator("tr[data-row='1'] mark").all_inner_texts() == ["dog"]
    page.fill("#text", "CATS row")
    page.wait_for_function("() => document.querySelector('.told').textContent.startsWith('26 of 130')")
    page.reload()
    assert numbers(page) == list(range(4, 130, 5))
    assert page.input_value("#text") == "CATS row"
    page.click("text=Clear filters")
    page.wait_for_function("() => document.querySelector('.told').textContent.startsWith('130 of 130')")
    page.click("summary")
    page.fill("#longest", "3")
    page.wait_for_function("() => document.querySelector('.told').textContent.startsWith('26 of 130')")
    assert numbers(page)[:2] == [3, 8]


def test_captions_are_corrected_by_the_keyboard_in_a_name_that_is_asked_once(open_page, folder, server):
    page = open_page("#/data?list=words&finding=animal")
    assert numbers(page)[:3] == [1, 4, 6]
    page.focus("tr[data-row='1'] .says")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open] .verdict")
    assert page.evaluate("document.activeElement.id") == "corrected"
    assert "dog (animal)" in page.inner_text(".verdict")
    page.fill("#corrected", "An {Animal} beside {Object}")
    page.wait_for_selector(".verdict.good")
    page.keyboard.press("Control+Enter")
    page.wait_for_function("() => document.querySelector('.review .alert').textContent === 'Your name is missing.'")
    assert page.evaluate("document.activeElement.id") == "who"
    page.keyboard.type("Ada")
    page.keyboard.press("Control+Enter")
    page.wait_for_function("() => document.querySelector('#reviewed').textContent === 'Row 4'")
    (change,) = changes(folder, "words")
    assert (change["id"], change["old"], change["new"], change["who"]) == (
        *("h1", "A dog beside {Object}", "An {Animal} beside {Object}", "Ada"),
    )
    page.fill("#corrected", "Two {Animals} in a row")
    page.keyboard.press("Control+Enter")
    page.wait_for_function("() => document.querySelector('#reviewed').textContent === 'Row 6'")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    assert "row=" not in page.evaluate("location.hash")
    assert page.inner_text("tr[data-row='1'] .says") == "An {Animal} beside {Object}"
    assert [line["who"] for line in changes(folder, "words")] == ["Ada", "Ada"]
    other = open_page("#/data?list=words&corrected=true")
    assert numbers(other) == [1, 4]
    page.goto(f"{server.address}/#/data?list=words&row=4")
    page.click("text=Undo the last change")
    page.wait_for_function("() => document.querySelector('#corrected').value === 'Two cats in a row'")
    assert changes(folder, "words")[-1]["undo"] is True
    page.wait_for_selector(".history li:nth-child(2)")
    assert [told.split(",")[0] for told in page.locator(".history li").all_inner_texts()] == ["Ada", "Ada"]


def test_whoever_comes_late_is_told_and_keeps_what_they_typed(open_page, server):
    page = open_page("#/data?list=words&row=3")
    page.wait_for_selector("#corrected")
    body = {"row": 3, "caption": "Decay of {Subject}", "was": "Growth of {Subject}", "who": "Grace"}
    told = server.ask("/api/data/words/changes", json.dumps(body).encode(), {"content-type": "application/json"})
    assert told[0] == 201
    page.fill("#corrected", "Rise of {Subject}")
    page.fill("#who", "Ada")
    page.click("text=Save and next")
    page.wait_for_function(
        "() => document.querySelector('.review .alert').textContent.includes('somebody has changed')"
    )
    assert page.input_value("#corrected") == "Rise of {Subject}"
    page.click(".review button[type=submit]")
    page.wait_for_function("() => document.querySelector('.review .alert').textContent === 'Saved.'")
    assert server.ask("/api/data/words/row", row=3)[1]["caption"] == "Rise of {Subject}"
    assert [text for text in open_page.complaints if "409" not in text] == []
    open_page.complaints.clear()  # the browser tells of the answer, too


def test_a_caption_is_never_markup(open_page):
    page = open_page("#/data?list=pictures&row=2")
    page.wait_for_selector("dialog[open]")
    assert page.input_value("#corrected") == CAPTIONS[2]
    assert page.title() == "Data \u00b7 relsim"
    assert page.locator("img[src='x']").count() == 0


def test_the_corrected_list_can_be_taken_along(open_page, folder, server):
    page = open_page("#/data?list=words")
    with page.expect_download() as taken:
        page.click("text=Export corrected list")
    assert taken.value.suggested_filename == "words.jsonl"
    assert taken.value.path().read_bytes() == server.ask("/api/data/words/corrected.jsonl")[1]


def groups(page):
    """Rows of each group that is shown, by the name that stands above them."""
    page.wait_for_selector(".group img, .empty")
    return dict(
        page.eval_on_selector_all(
            ".group",
            """all => all.map(one => [
              one.querySelector("h2").textContent,
              [...one.querySelectorAll("li")].map(row => Number(row.dataset.row)),
            ])""",
        )
    )


def test_groups_are_whole_wherever_their_rows_stand_and_more_come_by_a_key(open_page):
    page = open_page("#/data?list=grouped&show=groups")
    whole = {f"Group {group}": list(range(group, GROUPED, GROUPS)) for group in range(GROUPS)}
    assert groups(page) == dict(list(whole.items())[:12])
    page.focus("text=More groups")
    page.keyboard.press("Enter")
    page.wait_for_function(f"() => document.querySelectorAll('.group').length === {GROUPS}")
    assert groups(page) == whole
    assert page.evaluate("document.activeElement.textContent") == "Group 12"
    assert page.is_hidden("text=More groups")
    assert page.inner_text(".told") == f"Groups that hold {GROUPED} of {GROUPED + 1} rows"


def test_a_caption_that_a_group_shares_stands_above_it_once(open_page):
    page = open_page("#/data?list=grouped&show=groups")
    groups(page)
    first, fourth = page.locator(".group").nth(0), page.locator(".group").nth(3)
    assert first.locator("header q").inner_text().strip() == CAPTIONS[0]
    assert first.locator(".caption").count() == 0
    assert fourth.locator("header q").count() == 0
    assert fourth.locator(".caption").all_inner_texts() == [f"Row {n} of {{Objects}}" for n in (3, 17, 31)]
    assert page.locator(".group").nth(1).locator("header q mark").all_inner_texts() == ["dog"]


def test_a_picture_of_a_group_that_a_busy_server_refuses_is_asked_for_again(open_page, refusing):
    page = open_page("#/data?list=grouped&show=rows")
    numbers(page)
    refusing(page, "**/picture?*", never="row=17&")
    page.click(".modes a:has-text('Groups')")
    page.wait_for_function("() => document.querySelector('[data-row=\"3\"] img')?.naturalWidth > 0")
    page.wait_for_selector("[data-row='17'] img.missing")
    assert page.locator("img.missing").count() == 1
    open_page.complaints.clear()  # the browser tells of the answers, too


def test_filters_choose_groups_which_stay_whole(open_page):
    page = open_page("#/data?list=grouped&show=groups&text=row+17")
    assert groups(page) == {"Group 3": [3, 17, 31]}


def test_a_picture_leads_to_its_group_and_the_group_to_its_rows(open_page):
    page = open_page("#/data?list=grouped")
    page.focus("[data-index='5'] .of")
    page.keyboard.press("Enter")
    page.wait_for_selector(".group")
    assert groups(page) == {"Group 5": [5, 19, 33]}
    assert page.inner_text(".told") == f"3 of {GROUPED + 1} rows, group 5"
    page.click("[data-row='19'] a")
    page.wait_for_selector("dialog[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    page.click("text=Clear filters")
    page.wait_for_function("() => document.querySelectorAll('.group').length === 12")


def test_the_keyboard_stays_where_it_is_when_rows_are_shown_anew(open_page):
    page = open_page("#/data?list=grouped")
    page.wait_for_selector(".cell img")
    page.focus(".modes a:has-text('Groups')")
    page.keyboard.press("Enter")
    page.wait_for_selector(".group")
    assert page.evaluate("document.activeElement.textContent") == "Groups"
    page.focus(".group:nth-child(3) h2 a")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelectorAll('.group').length === 1")
    assert page.evaluate("document.activeElement.textContent") == "Group 2"
    page.select_option("#list", "words")
    page.wait_for_selector("tr[data-row]")


def test_a_caption_is_corrected_within_its_group(open_page):
    page = open_page("#/data?list=grouped&show=groups")
    groups(page)
    page.click("[data-row='16'] a")
    page.wait_for_selector("dialog[open] .verdict")
    page.fill("#corrected", "Another {Object}")
    page.fill("#who", "Ada")
    page.keyboard.press("Control+Enter")
    page.wait_for_function("() => document.querySelector('#reviewed').textContent === 'Row 30'")
    page.keyboard.press("Escape")
    assert page.locator("[data-row='16'] .caption").inner_text() == "Another {Object}"
    assert page.locator(".group").nth(2).locator(".caption").count() == 1


PLACES = [
    *("#/data?list=pictures", "#/data?list=grouped&show=groups"),
    *("#/data?list=words&finding=animal", "#/data?list=pictures&row=1"),
]


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1440, "light")])
def test_it_fits_and_can_be_read(open_page, faint, nameless, width, scheme):
    for place in PLACES:
        page = open_page(place, width=width, scheme=scheme)
        page.wait_for_selector("dialog[open] .verdict" if "row=" in place else "tr[data-row], .cell img, .group img")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert faint(page) == []
        assert nameless(page) == []
        page.context.close()
