"""A local server that speaks the Hub's protocol: repositories are fetched from it and pushed to it.

The fixture `hub_server` of tests/conftest.py gives this module. `huggingface_hub` reads its endpoint and its offline
switch when it is imported, so whatever talks to the server is a process with the variables of `LocalHub.variables`.
"""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

OWNER = "someone"
TOKEN = "hf_local"
COMMITS = {"main": "a" * 40, "v1": "b" * 40}
PUSHED = "c" * 40
REFUSED = {"someone/gated": (403, "GatedRepo"), "someone/private": (401, "RepoNotFound"), "someone/broken": (500, None)}
LARGE = (".safetensors", ".pt", ".parquet")


class LocalHub(ThreadingHTTPServer):
    """Serves the folders in `repositories`, by id; a data set's id begins with `datasets/`.

    `requests` is what it was asked for. Of what is pushed, `created` says which repositories were made (and whether
    they are private) and `files` has the content, by repository and path.
    """

    daemon_threads = True

    def __init__(self, repositories=None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories = dict(repositories or {})
        self.requests = []
        self.created = {}
        self.files = {}
        self.objects = {}
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()
        self.thread.join()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def variables(self, home):
        """Variables of a process whose Hub this is, with a token that it takes."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_TOKEN": TOKEN,
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.fetch()

    def do_GET(self):
        self.fetch()

    def fetch(self):
        path = self.path.split("?")[0].lstrip("/").removeprefix("api/").removeprefix("models/")
        kind = "datasets/" if path.startswith("datasets/") else ""
        owner, name, *rest = path.removeprefix(kind).split("/")
        repository = f"{kind}{owner}/{name}"
        self.server.requests.append((self.command, path))
        folder = self.server.repositories.get(repository)
        verb, revision = [*rest, "revision", "main"][:2]
        commit = COMMITS.get(revision, revision if revision in COMMITS.values() else None)
        if folder is None:
            self.refuse(*REFUSED.get(repository, (404, "RepoNotFound")))
        elif commit is None:
            self.refuse(404, "RevisionNotFound")
        elif verb == "revision":
            self.answer({"id": f"{owner}/{name}", "sha": commit, "siblings": []})
        elif verb == "tree":
            self.answer([self.entry(folder, path) for path in sorted(folder.rglob("*")) if path.is_file()])
        else:
            self.file(folder / "/".join(rest[2:]), commit)

    @staticmethod
    def entry(folder, path):
        oid = hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
        return {"type": "file", "path": str(path.relative_to(folder)), "size": path.stat().st_size, "oid": oid}

    def file(self, path, commit):
        if not path.is_file():
            self.refuse(404, "EntryNotFound")
            return
        data = path.read_bytes()
        etag = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Repo-Commit", commit)
        self.end_headers()
        if self.command == "GET":
            if "someone/cut" in self.path and path.suffix == ".safetensors":
                self.wfile.write(data[: len(data) // 2])
                self.close_connection = True
                return
            self.wfile.write(data)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = self.path.split("?")[0]
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer({"error": "no"}, 401)
        elif path == "/api/repos/create":
            self.create(json.loads(body))
        elif path.endswith("/info/lfs/objects/batch"):
            self.offer(json.loads(body)["objects"])
        elif "/preupload/" in path:
            names = [file["path"] for file in json.loads(body)["files"]]
            modes = {name: "lfs" if name.endswith(LARGE) else "regular" for name in names}
            self.answer(
                {"files": [{"path": name, "uploadMode": mode, "shouldIgnore": False} for name, mode in modes.items()]}
            )
        elif "/commit/" in path:
            self.commit(path.removeprefix("/api/").removeprefix("models/").split("/commit/")[0], body)
        else:
            self.answer({"errors": [], "warnings": []})

    def do_PUT(self):
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.objects[self.path.rsplit("/", 1)[1]] = data
        self.answer({})

    def create(self, wish):
        kind = "datasets/" if wish.get("type") == "dataset" else ""
        owner = wish.get("organization") or OWNER
        if owner == "locked":
            self.answer({"error": "not yours"}, 403)
            return
        name = f"{kind}{owner}/{wish['name']}"
        self.server.created[name] = wish.get("private") or wish.get("visibility") == "private"
        self.answer({"url": f"{self.server.url}/{name}", "id": f"{owner}/{wish['name']}"})

    def offer(self, objects):
        links = [
            {**item, "actions": {"upload": {"href": f"{self.server.url}/put/{item['oid']}"}}}
            for item in objects
        ]  # fmt: skip
        self.answer({"transfer": "basic", "objects": links}, kind="application/vnd.git-lfs+json")

    def commit(self, repository, body):
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                self.server.files[repository, value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                data = self.server.objects[value["oid"]]
                assert hashlib.sha256(data).hexdigest() == value["oid"]
                self.server.files[repository, value["path"]] = data
        self.answer({"commitOid": PUSHED, "commitUrl": f"{self.server.url}/{repository}/commit/{PUSHED}"})

    def answer(self, content, status=200, kind="application/json"):
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, status, code):
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()
