"""`relsim doctor`: the same facts for people and for programs."""

import os
import platform

import numpy as np
import torch

import relsim


def test_people_read_what_programs_get(verb, document):
    found = document("doctor")
    text = verb("doctor").stdout
    assert found["schema"] == "relsim.doctor/1"
    assert found["relsim"] == relsim.__version__
    assert found["python"] == platform.python_version()
    assert found["packages"]["torch"] == torch.__version__
    assert found["packages"]["numpy"] == np.__version__
    assert found["device"] == ("cuda" if torch.cuda.is_available() else "cpu")
    assert found["processor"]["cores"] == len(os.sched_getaffinity(0))
    for name, version in found["packages"].items():
        assert f"  {name:<24}{version or 'not installed'}\n" in text
    for extra in found["extras"]:
        assert f"  {extra['name']:<24}{'installed' if extra['installed'] else 'missing: ' + extra['command']}\n" in text
    assert f"computes on   {found['device']} in {found['precision']}," in text
    large = found["precision_of_large_models"]
    assert (f", large models in {large}," in text) == (large != found["precision"])


def test_offline_is_said(run, environment, tmp_path):
    result = run("doctor", env={**environment, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path)})
    assert (result.returncode, result.stderr) == (0, "")
    assert "caches (HF_HUB_OFFLINE is set: nothing is downloaded)" in result.stdout
    assert f"{tmp_path}, 0 files, 0.0 GiB" in result.stdout


def test_no_line_ends_in_a_space(verb):
    assert [line for line in verb("doctor").stdout.splitlines() if line != line.rstrip()] == []
