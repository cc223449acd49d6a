"""Small stores of crops and configurations to train the golden base on."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from relsim.models.hub import resolve_folder
from relsim.models.pixels import Recipe
from relsim.training.config import TrainingConfig
from relsim.training.crops import CropWriter


@pytest.fixture(scope="session")
def crops(tmp_path_factory):
    """24 crops of 56 pixels in four groups that look alike, two captions each."""
    folder = tmp_path_factory.mktemp("stored") / "crops"
    rng = np.random.default_rng(5)
    with CropWriter(folder, Recipe.parse("crop56")) as writer:
        for number in range(24):
            group = number % 4
            colour = np.array([group * 60, 200 - group * 50, (group * 97) % 255])
            square = (colour + rng.integers(0, 50, (56, 56, 3))).clip(0, 255).astype(np.uint8)
            captions = [f"An arrangement of kind {group}, {number}", f"Kind {group} of {{Things}}, picture {number}"]
            writer.append(square, f"picture {number}", captions, group=str(group))
        writer.publish()
    return folder


@pytest.fixture(scope="session")
def settings(golden, crops):
    """`settings(out, "section.key=value", …)`: a short run on the golden base, in fp32 on the CPU."""

    def make(out, *overrides):
        given = [
            f"run.out={out}",
            "run.steps=6",
            "run.log_every=1",
            "run.save_every=2",
            "run.precision=fp32",
            f"model.base={golden / 'base'}",
            "model.recipe=crop56",
            f"data.crops={crops}",
            "data.eval_fraction=0.25",
            "optimizer.batch_size=8",
            "optimizer.micro_batch_size=4",
            "optimizer.learning_rate=0.001",
        ]
        return TrainingConfig.from_yaml(None, [*given, *overrides])

    return make


@pytest.fixture
def changed_mini(tmp_path):
    """`changed_mini(recipe=…, spoilt="name")`: the embedded model, of another recipe or with a tensor of NaN."""

    def make(*, recipe=None, spoilt=None):
        folder = shutil.copytree(resolve_folder("relsim-mini"), tmp_path / "changed")
        if recipe is not None:
            about = json.loads((folder / "relsim.json").read_text())
            (folder / "relsim.json").write_text(json.dumps({**about, "recipe": recipe}))
        if spoilt is not None:
            tensors = load_file(folder / "model.safetensors")
            tensors[spoilt] = torch.full_like(tensors[spoilt], torch.nan)
            save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        return folder

    return make
