"""`relsim export`: layouts that load, and a push to a local server that speaks the Hub's protocol."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from relsim.models.hub import resolve_folder

OWNER = "someone"
TOKEN = "hf_local"


@pytest.fixture(scope="module")
def hub(hub_server):
    with hub_server.LocalHub() as server:
        yield server


@pytest.fixture
def changed(tmp_path):
    """A whole model in a folder of its own."""
    return shutil.copytree(resolve_folder("relsim-mini"), tmp_path / "mine")


@pytest.fixture(scope="module")
def variables(hub, environment, tmp_path_factory):
    """Variables of a process whose Hub is the local server; huggingface_hub reads them when it is imported."""
    return {**environment, **hub.variables(tmp_path_factory.mktemp("home"))}


PUSH = """
import json, os, sys
from relsim.errors import RelsimError
from relsim.training.push import push_checkpoint
for name, token in json.loads(sys.argv[2]):
    os.environ["HF_TOKEN"] = token
    try:
        print(push_checkpoint(sys.argv[1], name))
    except RelsimError as error:
        print("error:", error)
"""


@pytest.fixture
def push(variables, tmp_path):
    """Pushes a folder of one file to repositories, each with a token, in one process; gives a line for each."""
    (tmp_path / "README.md").write_text("# A card\n")

    def run(*calls, **changes):
        command = [sys.executable, "-c", PUSH, str(tmp_path), json.dumps(calls)]
        env = {**variables, **changes}
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.splitlines()

    return run


@pytest.fixture
def embed(golden_pictures):
    from relsim import relsim

    def run(folder, **options):
        model, _ = relsim(checkpoint_dir=folder, device="cpu", dtype="float32", **options)
        return model.embed(golden_pictures[:6]).numpy()

    return run


def test_published_layout_is_the_checkpoint_again(verb, golden, golden_embeddings, embed, tmp_path):
    out = tmp_path / "out"
    result = verb("export", golden / "relsim", "--out", out, "--layout", "published")
    assert (result.exit_code, result.stdout) == (0, f"{out}\n")
    np.testing.assert_allclose(embed(out, base_model=golden / "base"), golden_embeddings[:6], atol=1e-4)
    assert (out / "projection_and_config.pt").exists()
    card = (out / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: relsim\n")
    assert "base_model: Qwen/Qwen2.5-VL-7B-Instruct" in card


def test_whole_model_needs_no_base(verb, golden, golden_embeddings, embed, tmp_path):
    out = tmp_path / "out"
    words = ["--layout", "whole", "--base-model", golden / "base", "--dtype", "float32"]
    assert verb("export", golden / "relsim", "-o", out, *words).exit_code == 0
    assert not (out / "adapter_config.json").exists()
    np.testing.assert_allclose(embed(out), golden_embeddings[:6], atol=1e-4)


def test_whole_model_is_stored_as_its_base_is(verb, golden, golden_embeddings, embed, tmp_path):
    from safetensors import safe_open

    out = tmp_path / "out"
    assert (
        verb("export", golden / "relsim", "-o", out, "--layout", "whole", "--base-model", golden / "base").exit_code
        == 0
    )
    with safe_open(out / "model.safetensors", "pt") as file:
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"BF16"}  # noqa: SIM118 - no mapping
    cosines = (embed(out) * golden_embeddings[:6]).sum(axis=1)
    assert cosines.min() > 0.999


@pytest.mark.parametrize("kind", ["relsim", "captioner"])
def test_whole_model_is_merged_in_full_and_rounded_once(verb, golden, tmp_path, kind):
    words = ["--layout", "whole", "--base-model", golden / "base", "--dtype"]
    for name in ("float16", "float32"):
        assert verb("export", golden / kind, "-o", tmp_path / name, *words, name).exit_code == 0
    rounded, exact = (load_file(tmp_path / name / "model.safetensors") for name in ("float16", "float32"))
    assert rounded.keys() == exact.keys()
    assert all(torch.equal(rounded[name], tensor.half()) for name, tensor in exact.items())
    assert any(not torch.equal(tensor.half().float(), tensor) for tensor in exact.values())


def test_card_of_the_checkpoint_goes_along(verb, golden, tmp_path):
    verb("export", golden / "relsim", "-o", tmp_path / "one")
    (tmp_path / "one" / "README.md").write_text("# Mine\n")
    verb("export", tmp_path / "one", "-o", tmp_path / "two")
    assert (tmp_path / "two" / "README.md").read_text() == "# Mine\n"


def test_captioner_is_exported_as_it_is(verb, golden, refused, tmp_path):
    assert verb("export", golden / "captioner", "-o", tmp_path / "out").exit_code == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= names
    message = refused("export", golden / "captioner", "-o", tmp_path / "typed", "--dtype", "float32")
    assert "an adapter is written as it is" in message
    message = refused("export", golden / "captioner", "-o", tmp_path / "onnx", "--layout", "onnx")
    assert "its layouts are published and whole" in message


@pytest.mark.parametrize("words", [[], ["--layout", "published"], ["--layout", "whole"]])
@pytest.mark.parametrize("kind", ["relsim", "captioner"])
def test_a_base_model_of_the_environment_is_used_where_one_is_needed(verb, golden, tmp_path, monkeypatch, kind, words):
    monkeypatch.setenv("RELSIM_BASE_MODEL", str(golden / "base"))
    assert verb("export", golden / kind, "-o", tmp_path / "out", *words).exit_code == 0
    assert (tmp_path / "out" / "adapter_config.json").exists() == (words != ["--layout", "whole"])


def test_a_whole_model_has_no_use_for_a_base_of_the_environment(verb, golden, tmp_path, changed, monkeypatch):
    monkeypatch.setenv("RELSIM_BASE_MODEL", str(golden / "base"))
    words = ["--layout", "sentence-transformers"]
    assert verb("export", changed, "-o", tmp_path / "out", *words).exit_code == 0


def test_push_uploads_every_file(hub, variables, golden, tmp_path):
    """Made private, tensors by Git LFS; what arrives is what lies in the folder."""
    out, name = tmp_path / "out", f"{OWNER}/analogies"
    command = [sys.executable, "-m", "relsim", "export", golden / "relsim", "--out", out, "--push", name, "--private"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()) == (0, [str(out), f"{hub.url}/{name}/commit/{'c' * 40}"])
    assert hub.created[name] is True
    sent = {path: data for (repository, path), data in hub.files.items() if repository == name}
    assert sent == {path.name: path.read_bytes() for path in out.iterdir()}
    assert "README.md" in sent


def test_push_makes_a_public_repository_and_takes_one_that_is_there(push, hub):
    assert len(push((f"{OWNER}/public", TOKEN), (f"{OWNER}/public", TOKEN))) == 2
    assert not hub.created[f"{OWNER}/public"]
    assert hub.files[f"{OWNER}/public", "README.md"] == b"# A card\n"


def test_push_that_is_refused_says_why(push):
    locked, wrong, unnamed = push(("locked/x", TOKEN), ("someone/x", "wrong"), ("no name", TOKEN))
    assert "the Hub refuses locked/x (status 403); is the token allowed to write there?" in locked
    assert "the Hub refuses someone/x (status 401)" in wrong
    assert "no Hub id of the form owner/name" in unnamed


def test_push_without_a_connection_says_why(push):
    assert "HF_HUB_OFFLINE is set" in push(("someone/x", TOKEN), HF_HUB_OFFLINE="1")[0]
    assert "could not be pushed to the Hub" in push(("someone/x", TOKEN), HF_ENDPOINT="http://127.0.0.1:1")[0]


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ([], "name a folder (--out DIR), a repository (--push OWNER/NAME), or both"),
        (["-o", "{there}"], "exists already"),
        (["-o", "{new}", "--layout", "whole", "--base-model", "{there}"], "is no base model"),
        (["-o", "{new}", "--layout", "whole", "--dtype", "half"], "written in float32, bfloat16, float16"),
        (["-o", "{new}", "--layout", "published", "--base-model", "{there}"], "an adapter is written as it is"),
        (["-o", "{new}", "--dtype", "float32"], "an adapter is written as it is"),
    ],
)
def test_export_that_cannot_be_is_one_line(refused, golden, tmp_path, words, fault):
    (tmp_path / "there").mkdir()
    places = {"there": tmp_path / "there", "new": tmp_path / "new"}
    assert fault in refused("export", golden / "relsim", *(word.format(**places) for word in words))
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
