"""A server on loopback that speaks as much of Qdrant as an export uses, faults included, and logs what it was asked.

    with QdrantServer(key="secret") as server:
        server.at("upsert", 2, status(500), reset)     # what befalls the third and fourth request of that kind
        … server.url …
        server.collections["mine"].points              # what is stored, by id
        server.asked                                   # the kinds of the requests, as they came

Kinds: exists, create, get, delete, update, upsert, retrieve, count. A fault is a function of the handler and of the
work that the request asks for; the work is done when it is called.
"""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KINDS = {
    ("GET", "/exists"): "exists", ("PUT", ""): "create", ("GET", ""): "get", ("DELETE", ""): "delete",
    ("PATCH", ""): "update", ("PUT", "/points"): "upsert", ("POST", "/points"): "retrieve",
    ("POST", "/points/count"): "count",
}  # fmt: skip


class Collection:
    def __init__(self, vectors, metadata):
        self.vectors, self.metadata, self.points = vectors, metadata, {}


class QdrantServer:
    def __init__(self, key=None, *, keeps_metadata=True):
        self.key, self.keeps_metadata = key, keeps_metadata
        self.collections, self.asked, self.batches = {}, [], []
        self._faults = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def at(self, kind, place, *faults):
        """What befalls the requests of a kind from this place on, one each; counting begins anew."""
        self._faults[kind] = [None] * place + list(faults)

    def fault(self, kind):
        with self._lock:
            self.asked.append(kind)
            script = self._faults.get(kind)
            return script.pop(0) if script else None

    def work(self, kind, name, body):
        """What a server does at a request: its status and the result that it answers."""
        with self._lock:
            if kind == "exists":
                return 200, {"exists": name in self.collections}
            if kind == "create":
                if name in self.collections:
                    return 409, None
                self.collections[name] = Collection(body["vectors"], body["metadata"] if self.keeps_metadata else None)
                return 200, True
            if name not in self.collections:
                return 404, None
            return getattr(self, f"_{kind}")(name, self.collections[name], body)

    def _get(self, _, collection, __):
        config = {
            "params": {"vectors": collection.vectors},
            "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000},
            "optimizer_config": {"deleted_threshold": 0.2, "vacuum_min_vector_number": 1000,
                                 "default_segment_number": 0, "flush_interval_sec": 5},
            "wal_config": {"wal_capacity_mb": 32, "wal_segments_ahead": 0},
            **({} if collection.metadata is None else {"metadata": collection.metadata}),
        }  # fmt: skip
        facts = {"status": "green", "optimizer_status": "ok", "segments_count": 1, "payload_schema": {}}
        return 200, {**facts, "points_count": len(collection.points), "config": config}

    def _delete(self, name, _, __):
        del self.collections[name]
        return 200, True

    def _update(self, _, collection, body):
        collection.metadata |= body["metadata"]
        return 200, True

    def _upsert(self, _, collection, body):
        batch = body["batch"]
        if any(len(vector) != collection.vectors["size"] for vector in batch["vectors"]):
            return 400, None
        for at, vector, payload in zip(batch["ids"], batch["vectors"], batch["payloads"], strict=True):
            collection.points[at] = (vector, payload)
        self.batches.append(len(batch["ids"]))
        return 200, {"operation_id": len(self.batches), "status": "completed"}

    def _retrieve(self, _, collection, body):
        return 200, [{"id": at} for at in body["ids"] if at in collection.points]

    def _count(self, _, collection, __):
        return 200, {"count": len(collection.points)}


def _handler(server):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = re.fullmatch(r"/collections/([^/?]+)(/[a-z/]+)?(\?.*)?", self.path)
            kind = path and KINDS.get((self.command, path[2] or ""))
            given = self.headers.get("api-key")
            if server.key is not None and given != server.key:
                server.asked.append("refused")
                send(self, 401 if given is None else 403, {"status": {"error": f"Invalid API key {given}"}})
            elif not kind:
                send(self, 404, {"status": {"error": f"no {self.command} {self.path}"}})
            else:
                fault = server.fault(kind)
                (fault or answer)(self, lambda: server.work(kind, path[1], json.loads(body or b"null")))

        def handle(self):
            try:
                super().handle()
            except (ConnectionError, TimeoutError):
                self.close_connection = True  # the client has been killed, or has waited long enough

        def log_message(self, *_):
            pass

    for method in ("GET", "PUT", "POST", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.handle_one)
    return Handler


def send(handler, code, document, headers=None):
    content = json.dumps(document).encode()
    handler.send_response(code)
    for name, value in {"Content-Type": "application/json", "Content-Length": len(content), **(headers or {})}.items():
        handler.send_header(name, str(value))
    handler.end_headers()
    handler.wfile.write(content)


def answer(handler, work):
    code, result = work()
    send(handler, code, {"result": result, "status": "ok" if code == 200 else {"error": "no"}, "time": 0.0})


def status(code, headers=None, error="not now"):
    """A status in place of an answer; nothing is done."""
    return lambda handler, _: send(handler, code, {"status": {"error": error}, "time": 0.0}, headers)


def reset(handler, _):
    """The connection is reset, and nothing is done."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(handler.connection.detach())
    handler.close_connection = True


def done_then_reset(handler, work):
    """The work is done, and the answer lost."""
    work()
    reset(handler, work)


def hang(seconds):
    """An answer that comes after some seconds; the work is done before."""

    def behave(handler, work):
        code, result = work()
        threading.Event().wait(seconds)
        send(handler, code, {"result": result, "status": "ok", "time": seconds})

    return behave


def nonsense(handler, _):
    """What another kind of server says."""
    send(handler, 200, {"hello": "I am no Qdrant"})
