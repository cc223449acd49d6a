"""A small drawn collection, the application over it, and a real server in a process of its own."""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

import pytest
from PIL import Image

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --force-prefers-reduced-motion"
)
_FAINT = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0.99) return colour;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const one of document.querySelectorAll("body *")) {
    const text = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!text || one.closest("[hidden], .hidden, script, noscript, datalist") || !one.offsetParent) continue;
    const [a, b] = [light(parse(getComputedStyle(one).color)), light(ground(one))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) faint.push(`${one.tagName} ${one.className} ${one.textContent.trim()} ${ratio.toFixed(2)}`);
  }
  return faint;
}"""
_NAMELESS = """() => [
  ...document.querySelectorAll("img:not([alt])"),
  ...[...document.querySelectorAll("a, button, input, select, textarea")].filter((one) =>
    !((!one.matches("select, textarea") && one.textContent.trim()) || one.getAttribute("aria-label")
      || one.labels?.length || one.querySelector("img[alt]:not([alt=''])"))),
].map((one) => one.outerHTML)"""


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """A cache folder that holds a drawn collection."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RELSIM_CACHE", str(folder))
        from relsim.demo.collection import drawn_collection

        drawn_collection(scenes=86, triplets=4)
    return folder


@pytest.fixture(scope="session")
def collection(cache):
    """The drawn collection's tables."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RELSIM_CACHE", str(cache))
        from relsim.demo.collection import drawn_collection

        return drawn_collection(scenes=86, triplets=4)


@pytest.fixture(scope="session")
def library(collection):
    """The collection as the page sees it."""
    from relsim.web.library import Library

    return Library.open(collection.relation, collection.look, name="drawn")


@pytest.fixture(scope="session")
def models(library):
    """Its models, loaded once for all tests."""
    from relsim.web.models import Models

    loaded = Models(library)
    loaded.warm_up()
    return loaded


@pytest.fixture(scope="session")
def picture(library):
    """Bytes of the first picture of the collection."""
    return Path(next(iter(library.records.values())).source).read_bytes()


@pytest.fixture
def web(library, models):
    """`web(max_body_bytes=100)` runs the application with these settings and gives a client for it."""
    from starlette.testclient import TestClient

    from relsim.web.app import create_app
    from relsim.web.settings import ServerSettings

    with contextlib.ExitStack() as stack:

        def start(**settings):
            app = create_app(library, models, ServerSettings(**settings))
            client = TestClient(app, base_url="http://localhost", headers={"x-relsim": "1"}, follow_redirects=False)
            return stack.enter_context(client)

        yield start


@pytest.fixture
def client(web):
    """A client of the application with the settings that it has by default."""
    return web()


class Server:
    """A running `relsim serve`."""

    def __init__(self, process, address):
        self.process, self.address = process, address

    def ask(self, path, body=None, headers=None, **values):
        """Status and body of an answer, JSON where it is JSON."""
        url = f"{self.address}{path}" + (f"?{urlencode(values)}" if values else "")
        request = urllib.request.Request(url, body, {"x-relsim": "1", **(headers or {})})  # noqa: S310 - our own
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own server
                data, kind, status = answer.read(), answer.headers.get_content_type(), answer.status
        except urllib.error.HTTPError as error:
            data, kind, status = error.read(), error.headers.get_content_type(), error.code
        return status, json.loads(data) if kind == "application/json" else data


@pytest.fixture(scope="session")
def start_server(collection, cache):
    """`start_server("--token", …)` starts `relsim serve` over the collection, or other tables of relation and look, on
    a free port; it ends with the block.
    """

    @contextlib.contextmanager
    def start(*flags, tables=(collection.relation, collection.look)):
        command = [sys.executable, "-m", "relsim", "serve", tables[0], "--attributes", tables[1]]
        command += ["--name", "drawn", "--port", "0", *flags]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "RELSIM_CACHE": str(cache)}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as process:
            try:
                line = process.stdout.readline()
                found = re.search(r"http://\S+", line)
                assert found, line + process.stderr.read()
                yield Server(process, found.group())
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGINT)
                process.communicate(timeout=30)

    return start


@pytest.fixture(scope="session")
def server(start_server):
    """A server that all tests of this process share."""
    with start_server() as running:
        yield running


def encoded(image, format_name="PNG", **options):
    """An image as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, format_name, **options)
    return file.getvalue()


@pytest.fixture(scope="session")
def files():
    """Bodies that are no picture that can be used, by what is wrong with them."""
    good = encoded(Image.effect_noise((64, 64), 50).convert("RGB"))
    return {
        "empty": b"",
        "text": b"GIF and JPEG are words",
        "html": b"<svg onload=alert(1)>",
        "truncated": good[: len(good) // 2],
        "damaged": good[:60] + b"\xff" + good[61:],
        "bomb": encoded(Image.new("1", (30_000, 30_000))),
        "zip": b"PK\x03\x04" + bytes(100),
    }


@pytest.fixture(scope="module")
def browser():
    """A browser; without one on this machine its tests are passed over."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield started
        started.close()


def _watched(page, complaints, home):
    """The page, whose errors and questions to anybody but `home` are written down."""
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda told: complaints.append(told.text) if told.type == "error" else None)
    own = (home, "data:", "blob:")
    page.on("request", lambda asked: None if asked.url.startswith(own) else complaints.append(asked.url))
    return page


@pytest.fixture
def open_page(browser, server):
    """`open_page("#/search", width=360)` opens a page; whatever it complains of fails the test."""
    contexts, complaints = [], []

    def opened(place="", *, width=1280, height=900, scheme="light", of=server, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, **options)
        contexts.append(context)
        page = _watched(context.new_page(), complaints, of.address)
        page.set_default_timeout(60_000)  # the models load while the first page is shown
        page.goto(f"{of.address}/{place}")
        return page

    opened.complaints = complaints
    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def refusing():
    """`refusing(page, addresses, never=text)` makes the server refuse each picture twice, with 429 and 503, and for
    good where its address has the text; returns a function from a text to the addresses with it that were asked for.
    """

    def busy(page, addresses, *, never):
        asked = []

        def answer(route):
            address = re.sub(r"&again=\d$", "", route.request.url)
            times = sum(re.sub(r"&again=\d$", "", one) == address for one in asked)
            asked.append(route.request.url)
            if times < 2 or never in address:
                route.fulfill(status=503 if times else 429)
            else:
                route.continue_()

        page.route(addresses, answer)
        return lambda text: [address for address in asked if text in address]

    return busy


@pytest.fixture(scope="module")
def offline(browser):
    """`offline(folder, "#/…")` opens a site of files; what it complains of, or asks a network for, fails the test."""
    contexts, complaints = [], []

    def opened(folder, place="", *, width=1280, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = _watched(context.new_page(), complaints, "file:")
        page.goto(f"{folder.as_uri()}/index.html{place}")
        return page

    opened.complaints = complaints
    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def faint():
    """`faint(page)` tells the texts of a page that have less than the contrast of AA, 4.5 to 1."""
    return lambda page: page.evaluate(_FAINT)


@pytest.fixture
def nameless():
    """`nameless(page)` tells the pictures without a text and the controls without a name."""
    return lambda page: page.evaluate(_NAMELESS)


@pytest.fixture(scope="session")
def retrieval_run(collection, library, tmp_path_factory):
    """The folder of a retrieval run of two methods over the collection, with a judge's scores for some matches."""
    from relsim.evaluation.retrieval import run_retrieval
    from relsim.evaluation.retrieval_choice import RetrievalSettings
    from relsim.evaluation.retrieval_files import write_run
    from relsim.vectors.table import VectorTable

    folder = tmp_path_factory.mktemp("runs") / "run"
    folder.mkdir()
    tables = {"logic": VectorTable.open(collection.relation), "look": VectorTable.open(collection.look)}
    settings = RetrievalSettings(queries=30, top_k=4, resamples=20)
    write_run(folder, run_retrieval(list(library.records.values()), tables, settings=settings))
    found = json.loads((folder / "retrieval.json").read_text())["results"]
    scores = (9, 7, 2, 5, None, 8, 1)
    judged = {
        "summary": {},
        "fingerprint": {"model": "the-judge"},
        "detailed_results": {
            method: [
                {
                    "query_id": row["query_image_id"],
                    "retrieved_id": match["image_id"],
                    "rank": match["rank"],
                    "score": scores[(3 * place + match["rank"] * len(method)) % len(scores)],
                }
                for place, row in enumerate(rows)
                for match in row["matches"][:2]
            ]
            for method, rows in found.items()
        },
    }
    (folder / "judged.json").write_text(json.dumps(judged))
    return folder


@pytest.fixture(scope="session")
def make_study(library):
    """`make_study(folder)` writes a study of two methods: eight questions, two answers wanted for each."""
    from relsim.evaluation.result_files import Ranked, Ranking
    from relsim.evaluation.study import new_study, write_study

    records = list(library.records.values())

    def found(query, step):
        hit = records[20 + step * query]
        ranked = (Ranked(hit.image_id, hit.source, 0.5, 1),)
        return Ranking(records[query].image_id, records[query].source, ranked)

    runs = {name: [found(query, step) for query in range(1, 9)] for name, step in (("alpha", 2), ("beta", 5))}

    def write(folder):
        write_study(folder / "study.json", new_study(runs, answers_wanted=2, seed=3))
        return folder / "study.json"

    return write
