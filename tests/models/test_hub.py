"""Checkpoints by Hub id, fetched from a local server that speaks the Hub's protocol.

`huggingface_hub` reads its endpoint and its offline switch when it is imported, so each attempt is a process.
"""

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from relsim.errors import CheckpointError
from relsim.models.hub import resolve_folder

METRIC, BASE = "someone/relsim-checkpoint", "Qwen/Qwen2.5-VL-7B-Instruct"
MAIN, V1 = "a" * 40, "b" * 40  # the commits of the local server's branches


UNWANTED = ("modeling_evil.py", "pytorch_model.bin", "training_args.pt", "sub/inner.py", "weights.ckpt", "model.gguf")


@pytest.fixture(scope="module")
def hub(golden, hub_server, tmp_path_factory):
    """A server with the golden checkpoint and, under the name in its adapter, the golden base.

    Beside the checkpoint lie files that are not wanted.
    """
    folder = tmp_path_factory.mktemp("repository")
    for path in (golden / "relsim").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    for name in UNWANTED:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"not wanted")
    with hub_server.LocalHub({METRIC: folder, BASE: golden / "base", "someone/cut": folder}) as server:
        yield server


RESOLVE = """
import json, sys, time
from relsim.errors import CheckpointError
from relsim.models.hub import resolve_folder
for call in json.loads(sys.argv[1]):
    begin = time.monotonic()
    try:
        result = {"folder": str(resolve_folder(**call))}
    except CheckpointError as error:
        result = {"error": str(error)}
    except Exception as error:
        result = {"foreign": repr(error)}
    print(json.dumps({**result, "seconds": time.monotonic() - begin}))
"""

EMBED = """
import json, sys
from PIL import Image
from relsim import relsim
name, cache, picture = sys.argv[1:]
model, preprocess = relsim(True, name, cache, device="cpu", dtype="float32")
print(json.dumps(model.embed(preprocess(Image.open(picture)))[0].tolist()))
"""


def python(script, *arguments, endpoint, home, offline=False):
    """Lines of JSON that a script prints in a process of its own."""
    settings = {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "1" if offline else "0",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        "PYTHONPATH": os.pathsep.join(sys.path),
        "NO_PROXY": "127.0.0.1",
    }
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def resolve(calls, **options):
    return python(RESOLVE, json.dumps(calls), **options)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """An empty cache and an empty home of the Hub's client."""
    return tmp_path_factory.mktemp("cache"), tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def downloaded(hub, places, golden_paths):
    """The embedding that a first, online use gives; afterwards the cache is filled."""
    cache, home = places
    (row,) = python(EMBED, METRIC, cache, golden_paths[1], endpoint=hub.url, home=home)
    return row


def test_id_is_enough(downloaded, golden_embeddings):
    """Checkpoint and base are fetched, the base by the name in the adapter."""
    np.testing.assert_allclose(downloaded, golden_embeddings[1], atol=1e-4)


def test_cache_is_where_the_call_says(downloaded, places):
    cache, home = places
    found = {path.name for path in cache.iterdir() if path.name.startswith("models--")}
    assert found == {f"models--{name.replace('/', '--')}" for name in (METRIC, BASE)}
    assert not list(home.rglob("models--*"))


def test_only_tensors_and_settings_are_fetched(downloaded, hub, places):
    """No code, no pickle but the projection's; each wanted file once."""
    tensors = {"adapter_model.safetensors", "projection_and_config.pt"}
    wanted = tensors | {"adapter_config.json", "tokenizer.json", "chat_template.jinja", "merges.txt"}
    files = [path for verb, path in hub.requests if verb == "GET" and f"{METRIC}/resolve/{MAIN}" in path]
    names = {path.rsplit("/", 1)[1] for path in files}
    assert len(files) == len(set(files))
    assert (
        wanted
        <= names
        == {path.name for path in (places[0] / "models--someone--relsim-checkpoint").rglob("snapshots/*/*")}
    )
    assert not names & {Path(name).name for name in UNWANTED}


def test_second_use_works_offline(downloaded, hub, places, golden_paths):
    """The same numbers, and not one request."""
    cache, home = places
    before = len(hub.requests)
    (row,) = python(EMBED, METRIC, cache, golden_paths[1], endpoint=hub.url, home=home, offline=True)
    assert row == downloaded
    assert len(hub.requests) == before


@pytest.fixture(scope="module")
def offline(downloaded, hub, places):
    cache, home = places
    calls = [
        {"name": METRIC, "cache_dir": str(cache)},
        {"name": "someone/other", "cache_dir": str(cache)},
        {"name": METRIC, "cache_dir": str(cache / "empty")},
        {"name": METRIC, "cache_dir": str(cache), "revision": "v1"},
    ]
    return resolve(calls, endpoint=hub.url, home=home, offline=True)


def test_offline_finds_what_is_in_the_cache(offline, places):
    assert Path(offline[0]["folder"]).is_relative_to(places[0])


@pytest.mark.parametrize("number", [1, 2, 3], ids=["another id", "another cache", "another revision"])
def test_offline_without_a_copy_says_what_to_do(offline, number):
    assert "not in the local cache" in offline[number]["error"]
    assert "download it once while online" in offline[number]["error"]


NAMES = {
    "unknown": "neither a local folder nor a repository",
    "private": "neither a local folder nor a repository",
    "gated": "asks for a licence",
    "broken": "someone/broken",
    "cut": "someone/cut",
}


@pytest.fixture(scope="module")
def online(hub, tmp_path_factory):
    """Outcomes of calls to a Hub that answers, by name."""
    cache = str(tmp_path_factory.mktemp("online cache"))
    calls = {name: {"name": f"someone/{name}", "cache_dir": cache} for name in NAMES}
    calls["revision"] = {"name": METRIC, "cache_dir": cache, "revision": "v1"}
    calls["unknown revision"] = {"name": METRIC, "cache_dir": cache, "revision": "v9"}
    outcomes = resolve(list(calls.values()), endpoint=hub.url, home=tmp_path_factory.mktemp("online home"))
    return dict(zip(calls, outcomes, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_repository_that_cannot_be_had_is_a_checkpoint_error(online, name):
    assert NAMES[name] in online[name].get("error", online[name])
    assert "\n" not in online[name]["error"]
    assert online[name]["seconds"] < 30


def test_cut_download_gives_no_folder(online):
    """What was cut off is not taken for the file next time."""
    assert "folder" not in online["cut"]


def test_revision_is_fetched(online):
    assert online["revision"]["folder"].endswith(V1)


def test_unknown_revision_is_named(online):
    assert "has no revision 'v9'" in online["unknown revision"]["error"]


def test_hub_that_is_down(hub, places, downloaded, tmp_path):
    """Nobody listens: a copy in the cache is used, and without one the error says so."""
    cache, home = places
    closed = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    url = f"http://127.0.0.1:{closed.server_port}"
    closed.server_close()
    calls = [{"name": METRIC, "cache_dir": str(cache)}, {"name": METRIC, "cache_dir": str(tmp_path)}]
    known, unknown = resolve(calls, endpoint=url, home=home)
    assert Path(known["folder"]).is_relative_to(cache)
    assert "the Hub cannot be reached" in unknown["error"]
    assert "is no folder here" in unknown["error"]


@pytest.mark.parametrize("kind", [str, Path])
def test_local_folder_is_itself(tmp_path, kind):
    assert resolve_folder(kind(tmp_path)) == tmp_path


def test_local_folder_goes_before_an_id(tmp_path, monkeypatch):
    (tmp_path / "someone" / "relsim").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert resolve_folder("someone/relsim") == Path("someone/relsim")


def test_folder_in_the_home_directory(tmp_path, monkeypatch):
    (tmp_path / "checkpoint").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve_folder("~/checkpoint") == tmp_path / "checkpoint"


def test_file_is_no_checkpoint(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="is a file; a checkpoint is a folder"):
        resolve_folder(path)


@pytest.mark.parametrize(
    "name", ["", "name", "a/b/c", "/nowhere/at/all", "owner/na me", "https://hub/owner/name", "o/"]
)
def test_what_is_neither_folder_nor_id(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError):
        resolve_folder(name)


@pytest.mark.parametrize(
    "name", ["../checkpoint", "./checkpoint", "owner/a--b", "owner/name.git", "-owner/name", "owner/name."]
)
def test_id_that_the_hub_does_not_allow(name, tmp_path, monkeypatch):
    """Refused before anything is asked of the network."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="no Hub id"):
        resolve_folder(name)
