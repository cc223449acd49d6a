"""Norms and gated MLPs compiled: the same vectors as transformers' own forward gives, and what cannot be compiled."""

import os
import shutil
import subprocess
import sys

import pytest
import torch

from relsim.errors import CheckpointError
from relsim.models import layers as layers_module
from relsim.models import packed as packed_module

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of torch's own compiler, when it is imported
]


with_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="this machine has no C++ compiler"
)


@pytest.fixture(scope="module")
def compiled(load_golden):
    return load_golden(engine="compiled")


@with_compiler
def test_vectors_are_those_of_the_plain_path(compiled, load_golden, golden_pictures, embed):
    """Of pictures of all sizes, for which sizes within the programs are open."""
    exact = embed(load_golden(engine="plain"), golden_pictures)
    assert (embed(compiled, golden_pictures) - exact).abs().max() <= 1e-4
    assert (embed(compiled, golden_pictures[:1]) - exact[:1]).abs().max() <= 1e-4


@with_compiler
def test_vectors_of_large_weights_are_those_of_the_plain_path(load_golden, golden_pictures, embed, monkeypatch):
    """Gate and up projection apart, as in the 7B model's language part."""
    monkeypatch.setattr(layers_module, "JOIN_BYTES", 0)
    apart = load_golden(engine="compiled")
    assert all(block.mlp.up is not None for block in apart._forward._language.blocks)
    exact = embed(load_golden(engine="plain"), golden_pictures)
    assert (embed(apart, golden_pictures) - exact).abs().max() <= 1e-4


@with_compiler
def test_many_models_of_a_process_stay_compiled(load_golden, golden_pictures, embed, monkeypatch):
    """Precisions, widths and forms are programs each; torch alone keeps eight, and then stops with a warning."""
    for join in (0, layers_module.JOIN_BYTES):
        monkeypatch.setattr(layers_module, "JOIN_BYTES", join)
        for dtype in ("float32", "bfloat16"):
            for aligned in (set(), {"cpu"}):
                monkeypatch.setattr(packed_module, "_ALIGNED_ON", aligned)
                model = load_golden(engine="compiled", dtype=dtype)
                embed(model, golden_pictures[:1])
                embed(model, golden_pictures[:3])
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    embed(model, golden_pictures[:3])
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before > 8
    assert not torch._dynamo.utils.counters["unimplemented"]


@with_compiler
def test_vectors_in_bf16_are_near_the_plain_path(load_golden, golden_pictures, embed):
    exact, found = (
        embed(load_golden(engine=engine, dtype="bfloat16"), golden_pictures[:6]) for engine in ("plain", "compiled")
    )
    assert (found * exact).sum(dim=1).min() >= 0.9995


@with_compiler
def test_every_layer_is_compiled(compiled):
    from relsim.models.compiled import CompiledGatedMLP, CompiledNorm  # here, where warnings of torch are let through

    for blocks in (compiled._forward._vision.blocks, compiled._forward._language.blocks):
        assert {type(block.mlp) for block in blocks} == {CompiledGatedMLP}
        assert {type(norm) for block in blocks for norm in (block.attention_norm, block.mlp_norm)} == {CompiledNorm}


@with_compiler
def test_layers_of_aligned_width_are_compiled_as_well(compiled, load_golden, golden_pictures, embed, monkeypatch):
    monkeypatch.setattr(packed_module, "_ALIGNED_ON", {"cpu"})
    aligned = load_golden(engine="compiled")
    assert (embed(aligned, golden_pictures[:4]) - embed(compiled, golden_pictures[:4])).abs().max() <= 1e-5


def test_what_has_no_compiled_form_is_refused(load_golden, gelu_base, monkeypatch):
    with pytest.raises(CheckpointError, match="no packed forward pass"):
        load_golden(base_model=gelu_base, engine="compiled")
    monkeypatch.setattr("relsim.models.loading.check_device", lambda name, device: None)
    with pytest.raises(CheckpointError, match="int8 is for the packed forward pass as it is"):
        load_golden(dtype="int8", engine="compiled")


def test_a_machine_without_a_compiler_is_told_in_one_line(golden, tmp_path):
    code = """
import sys
from relsim import relsim
from relsim.errors import RelsimError
try:
    relsim(checkpoint_dir=sys.argv[1], base_model=sys.argv[2], device="cpu", dtype="float32", engine="compiled")
except RelsimError as error:
    print(type(error).__name__, error)
"""
    variables = {**os.environ, "CXX": "/nowhere/c++", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", code, str(golden / "relsim"), str(golden / "base")]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=280)
    assert done.stdout.startswith("DeviceError torch cannot compile on cpu here: "), done.stderr[-2000:]
    assert done.stdout.count("\n") == 1
    assert done.stdout.rstrip().endswith("leave engine unset")


def teardown_module():
    """Programs are kept for a process; other tests need none."""
    torch.compiler.reset()
