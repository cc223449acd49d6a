"""A checkpoint as a sentence-transformers model of its own, which loads anywhere, without this package and its code.

Images go through the network, its last token (the query token), the projection and a division by length; sentences go
through the text encoder that the network was trained to meet. Both meet in one space:

    image_0_Transformer     the network, merged with its adapter; no language head
    image_1_Pooling, …      last token, projection, unit length
    text_0_Transformer, …   all-MiniLM-L6-v2 as it is
    parity.json             how its vectors agree with this package's

The chat template is the prompt itself, up to the query token, and refuses whatever is not one image. transformers' own
processor for Qwen2.5-VL needs torchvision (its video part); PaddleOCR-VL's does the same with images and needs none.

What the folder's processor does is the last step of a recipe (see `relsim.models.pixels`). `native` has no other step.
A recipe of a fixed square has: pictures must come as the recipe makes them, and the card has the lines that do so.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from relsim.encoders.base import Vectors
from relsim.errors import CheckpointError
from relsim.files import drafted_folder
from relsim.models.base import read_config
from relsim.models.checkpoint import PROCESSOR_FILES, PROJECTION, Checkpoint, read_checkpoint
from relsim.models.metadata import read_json
from relsim.models.pixels import PixelConfig, Recipe
from relsim.models.portable import pixel_side
from relsim.models.prompt import load_tokenizer, read_prompt
from relsim.models.quiet import quiet_loading
from relsim.models.text_encoder import CaptionEncoder
from relsim.training.export_card import card_of_another_library, preparation
from relsim.training.parity import PARITY, agreement

LEAST_COSINE = {"float32": 0.99999, "bfloat16": 0.999}
"""What a written model must reach against this package's own vectors, by the precision that it is written in."""

_PIXELS, _TEMPLATE, _TOKENIZER = "preprocessor_config.json", "chat_template.jinja", "tokenizer_config.json"


def write_sentence_transformer(whole: Path, out: Path, *, dtype: torch.dtype, card: str) -> None:
    """Write the whole model in the folder `whole` as the new folder `out`; all of it or nothing.

    The model that was written is loaded and compared with this package on drawn noise; `parity.json` says how they
    agree. Raises `CheckpointError`, also where they do not.
    """
    checkpoint = read_checkpoint(whole)
    if out.exists():
        raise CheckpointError(f"{out} exists already; choose another name or remove it first")
    _check_architecture(whole)
    with ExitStack() as stack:
        source = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relsim-export-")))
        _write_source(whole, source, checkpoint, dtype)
        with quiet_loading():
            model = _assembled(source, checkpoint, dtype)
        try:
            draft = stack.enter_context(drafted_folder(out))
            with quiet_loading():
                model.save_pretrained(str(draft), create_model_card=False)
            del model  # the folder is loaded again below; a large network is held once
            (draft / "README.md").write_text(_card(card, checkpoint.recipe), encoding="utf-8")
            found = agreement(whole, checkpoint.recipe, partial(_vectors, draft, checkpoint.recipe))
            (draft / PARITY).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise CheckpointError(f"{out} could not be written: {error.strerror or error}") from error
        least = LEAST_COSINE[str(dtype).removeprefix("torch.")]
        if not found["lowest_cosine"] >= least:  # nor is it, where a vector is no number
            raise CheckpointError(
                f"the exported model does not agree with this package: cosine {found['lowest_cosine']:.6f}, and at "
                f"least {least} was to be expected; nothing was written. Please report it with the checkpoint's config"
            )


def _check_architecture(whole: Path) -> None:
    found = read_config(whole).get("model_type")
    if found != "qwen2_5_vl":
        raise CheckpointError(f"{whole} is a {found} network; only qwen2_5_vl has a sentence-transformers form")


def _write_source(whole: Path, source: Path, checkpoint: Checkpoint, dtype: torch.dtype) -> None:
    """A folder of the network, from which sentence-transformers loads it: prompt as template, pixels of the recipe."""
    for path in whole.iterdir():
        weights = path.name.startswith("model") and path.name != PROJECTION
        if path.name in PROCESSOR_FILES or weights:
            (source / path.name).symlink_to(path.resolve())
    tokenizer = load_tokenizer(whole)
    prompt = read_prompt(whole, checkpoint.query_token)
    config = read_config(whole)
    image = config["image_token_id"]
    prefix, picture, suffix = (tokenizer.decode(list(ids)) for ids in (prompt.prefix, [image], prompt.suffix))
    if tokenizer(prefix + picture + suffix, add_special_tokens=False)["input_ids"] != prompt.ids(1):
        raise CheckpointError(f"the prompt of {whole} is no text: its tokens do not come back from the tokenizer")
    template = (
        "{%- if messages | length != 1 or messages[0]['content'] is string or messages[0]['content'] | length != 1 "
        "or messages[0]['content'][0]['type'] != 'image' -%}"
        "{{- raise_exception('this model reads one image at a time, without words') -}}{%- endif -%}"
        f"{{{{- {json.dumps(prefix)} ~ {json.dumps(picture)} ~ {json.dumps(suffix)} -}}}}"
    )
    _replace(source / _TEMPLATE, template)
    settings = read_json(whole / _TOKENIZER)
    settings |= {
        "extra_special_tokens": {"image_token": picture},
        "processor_class": "PaddleOCRVLProcessor",
        "padding_side": "left",
    }
    settings.pop("chat_template", None)  # older folders keep it here
    settings.pop("model_max_length", None)  # an image is not cut off
    _replace(source / _TOKENIZER, json.dumps(settings, indent=2))
    _replace(source / _PIXELS, json.dumps(_pixels(whole / _PIXELS, checkpoint.recipe), indent=2))
    config["dtype"] = str(dtype).removeprefix("torch.")
    for part in config.values():
        if isinstance(part, dict) and "dtype" in part:
            part["dtype"] = config["dtype"]
    _replace(source / "config.json", json.dumps(config, indent=2))


def _replace(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


def _pixels(path: Path, recipe: Recipe) -> dict[str, Any]:
    """Settings of the processor: those of the checkpoint; for a fixed square one area alone is allowed, its own."""
    known = PixelConfig.from_file(path)
    low, high = known.min_pixels, known.max_pixels
    if recipe.side is not None:
        low = high = pixel_side(recipe, known) ** 2
    return {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "PaddleOCRVLProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "rescale_factor": 1 / 255,
        "resample": int(Image.Resampling.BICUBIC),
        "image_mean": list(known.mean),
        "image_std": list(known.std),
        "patch_size": known.patch_size,
        "merge_size": known.merge_size,
        "temporal_patch_size": known.temporal_patch_size,
        "size": {"shortest_edge": low, "longest_edge": high},
    }


def _assembled(source: Path, checkpoint: Checkpoint, dtype: torch.dtype) -> Any:
    """The `SentenceTransformer`: a route for images, a route for sentences, and no other."""
    from sentence_transformers import SentenceTransformer, __version__

    try:
        from sentence_transformers.base.modules import Dense, Normalize, Router, Transformer
        from sentence_transformers.sentence_transformer.modules import Pooling
    except ImportError as error:
        raise CheckpointError(
            f"sentence-transformers {__version__} cannot route images; run: pip install 'sentence-transformers>=6.2,<7'"
        ) from error

    network = Transformer(str(source), model_kwargs={"dtype": dtype}, processor_kwargs={"backend": "pil"})
    network.model.to(dtype)
    # Images become messages, which the template renders. A sentence would be read as words of the prompt: no way in.
    network.modality_config = {kind: how for kind, how in network.modality_config.items() if kind != "text"}
    weight, bias = checkpoint.projection_weight.float(), checkpoint.projection_bias.float()
    projection = Dense(weight.shape[1], weight.shape[0], bias=True, activation_function=torch.nn.Identity())
    projection.linear.load_state_dict({"weight": weight, "bias": bias})
    pooling = Pooling(weight.shape[1], pooling_mode="lasttoken")
    router = Router(
        sub_modules={
            "image": [network, pooling, projection, Normalize()],
            "text": list(CaptionEncoder().model.children()),
        },
        default_route=None,
        allow_empty_key=False,
        route_mappings={(None, "image"): "image", (None, "text"): "text"},
    )
    return SentenceTransformer(modules=[router], device="cpu", similarity_fn_name="cosine")


def _vectors(folder: Path, recipe: Recipe, pictures: Sequence[Image.Image]) -> Vectors:
    """What the written model says of RGB pictures of any size."""
    from sentence_transformers import SentenceTransformer

    with quiet_loading():
        written = SentenceTransformer(str(folder), device="cpu", trust_remote_code=False)
    found: Vectors = written.encode([recipe.apply(picture) for picture in pictures], show_progress_bar=False)
    return found


def _card(card: str, recipe: Recipe) -> str:
    usage = [
        "## As a sentence-transformers model",
        "",
        "```python",
        "from PIL import Image, ImageOps",
        "from sentence_transformers import SentenceTransformer",
        "",
        'model = SentenceTransformer("path/to/this/folder")',
        *preparation(recipe),
        'images = model.encode([prepare(Image.open(name)) for name in ("earth.jpg", "peach.jpg")])',
        'sentences = model.encode(["A thin skin around layers around a {Core}"])',
        "print(model.similarity(images, sentences))",
        "```",
        "",
        f"Pixels: `{recipe.value}`. `{PARITY}` says how far its vectors agree with those of relsim.",
    ]
    return card_of_another_library(card, "sentence-transformers", usage)
