"""Checkpoints to try the reader on, and what peft and transformers make of them."""

import itertools
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from relsim.models.checkpoint import read_checkpoint
from relsim.models.checkpoint_writing import write_checkpoint
from relsim.models.pixels import normalized


@pytest.fixture(scope="session")
def published(golden):
    """The golden checkpoint as the reader gives it."""
    return read_checkpoint(golden / "relsim")


@pytest.fixture
def variant(golden, published, tmp_path):
    """`variant(adapter=…, config=…)` writes the golden checkpoint with other parts and returns the folder.

    `config` holds options of the adapter's configuration to change; every other name is a field of `Checkpoint`.
    """
    numbers = itertools.count()

    def write(config=None, **changes):
        folder = tmp_path / f"variant{next(numbers)}"
        options = {**published.adapter_config, **(config or {})}
        write_checkpoint(folder, replace(published, **{"adapter_config": options, **changes}), golden / "relsim")
        return folder

    return write


@pytest.fixture
def copy_of_golden(golden, tmp_path):
    """`copy_of_golden("relsim")` is a copy of that folder for a test to damage."""

    def copy(name):
        return shutil.copytree(golden / name, tmp_path / f"copy of {name}")

    return copy


@pytest.fixture(scope="session")
def query_states():
    """`query_states(model, vlm, picture)`: transformers' last hidden state at the query token, in fp32, shape (H,).

    `model` has a language head; the prompt is the whole template, with what follows the query token.
    """

    def run(model, vlm, picture, after=()):
        patches = vlm.prepare(picture)
        ids = torch.tensor([[*vlm.prompt.ids(len(patches.pixels) // vlm.pixels.merge_size**2), *after]])
        values = torch.from_numpy(normalized(patches, vlm.pixels)).to(model.dtype)
        with torch.inference_mode():
            output = model(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                pixel_values=values,
                image_grid_thw=torch.tensor([[1, *patches.grid]]),
                mm_token_type_ids=(ids == vlm.prompt.image).long(),
                output_hidden_states=True,
            )
        return output.hidden_states[-1][0, ids.shape[1] - 1 - len(after)].float()

    return run


@pytest.fixture(scope="session")
def project():
    """`project(vlm, states)`: unit embeddings (N, D) of hidden states (N, H), written out in NumPy."""

    def run(vlm, states):
        weight, bias = (
            part.float().numpy() for part in (vlm.checkpoint.projection_weight, vlm.checkpoint.projection_bias)
        )
        rows = states.numpy() @ weight.T + bias
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    return run


@pytest.fixture(scope="session")
def peft_merged(golden):
    """`peft_merged(folder)`: the golden base with the folder's adapter, loaded and merged by peft."""
    from peft import PeftModel
    from transformers import Qwen2_5_VLForConditionalGeneration

    def load(folder, rows=1047, dtype=torch.float32):
        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(golden / "base", dtype=dtype)
        if rows is not None:
            model.resize_token_embeddings(rows, mean_resizing=False)
        return PeftModel.from_pretrained(model, folder).merge_and_unload().eval()

    return load


@pytest.fixture
def gelu_base(copy_of_golden):
    """The golden base with another activation in its language model."""
    folder = copy_of_golden("base")
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["hidden_act"] = "gelu"
    (folder / "config.json").write_text(json.dumps(config))
    return folder
