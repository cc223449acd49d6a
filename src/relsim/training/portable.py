"""A checkpoint of a fixed square as a model for ONNX Runtime or OpenVINO: pictures in, vectors out, without torch.

    model.onnx           or model.xml and model.bin; weights beyond 2 GB lie in model.onnx.data
    preprocessing.json   from a decoded picture to the input, step by step
    parity.json          how its vectors agree with this package's
    README.md            the checkpoint's card, with the lines that use it

Input `pixels` (batch, side, side, 3) uint8, output `vectors` (batch, D) float32 of unit length. Weights are fp32.
Sentences are none of its business: their encoder, all-MiniLM-L6-v2, is published in both forms.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from relsim.encoders.base import Vectors
from relsim.errors import CheckpointError, MissingExtraError
from relsim.files import drafted_folder
from relsim.models.base import ARCHITECTURES, architecture_of, load_base, read_pixels
from relsim.models.checkpoint import Checkpoint, read_checkpoint
from relsim.models.pixels import PixelConfig, Recipe, shown
from relsim.models.portable import PortableQwen25VL, pixel_side, prepared_steps
from relsim.models.prompt import read_prompt
from relsim.models.whole import read_whole_model
from relsim.training.export_card import card_of_another_library, preparation
from relsim.training.parity import PARITY, agreement

Runtime = Literal["onnx", "openvino"]

PREPROCESSING = "preprocessing.json"
INPUT, OUTPUT = "pixels", "vectors"
LEAST_COSINE, LARGEST_DIFFERENCE = 0.99999, 1e-4
"""What a written model must reach against this package's own vectors."""

_MODEL = {"onnx": "model.onnx", "openvino": "model.xml"}
_NEEDED = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("onnx", "onnxscript", "openvino")}
_ONE_FILE = 1_900_000_000  # bytes of weights; protobuf ends at 2 GB


def check_portable(folder: Path, checkpoint: Checkpoint, runtime: Runtime, dtype: str | None) -> None:
    """Refuse what cannot be written, before anything is merged. Raises `CheckpointError` or `MissingExtraError`."""
    for package in _NEEDED[runtime]:
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, runtime, f"an export to {_MODEL[runtime]}")
    if dtype not in (None, "float32"):
        raise CheckpointError(f"the layout {runtime} is written in float32; leave --dtype away")
    if checkpoint.recipe.side is None:
        raise CheckpointError(
            f"the recipe {checkpoint.recipe.value} of {folder} leaves pictures their own size; the layout {runtime} "
            "needs a fixed square: --recipe crop448"
        )


def write_portable(whole: Path, out: Path, *, runtime: Runtime, recipe: Recipe, card: str) -> None:
    """Write the whole model in the folder `whole` for that runtime, as the new folder `out`; all of it or nothing.

    `recipe` is one of a fixed square, its own or another.
    The model that was written is run and compared with this package on drawn noise; `parity.json` says how they agree.
    Raises `CheckpointError`, also where they do not.
    """
    checkpoint, pixels = replace(read_checkpoint(whole), recipe=recipe), read_pixels(whole)
    if out.exists():
        raise CheckpointError(f"{out} exists already; choose another name or remove it first")
    side = pixel_side(checkpoint.recipe, pixels)
    network = _network(whole, checkpoint, pixels)
    try:
        with drafted_folder(out) as draft:
            _write_model(network, draft, runtime)
            del network
            steps = _preprocessing(checkpoint, pixels, side)
            (draft / PREPROCESSING).write_text(json.dumps(steps, indent=2) + "\n", encoding="utf-8")
            (draft / "README.md").write_text(_card(card, checkpoint, runtime, side), encoding="utf-8")
            found = agreement(whole, recipe, partial(_vectors, draft, runtime, checkpoint, pixels))
            (draft / PARITY).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
            # so that a vector which is no number does not agree either
            if not (found["lowest_cosine"] >= LEAST_COSINE and found["largest_difference"] <= LARGEST_DIFFERENCE):
                raise CheckpointError(
                    f"the exported model does not agree with this package: cosine {found['lowest_cosine']:.6f}, "
                    f"difference {found['largest_difference']:.1e}; nothing was written. Please report it with the "
                    "checkpoint's config"
                )
    except OSError as error:
        raise CheckpointError(f"{out} could not be written: {error.strerror or error}") from error


def _network(whole: Path, checkpoint: Checkpoint, pixels: PixelConfig) -> PortableQwen25VL:
    architecture = architecture_of(whole)
    if architecture is not ARCHITECTURES["qwen2_5_vl"]:
        raise CheckpointError(f"{whole} is a {architecture.class_name}; only Qwen2.5-VL has a form for other runtimes")
    backbone = read_whole_model(whole, torch.float32)
    if backbone is None:
        backbone, _ = load_base(whole, torch.float32)
    return PortableQwen25VL(backbone, checkpoint, read_prompt(whole, checkpoint.query_token), pixels).eval()


def _write_model(network: PortableQwen25VL, draft: Path, runtime: Runtime) -> None:
    """Traced by torch, for a batch of any size; OpenVINO reads what torch has written for ONNX."""
    weights = sum(parameter.nbytes for parameter in network.parameters())
    two = torch.zeros((2, network.side, network.side, 3), dtype=torch.uint8)  # torch takes 1 for a size that is fixed
    with _quiet_export():
        program = torch.onnx.export(
            network,
            (two,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=[INPUT],
            output_names=[OUTPUT],
            verbose=False,
        )
    if program is None:
        raise CheckpointError("torch gave no ONNX program; it is too old, run: pip install -U torch onnxscript")
    path = draft / _MODEL["onnx"]
    program.save(path, external_data=weights > _ONE_FILE)
    if runtime == "openvino":
        import openvino

        openvino.save_model(openvino.convert_model(path), draft / _MODEL["openvino"], compress_to_fp16=False)
        for file in draft.glob(f"{path.name}*"):
            file.unlink()


def _vectors(
    draft: Path, runtime: Runtime, checkpoint: Checkpoint, pixels: PixelConfig, pictures: Sequence[Image.Image]
) -> Vectors:
    """What the written model says of RGB pictures of any size."""
    batch = np.stack([np.asarray(shown(picture, checkpoint.recipe, pixels)) for picture in pictures])
    path = draft / _MODEL[runtime]
    if runtime == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        found: Vectors = session.run([OUTPUT], {INPUT: batch})[0]
    else:
        import openvino

        # Processors that know bfloat16 compute in it unless told otherwise.
        model = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        found = model(batch)[OUTPUT]
    return found


def _preprocessing(checkpoint: Checkpoint, pixels: PixelConfig, side: int) -> dict[str, Any]:
    return {
        "schema": "relsim.preprocessing/1",
        "recipe": checkpoint.recipe.value,
        "steps": prepared_steps(checkpoint.recipe, pixels),
        "input": {"name": INPUT, "type": "uint8", "shape": ["batch", side, side, 3], "channels": "RGB"},
        "output": {
            "name": OUTPUT,
            "type": "float32",
            "shape": ["batch", checkpoint.projection_weight.shape[0]],
            "length": 1,
        },
    }


def _card(card: str, checkpoint: Checkpoint, runtime: Runtime, side: int) -> str:
    path = f"path/to/this/folder/{_MODEL[runtime]}"
    names, opened, asked = {
        "onnx": (
            "import onnxruntime",
            [f'session = onnxruntime.InferenceSession("{path}", providers=["CPUExecutionProvider"])'],
            f'vectors = session.run(["{OUTPUT}"], {{"{INPUT}": pixels}})[0]',
        ),
        "openvino": (
            "import openvino",
            [
                "# Without the hint, processors that know bfloat16 compute in it.",
                f'model = openvino.compile_model("{path}", "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})',
            ],
            f'vectors = model(pixels)["{OUTPUT}"]',
        ),
    }[runtime]
    usage = [
        f"## As a model for {'ONNX Runtime' if runtime == 'onnx' else 'OpenVINO'}",
        "",
        "```python",
        "import numpy as np",
        names,
        "from PIL import Image, ImageOps",
        *preparation(checkpoint.recipe, side),
        *opened,
        'pixels = np.stack([np.asarray(prepare(Image.open(name))) for name in ("earth.jpg", "peach.jpg")])',
        asked,
        "print(vectors @ vectors.T)",
        "```",
        "",
        f"`{PREPROCESSING}` says the same for other languages. `{PARITY}` says how far it agrees with relsim.",
    ]
    return card_of_another_library(card, runtime, usage)


@contextlib.contextmanager
def _quiet_export() -> Iterator[None]:
    """Without torch's words about torchvision, which it does not need, and about its own deprecated calls."""
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registration.level
    registration.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        registration.setLevel(level)
