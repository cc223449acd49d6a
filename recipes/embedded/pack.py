"""From finished runs to the package: null distributions, the names that the package knows, and nothing else."""

from __future__ import annotations

import json
import shutil
import zlib
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

import cards
import relsim.models.embedded
from relsim.metric import relsim as load_metric
from relsim.vectors.calibration import null_distribution
from relsim.world.looks import Split
from relsim.world.scenes import draw, scenes

PACKED = {
    "base-composed": "relsim-mini-base",
    "mini-composed-settled": "relsim-mini",
    "attributes": "relsim-mini-attributes",
    "captioner": "relsim-mini-captioner",
}
AVERAGED = {"mini-composed-settled": "mini-settled"}
"""Runs whose weights are averaged with those they once began from.

What has gone on to learn something else knows more of what it was shown and less of what nobody showed it. The mean of
both keeps most of either (Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022).
"""
LARGEST = 24_000_000
"""Bytes that all embedded checkpoints may take together in the wheel, which compresses them."""
NULL_SCENES, NULL_SEED, SIZE = 3_000, 5, 224


def pack(runs: Path, target: Path = Path(relsim.models.embedded.__file__).parent) -> None:
    """Put the last checkpoints of those `runs` that are there under `target`; the others stay as they are.

    Raises `ValueError` if they are larger than `LARGEST` together.
    """
    for run, name in PACKED.items():
        source, folder = (runs / run / "last").resolve(), target / name
        if not source.is_dir():
            print(f"{name} stays: there is no {runs / run / 'last'}")
            continue
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, folder)
        (folder / "projection_and_config.pt").unlink(missing_ok=True)
        if run in AVERAGED:
            _average(folder, runs / AVERAGED[run] / "last")
        _store_in_bf16(folder)
        _name_the_base(folder)
        cards.complete(folder, name, AVERAGED.get(run))
    _calibrate(target, [name for run, name in PACKED.items() if run in ("mini-composed-settled", "attributes")])
    files = [path for name in PACKED.values() for path in (target / name).rglob("*") if path.is_file()]
    size = sum(len(zlib.compress(path.read_bytes())) for path in files)
    print(f"embedded checkpoints: {size:,} bytes in a wheel")
    if size > LARGEST:
        raise ValueError(f"the embedded checkpoints take {size:,} bytes; at most {LARGEST:,} may ship")


def _average(folder: Path, other: Path) -> None:
    """Put the mean of its own weights and those of `other` into `folder`; computed in fp32, stored as they were."""
    for path in folder.glob("*.safetensors"):
        mine, theirs = load_file(path), load_file(other / path.name)
        mean = {name: ((each.float() + theirs[name].float()) / 2).to(each.dtype) for name, each in mine.items()}
        save_file(mean, path, metadata={"format": "pt"})
        path.chmod(0o644)


def _store_in_bf16(folder: Path) -> None:
    """Adapters are trained and saved in fp32; they are as good in half of that."""
    path = folder / "adapter_model.safetensors"
    if path.exists():
        tensors = {name: tensor.to(torch.bfloat16) for name, tensor in load_file(path).items()}
        save_file(tensors, path, metadata={"format": "pt"})
        path.chmod(0o644)


def _name_the_base(folder: Path) -> None:
    path = folder / "adapter_config.json"
    if path.exists():
        config = json.loads(path.read_text())
        config["base_model_name_or_path"] = PACKED["base-composed"]
        path.write_text(json.dumps(config, indent=2) + "\n")


def _calibrate(target: Path, names: list[str]) -> None:
    """Scores of pairs of unrelated scenes: other relations, and whatever looks chance gives them."""
    rows = list(islice(scenes(Split.OBJECTS, NULL_SEED), NULL_SCENES))
    images = [draw(scene, SIZE).image for scene in rows]
    for name in names:
        model, _ = load_metric(checkpoint_dir=target / name)
        vectors = np.concatenate([model.embed(images[i : i + 100]).numpy() for i in range(0, len(images), 100)])
        path = target / name / "relsim.json"
        about = json.loads(path.read_text())
        about["null_distribution"] = null_distribution(vectors, [scene.relation for scene in rows], seed=NULL_SEED)
        path.write_text(json.dumps(about, indent=2) + "\n")
