"""Facts about machine and installation are read, not guessed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from relsim import environment
from relsim.environment import Cache, Extra, Memory
from relsim.errors import MissingExtraError

CPUINFO = """processor\t: 0
model name\t: Some Processor 8480+
flags\t\t: fpu sse2 {flags}

processor\t: 1
model name\t: Some Processor 8480+
flags\t\t: fpu sse2 {flags}
"""


def install(folder: Path, name: str, version: str, *metadata: str) -> None:
    """Put a distribution's metadata where Python looks for it."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "\n".join(["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", *metadata])
    )


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("flags", "amx", "avx512_bf16"),
    [
        ("amx_tile amx_bf16 amx_int8 avx512_bf16", True, True),
        ("amx_tile amx_int8 avx512_bf16", False, True),
        ("avx2", False, False),
    ],
)
def test_processor_flags_are_those_that_linux_lists(tmp_path, flags, amx, avx512_bf16):
    path = tmp_path / "cpuinfo"
    path.write_text(CPUINFO.format(flags=flags))
    found = environment.processor(path)
    assert (found.model, found.amx, found.avx512_bf16) == ("Some Processor 8480+", amx, avx512_bf16)


@pytest.mark.parametrize("text", [None, "processor\t: 0\nmodel name\t: Another Processor\n"])
def test_flags_that_are_not_listed_are_unknown_and_not_false(tmp_path, text):
    path = tmp_path / "cpuinfo"
    if text is not None:
        path.write_text(text)
    found = environment.processor(path)
    assert (found.amx, found.avx512_bf16) == (None, None)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not bind processes to cores")
def test_cores_are_those_that_the_process_may_use():
    code = "from relsim.environment import processor; print(processor().cores)"
    some_core = min(os.sched_getaffinity(0))
    result = subprocess.run(
        [sys.executable, "-c", f"import os; os.sched_setaffinity(0, {{{some_core}}}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == "1\n"


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("max\n", Memory(8192, 4096)),
        ("6000\n", Memory(6000, 4096)),
        ("2048\n", Memory(2048, 2048)),
        (None, Memory(8192, 4096)),
    ],
)
def test_memory_is_what_the_system_has_and_the_control_group_allows(tmp_path, limit, expected):
    (tmp_path / "meminfo").write_text("MemTotal:       8 kB\nMemFree: 1 kB\nMemAvailable:   4 kB\n")
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit)
    assert environment.memory(tmp_path / "meminfo", tmp_path / "memory.max") == expected


def test_a_cache_counts_every_file_once_and_follows_no_link(tmp_path):
    folder = tmp_path / "hub"
    (folder / "blobs").mkdir(parents=True)
    (folder / "snapshots").mkdir()
    (folder / "blobs" / "a").write_bytes(b"x" * 1000)
    (folder / "blobs" / "b").write_bytes(b"x" * 24)
    (folder / "snapshots" / "config.json").symlink_to(folder / "blobs" / "a")
    (folder / "snapshots" / "hard").hardlink_to(folder / "blobs" / "b")
    (folder / "snapshots" / "broken").symlink_to(folder / "nowhere")
    assert environment.cache("hub", folder) == Cache("hub", str(folder), exists=True, files=2, bytes=1024)


def test_a_cache_that_is_not_there_is_empty(tmp_path):
    missing = tmp_path / "none"
    assert environment.cache("hub", missing) == Cache("hub", str(missing), exists=False, files=0, bytes=0)


def test_hub_caches_are_where_the_environment_puts_them(tmp_path):
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "blob").write_bytes(b"12345")
    code = (
        "import json, dataclasses; from relsim.environment import hub_caches; caches, offline = hub_caches();"
        "print(json.dumps([dataclasses.asdict(caches[0]), offline]))"
    )
    variables = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    variables |= {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    result = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    found, offline = json.loads(result.stdout)
    assert found == {"name": "hub", "path": str(tmp_path / "hub"), "exists": True, "files": 1, "bytes": 5}
    assert offline is True


def test_extras_come_from_the_metadata_of_the_distribution(site):
    install(site, "frame_part", "1.5")
    install(
        site,
        "frame_whole",
        "2.0",
        "Requires-Dist: absent_always",
        'Requires-Dist: frame_part>=1.0; extra == "full"',
        'Requires-Dist: frame_part>=2.0; extra == "new"',
        'Requires-Dist: absent_part[fast,gpu]>=3; extra == "empty"',
        'Requires-Dist: absent_elsewhere; sys_platform == "nowhere" and extra == "full"',
        "Provides-Extra: full",
        "Provides-Extra: new",
        "Provides-Extra: empty",
    )
    assert environment.extras("frame_whole") == (
        Extra("full", installed=True, missing=(), command='pip install "frame_whole[full]"'),
        Extra("new", False, ("frame_part>=2.0 (1.5 is installed)",), 'pip install "frame_whole[new]"'),
        Extra("empty", False, ("absent_part[fast,gpu]>=3",), 'pip install "frame_whole[empty]"'),
    )


def test_an_extra_that_asks_for_extras_is_followed_also_in_a_circle(site):
    install(site, "frame_engine", "1.0", 'Requires-Dist: absent_engine; extra == "data"', "Provides-Extra: data")
    install(
        site,
        "frame_whole",
        "2.0",
        'Requires-Dist: frame_engine[data]; extra == "far"',
        'Requires-Dist: absent_near; extra == "near"',
        'Requires-Dist: frame_whole[far,near,all]; extra == "all"',
        "Provides-Extra: far",
        "Provides-Extra: near",
        "Provides-Extra: all",
    )
    missing = {extra.name: extra.missing for extra in environment.extras("frame_whole")}
    assert missing == {
        "far": ("absent_engine",),
        "near": ("absent_near",),
        "all": ("absent_engine", "absent_near"),
    }


def test_a_distribution_that_is_not_installed_has_no_extras():
    assert environment.extras("frame_of_nothing") == ()
    assert environment.version_of("frame_of_nothing") is None


def test_the_command_of_an_extra_is_the_one_that_the_error_names():
    assert str(MissingExtraError("peft", "train", "Training")).endswith(environment.install_command("train"))


def test_the_report_is_plain_json_and_needs_no_torch():
    code = (
        "import json, sys; from relsim.environment import inspect; report = inspect().to_dict();"
        "assert 'torch' not in sys.modules; print(json.dumps(report))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    report = json.loads(result.stdout)
    assert report == environment.inspect().to_dict() | {"memory": report["memory"]}
    assert report["packages"].keys() == set(environment.REPORTED_PACKAGES)
    assert report["accelerators"] is None


def test_accelerators_are_those_of_torch():
    import torch

    found = environment.cuda_devices()
    assert found.problem is None
    assert len(found.devices) == torch.cuda.device_count()


def test_a_torch_that_cannot_be_imported_is_reported(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart.so.13: cannot open shared object file')")
    code = "from relsim.environment import cuda_devices; print(cuda_devices().problem)"
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert result.stdout == "torch cannot be used: libcudart.so.13: cannot open shared object file\n"


@pytest.mark.parametrize(
    ("limit", "cores"),
    [
        ("max 100000\n", 64),
        ("200000 100000\n", 2),
        ("150000 100000", 2),
        ("10000 100000", 1),
        ("9900000 100000", 64),
        ("", 64),
    ],
)
def test_a_container_has_as_many_cores_as_it_is_given_time_of(tmp_path, monkeypatch, limit, cores):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)), raising=False)
    (tmp_path / "cpu.max").write_text(limit)
    assert environment.usable_cores(tmp_path / "cpu.max") == cores
    assert environment.usable_cores(tmp_path / "absent") == 64
