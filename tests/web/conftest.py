"""A small drawn collection, the application over it, and a real server in a process of its own."""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from urllib.parse import urlencode

import pytest
from PIL import Image


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
    with open(next(iter(library.records.values())).source, "rb") as file:  # noqa: PTH123
        return file.read()


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
def start_server(collection):
    """`start_server("--token", …)` starts `relsim serve` over the collection on a free port; it ends with the block."""

    @contextlib.contextmanager
    def start(*flags):
        command = [sys.executable, "-m", "relsim", "serve", collection.relation, "--attributes", collection.look]
        command += ["--name", "drawn", "--port", "0", *flags]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
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
