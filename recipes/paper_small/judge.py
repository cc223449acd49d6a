"""A judge in the place of GPT-4o, behind an endpoint on this machine that speaks chat completions.

It says of each of the two pictures what relsim's captioner says, and rates how alike the two sentences are: ten times
the cosine of their vectors, not below 0. It is a judge of relations as far as the captioner is one, and it is no
stranger to the encoder `captions`, which sees pictures through the same sentences: `relsim judge calibrate` and the
known truth tell how far it can be trusted.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from relsim.captions.captioner import Captioner
from relsim.models.embedded import DEFAULT_CAPTIONER
from relsim.models.text_encoder import CaptionEncoder

MODEL = "captions-as-a-judge"


class CaptionsJudge:
    """Ratings of two pictures by their captions. Thread-safe; each picture is captioned once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._vectors: dict[str, NDArray[np.float32]] = {}
        self._models: tuple[Captioner, CaptionEncoder] | None = None

    def rate(self, first: bytes, second: bytes) -> float:
        """From 0 to 10, the same in either order."""
        cosine = float(self._vector(first) @ self._vector(second))
        return round(10 * max(0.0, min(1.0, cosine)), 1)

    def _vector(self, data: bytes) -> NDArray[np.float32]:
        name = hashlib.sha256(data).hexdigest()
        with self._lock:
            if self._models is None:  # a run whose questions are answered needs none
                self._models = Captioner.load(DEFAULT_CAPTIONER, device="cpu"), CaptionEncoder()
            if name not in self._vectors:
                captioner, encoder = self._models
                (said,) = captioner.caption([Image.open(io.BytesIO(data)).convert("RGB")], greedy=True)
                self._vectors[name] = encoder.encode_text([said.text])[0]
            return self._vectors[name]


@contextmanager
def judge_server() -> Iterator[str]:
    """The judge on a free port of this machine; the address of its endpoint."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(CaptionsJudge())) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def _handler(judge: CaptionsJudge) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            pictures = _pictures(asked)
            if self.path != "/v1/chat/completions" or len(pictures) != 2:
                self._send(400, {"error": {"message": "ask /v1/chat/completions about two pictures"}})
                return
            said = {"role": "assistant", "content": f"{judge.rate(*pictures):.1f}"}
            choice = {"index": 0, "message": said, "finish_reason": "stop"}
            self._send(200, {"id": "judge", "object": "chat.completion", "model": MODEL, "choices": [choice]})

        def _send(self, code: int, content: Any) -> None:
            data = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing of each request."""

    return Handler


def _pictures(asked: Any) -> list[bytes]:
    """The files that a request shows, in order."""
    contents = [message["content"] for message in asked["messages"] if isinstance(message["content"], list)]
    urls = [part["image_url"]["url"] for content in contents for part in content if part["type"] == "image_url"]
    return [base64.b64decode(url.partition(";base64,")[2]) for url in urls]
