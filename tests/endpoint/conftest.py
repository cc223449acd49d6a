"""A server that speaks chat completions, and clients of it that lose no time."""

import io

import pytest
from PIL import Image


@pytest.fixture
def server(chat_server):
    with chat_server.ChatServer() as running:
        yield running


@pytest.fixture
def endpoint(server, tmp_path, monkeypatch):
    """`endpoint(policy={…}, …)` is a client of the server with a folder of answers and short pauses."""
    from relsim.endpoint.cache import ReplyCache
    from relsim.endpoint.client import Endpoint
    from relsim.endpoint.pace import Policy

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def make(policy=None, **options):
        quick = {"first_pause": 0.02, "timeout": 10.0, "concurrency": 1}
        given = {"cache": ReplyCache(tmp_path / "replies"), "policy": Policy(**{**quick, **(policy or {})}), **options}
        return Endpoint(given.pop("url", server.url), given.pop("model", "tiny-vlm"), **given)

    return make


@pytest.fixture
def question():
    """`question("text", picture…)` is one message of the user."""
    from relsim.endpoint.messages import Message

    return lambda text, *pictures: (Message("user", (*pictures, text)),)


@pytest.fixture
def file_of():
    """`file_of(width, height, colour)` gives the bytes of a PNG of one colour."""

    def make(width=40, height=30, colour="red", mode="RGB"):
        file = io.BytesIO()
        Image.new(mode, (width, height), colour).save(file, "PNG")
        return file.getvalue()

    return make
