"""A server on loopback that speaks chat completions, faults included, and logs what it was asked.

    with ChatServer() as server:
        server.then(status(429, {"Retry-After": "0.2"}), cut)      # the next two requests; after them it answers
        … server.url …
        server.asked                                               # bodies as they came, server.headers beside them
        server.answered                                            # bodies that got an answer of status 200, whole

`server.text` is what it answers: a string, or a function of the request's body. `server.path` is the one path that it
knows.
"""

from __future__ import annotations

import base64
import io
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image

USAGE = {"prompt_tokens": 1000, "completion_tokens": 20, "total_tokens": 1020}


class ChatServer:
    def __init__(self):
        self.asked, self.headers, self.answered = [], [], []
        self.text = "Growth of {Subject} over time"
        self.path = "/v1/chat/completions"
        self.free = threading.Event()
        self.free.set()
        self._script = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.free.set()
        self._server.shutdown()
        self._server.server_close()

    def then(self, *behaviours):
        """What happens at the next requests, one each; a behaviour is a function of the handler and the body."""
        with self._lock:
            self._script += behaviours

    def behaviour(self, body, headers):
        with self._lock:
            self.asked.append(body)
            self.headers.append(headers)
            return self._script.pop(0) if self._script else answer

    def _handler(outer):  # noqa: N805 - `self` is the handler's
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            server_log = outer

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path != outer.path:
                    send(self, 404, b"no such path")
                    return
                behaviour = outer.behaviour(body, {name.lower(): value for name, value in self.headers.items()})
                outer.free.wait(60)
                behaviour(self, body)

            def handle(self):
                try:
                    super().handle()
                except (ConnectionError, TimeoutError):
                    self.close_connection = True  # the client has been killed, or has waited long enough

            def log_message(self, *_):
                pass

        return Handler


def send(handler, code, content, headers=None):
    handler.send_response(code)
    for name, value in {"Content-Type": "application/json", "Content-Length": len(content), **(headers or {})}.items():
        handler.send_header(name, str(value))
    handler.end_headers()
    handler.wfile.write(content)


def completion(text, finish="stop", **message):
    """The body of an answer."""
    said = {"role": "assistant", "content": text, **message}
    choice = {"index": 0, "message": said, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion", "model": "tiny-vlm", "choices": [choice], "usage": USAGE}


def answer(handler, body):
    log = handler.server_log
    text = log.text(body) if callable(log.text) else log.text
    send(handler, 200, json.dumps(completion(text)).encode())
    log.answered.append(body)


def saying(content):
    """Status 200 with these bytes, or this JSON."""

    def behave(handler, body):
        send(handler, 200, content if isinstance(content, bytes) else json.dumps(content).encode())
        handler.server_log.answered.append(body)

    return behave


def status(code, headers=None, content=b'{"error": {"message": "not now"}}'):
    return lambda handler, _: send(handler, code, content, headers)


def cut(handler, _):
    """The connection ends in the middle of the answer."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "5000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [{"mess')
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def slow(seconds):
    def behave(handler, body):
        threading.Event().wait(seconds)
        answer(handler, body)

    return behave


def pictures(body):
    """The pictures in a request, decoded, as (format, PIL image)."""
    parts = [
        part for message in body["messages"] if isinstance(message["content"], list) for part in message["content"]
    ]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    files = [base64.b64decode(url.partition(";base64,")[2]) for url in urls]
    return [(url[5 : url.index(";")], Image.open(io.BytesIO(file))) for url, file in zip(urls, files, strict=True)]


def dripping(seconds, *, headers=False):
    """A whole answer, but a byte every so many seconds: of the body, or from the first byte of the headers on."""

    def behave(handler, body):
        content = json.dumps(completion("{Word}")).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode()
        whole = b"" if headers else head
        handler.wfile.write(whole)
        for byte in (head + content)[len(whole) :]:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            threading.Event().wait(seconds)

    return behave
