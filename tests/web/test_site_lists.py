"""Lists of images in a site without a server: the page answers there what the API would, and says what is left out."""

import contextlib
import io
import itertools
import json
import random
import sys
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest

from relsim.data.manifest import ManifestRow, write_manifest
from relsim.data.records import Status
from relsim.web.datasets import open_datasets
from relsim.web.site import SiteOptions, write_site

ROWS, CUT = 1_234, 1_100
HOSTILE = "</script><img src=x onerror=document.title='run'> {Object}"
CAPTIONS = (
    *("A ring of {Objects}", "A dog beside {Object}", None, "\U0001f600 A dog in 1999", "{Objects} in a row of dogs"),
    *('"Growth of {Subject} in many small steps over time"', HOSTILE, "STRASSE or stra\u00dfe of {Objects}"),
    *("\u039f\u03b4\u03bf\u03c3 and \u039f\u03b4\u03bf\u03c2 {Object}", "a\u2028line\u00a0and\x85more\x1cof {Object}"),
    *(
        "\u0130stanbul or \u0131stanbul, {Place}",
        "\ufb01ne {Object} `${x}` \\u0041 __proto__",
        "  ",
        "\ufefffoo {Object}",
    ),
)


@pytest.fixture(scope="module")
def paths(tmp_path_factory, library, noise, shard_row):
    """A long list of all kinds of captions and groups, one with pictures of the collection, shards with dead links."""
    from relsim.data.shard_writing import ShardWriter

    folder = tmp_path_factory.mktemp("lists")
    chance = random.Random(7)
    rows = [
        ManifestRow(
            f"h{number}",
            chance.choice(["https://a.example/x.png", "javascript:alert(1)", None]),
            chance.choice(CAPTIONS),
            chance.choice([{}, {"group": number // 5}, {"group": "a/b &c"}, {"group": "__proto__"}]),
        )
        for number in range(ROWS)
    ]
    write_manifest(folder / "long.jsonl", rows)
    ids = [*library.ids[:6], "away"]
    write_manifest(
        folder / "shown.jsonl",
        [ManifestRow(name, None, CAPTIONS[place], {"group": place // 3}) for place, name in enumerate(ids)],
    )
    with ShardWriter(folder / "shards") as writer:
        for number in range(5):
            file = io.BytesIO()
            noise(40 + number, 30, number).save(file, "PNG")
            data = Status.DEAD if number in (1, 3) else file.getvalue()
            writer.append(shard_row(number, f"s{number}", data, caption=f"{number} {{Objects}}"))
    return [folder / name for name in ("long.jsonl", "shown.jsonl", "shards")]


@pytest.fixture(scope="module")
def live(paths, library, models):
    """The API over the lists, in which somebody has corrected captions and taken one back."""
    from starlette.testclient import TestClient

    from relsim.web.app import create_app
    from relsim.web.extras import Extras

    with contextlib.ExitStack() as stack:
        app = create_app(library, models, extras=Extras(data=open_datasets(paths)))
        client = stack.enter_context(TestClient(app, base_url="http://localhost", headers={"x-relsim": "1"}))
        for row, who in ((3, "Ada"), (4, "Grace"), (CUT + 10, "Late")):
            was = client.get("/api/data/long/row", params={"row": row}).json()["caption"]
            change = {"row": row, "caption": f"{row} <b>new</b> {{Objects}}", "was": was, "who": who}
            assert client.post("/api/data/long/changes", json=change).status_code == 201
        assert client.post("/api/data/long/undo", json={"row": 4, "who": "Ada"}).status_code == 201
        yield client


@pytest.fixture(scope="module")
def written(paths, live, library, models, tmp_path_factory):
    """`written(rows)` is the folder and the summary of a site of the lists, and of few images."""
    made = {}

    def write(rows):
        if rows not in made:
            out = tmp_path_factory.mktemp("sites") / "site"
            options = SiteOptions(images=8, matches=4, spaces=0, rows=rows)
            given = {"models": models, "data": open_datasets(paths), "options": options}
            with ThreadPoolExecutor(1) as pool:  # the browser's loop runs in this thread
                made[rows] = out, pool.submit(write_site, out, library, **given).result()
        return made[rows]

    return write


@pytest.fixture(scope="module")
def whole(written, offline):
    """A page of a site that holds all rows."""
    page = offline(written(ROWS)[0], "#/data?list=long")
    page.wait_for_selector("tr[data-row]")
    return page


def told(page, questions):
    """What the site's own API answers to (path, values) each: [status, answer]; status is 200 where it does."""
    return page.evaluate(
        """async (questions) => {
          const { get } = await import("relsim/api");
          const refused = (error) => [error.status, null];
          const one = ([path, values]) => get(path, values).then((told) => [200, told], refused);
          return Promise.all(questions.map(one));
        }""",
        questions,
    )


TEXTS = (
    "DOG a",
    "strasse",
    "STRA\u00dfE",
    "\u039f\u0394\u039f\u03a3",
    "\u0131stanbul",
    "i\u0307stanbul",
    "FINE",
    "</script>",
)
FILTERS = (
    *({"text": text} for text in TEXTS),
    *(
        {"text": ""},
        {"text": "line\u00a0and\x85more"},
        {"text": "\ufefffoo"},
        {"text": "__PROTO__ ${X}"},
        {"text": "nothing"},
    ),
    *({name: value} for name in ("anonymous", "captioned", "corrected") for value in ("true", "false")),
    *({"finding": kind} for kind in ("animal", "number", "no placeholder", "none such")),
    *({"status": status} for status in ("listed", "ok", "dead", "constructor")),
    *({"group": group} for group in ("1", "a/b &c", "__proto__", "constructor", "")),
    *({"smallest": "1"}, {"largest": "3"}, {"smallest": "2", "largest": "2"}, {"smallest": "0"}),
    *({"shortest": "6"}, {"longest": "3"}, {"shortest": "4", "longest": "5"}, {"shortest": "5", "longest": "4"}),
)
REFUSED = ({"anonymous": "constructor"}, {"smallest": "-1"}, {"longest": "many"})


def pairs_of_filters():
    return [one | other for one, other in itertools.combinations(FILTERS, 2) if not set(one) & set(other)]


def test_the_page_finds_what_the_api_finds(whole, live):
    chance = random.Random(3)
    asked = [*FILTERS, *chance.sample(pairs_of_filters(), 60), *REFUSED, {}]
    asked = [values | {"start": chance.choice([0, 0, 3, 499]), "count": chance.choice([50, 500])} for values in asked]
    questions = [(f"/api/data/{name}/rows", values) for name in ("long", "shown", "shards") for values in asked]
    wanted = [live.get(path, params=values) for path, values in questions]
    found = told(whole, questions)
    assert {answer.status_code for answer in wanted} == {200, 422}
    assert sum(answer.status_code == 200 and answer.json()["total"] > 0 for answer in wanted) > 60
    for question, answer, (status, content) in zip(questions, wanted, found, strict=True):
        assert status == answer.status_code, question
        assert status != 200 or content == answer.json(), question


def test_single_rows_changes_and_what_lists_hold_are_those_of_the_api(whole, live):
    rows = [0, 3, 4, 499, 500, CUT + 10, ROWS - 1]
    questions = [("/api/data", {})]
    questions += [(f"/api/data/long/{kind}", {"row": row}) for kind in ("row", "changes") for row in (*rows, ROWS)]
    for question, (status, content) in zip(questions, told(whole, questions), strict=True):
        answer = live.get(question[0], params=question[1])
        assert status == answer.status_code, question
        assert status != 200 or content == answer.json(), question
    for name in ("long", "shown", "shards"):
        [(_, content)] = told(whole, [(f"/api/data/{name}", {})])
        assert content.pop("whole") == content["rows"]
        assert content == live.get(f"/api/data/{name}").json()
    assert [status for status, _ in told(whole, [("/api/data/constructor/rows", {})])] == [404]


def test_case_and_white_space_are_those_of_python(whole):
    signs = [chr(code) for code in range(sys.maxunicode + 1)]
    signs = [sign for sign in signs if unicodedata.category(sign) not in ("Cn", "Cs", "Co")]
    folded, parted = whole.evaluate(
        """async (signs) => {
          const { fold, words } = await import("relsim/site-data");
          return [fold(signs), [...signs].filter((sign) => words(`a${sign}b`).length > 1).join("")];
        }""",
        "".join(signs),
    )
    assert folded == "".join(signs).casefold()
    assert parted == "".join(sign for sign in signs if sign.isspace())


def test_rows_are_searched_filtered_and_paged_from_a_disk(written, offline, live):
    page = offline(written(ROWS)[0], "#/data?list=long")

    def shown(**values):
        answer = live.get("/api/data/long/rows", params={"count": 50, **values}).json()
        wanted = [row["row"] for row in answer["rows"]]
        page.wait_for_function(
            "([text, rows]) => document.querySelector('.told').textContent.startsWith(text)"
            " && String([...document.querySelectorAll('tr[data-row]')].map((one) => one.dataset.row)) === rows",
            arg=[f"{answer['total']:,} of {ROWS:,} rows", ",".join(map(str, wanted))],
        )

    shown()
    page.click(".pager a:has-text('Later')")
    shown(start=50)
    page.fill("#text", "ROW of")
    shown(text="row of")
    page.select_option("#says", "finding=animal")
    shown(text="row of", finding="animal")
    page.click("text=Clear filters")
    shown()  # before that the next choice would be made in a form that is about to be replaced
    page.select_option("#says", "corrected=true")
    shown(corrected=True)
    page.click("summary")
    page.fill("#shortest", "3")
    page.select_option("#says", "")
    page.fill("#largest", "5")
    shown(shortest=3, largest=5)
    page.click("tr[data-row] td:nth-child(3) a")
    page.wait_for_function("() => location.hash.includes('group=')")


def test_captions_stay_text_and_nothing_can_be_changed(written, offline):
    page = offline(written(ROWS)[0], "#/data?list=long&text=script")
    page.wait_for_selector("tr[data-row] .says")
    assert set(page.locator("tr[data-row] .says").all_inner_texts()) == {HOSTILE}
    page.click("tr[data-row] .says")
    page.wait_for_selector("dialog[open]")
    assert HOSTILE in page.inner_text("dialog")
    assert page.locator("dialog textarea, dialog input, dialog form, a[download], img[src=x]").count() == 0
    assert page.title() == "Data \u00b7 relsim"
    first = page.inner_text("#reviewed")
    page.keyboard.press("Enter")  # the keyboard stands on "Later"
    page.wait_for_function("was => document.querySelector('#reviewed').textContent !== was", arg=first)
    page.click("dialog button:has-text('Earlier')")
    page.wait_for_function("was => document.querySelector('#reviewed').textContent === was", arg=first)
    assert page.evaluate("document.activeElement.textContent") == "Earlier"
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")


def test_corrections_are_shown_with_their_history(written, offline):
    page = offline(written(ROWS)[0], "#/data?list=long&row=3")
    page.wait_for_selector(".history li")
    assert "3 <b>new</b> {Objects}" in page.inner_text("dialog")
    assert page.locator(".history li").all_inner_texts()[0].startswith("Ada, ")
    assert "corrected" in page.inner_text("tr[data-row='3']")
    assert page.locator("b").count() == 0


def test_pictures_and_groups_are_shown(written, offline, faint, nameless):
    out, made = written(ROWS)
    page = offline(out, "#/data?list=shown", width=360, scheme="dark")
    page.wait_for_function("() => document.querySelectorAll('.cell img').length === 6")
    page.wait_for_function("() => [...document.querySelectorAll('.cell img')].every((one) => one.naturalWidth > 0)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert faint(page) == []
    page.click(".cell a")
    page.wait_for_function("() => document.querySelector('dialog[open] img')?.naturalWidth > 192")
    assert (faint(page), nameless(page)) == ([], [])
    page.keyboard.press("Escape")
    page.click(".modes a:has-text('Groups')")
    page.wait_for_selector(".group .members")
    assert page.locator(".group").count() == 3
    page.select_option("#list", "shards")
    page.wait_for_function("() => document.querySelectorAll('.cell .none').length === 2")
    page.select_option("#status", "dead")
    page.wait_for_function("() => document.querySelector('.told').textContent.startsWith('2 of 5')")
    assert made.missing == 0


def test_what_is_left_out_is_told(written, offline, library):
    out, made = written(CUT)
    assert (made.lists, made.rows, made.rows_left_out) == (3, CUT + 7 + 5, ROWS - CUT)
    assert (made.images, made.images_left_out) == (8, len(library) - 8)
    page = offline(out, "#/data?list=long")
    page.wait_for_selector("tr[data-row]")
    assert f"The first {CUT:,} of {ROWS:,} rows, the others are not in this site" in page.inner_text(".data-head")
    assert f"{CUT:,} of {CUT:,} rows" in page.inner_text(".told")
    assert page.inner_text(".collection") == f"drawn, the first 8 of {len(library):,} images"
    assert "Late" not in page.inner_text(".data-head")
    [(status, content)] = told(page, [("/api/data/long/rows", {"start": CUT - 2, "count": 10})])
    assert (status, [row["row"] for row in content["rows"]]) == (200, [CUT - 2, CUT - 1])
    page.goto(f"{out.as_uri()}/index.html#/data?list=long&row={CUT}")
    page.wait_for_selector(".empty[role=alert]")
    assert f"first {CUT:,} rows" in page.inner_text(".empty")


def test_a_part_of_a_collection_is_a_collection(written, offline, library):
    out, _ = written(CUT)
    page = offline(out)
    page.wait_for_selector(".card img")
    shown = page.eval_on_selector_all(".cell .card > a", "links => links.map(link => link.title)")
    assert shown == list(library.ids[:8])
    page.click(".card a")
    page.wait_for_selector(".card .bars")
    found = page.eval_on_selector_all(".cell .card > a", "links => links.map(link => link.title)")
    assert len(found) == 4
    assert set(found) < set(library.ids[:8])
    page.goto(f"{out.as_uri()}/index.html#/map")
    page.wait_for_selector(".plane canvas")


def test_files_of_rows_are_small_and_say_nothing_of_where_pictures_lie(written, paths, library):
    out, _ = written(ROWS)
    files = {path.name for path in (out / "data").glob("list-*.js")}
    assert files == {"list-0-0.js", "list-0-1.js", "list-0-2.js", "list-1-0.js", "list-2-0.js"}
    source = next(iter(library.records.values())).source.rpartition("/")[0]
    for path in (out / "data").iterdir():
        text = path.read_text()
        assert source not in text
        assert str(paths[0].parent) not in text
        assert path.stat().st_size < 400_000
    text = (out / "data" / "list-1-0.js").read_text().split(" = ")[1]
    row = json.loads(text.removesuffix(";\n"))[6]
    told = {"id": "away", "caption": HOSTILE, "anonymous": True}
    assert row == {**told, "group": "2", "group_size": 1, "status": "listed"}
