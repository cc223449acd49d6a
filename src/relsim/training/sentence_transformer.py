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
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from relsim.encoders.registry import load_encoder
from relsim.errors import CheckpointError
from relsim.files import drafted_folder
from relsim.models.base import read_config
from relsim.models.checkpoint import PROCESSOR_FILES, PROJECTION, Checkpoint, read_checkpoint, read_json
from relsim.models.pixels import PixelConfig, Recipe
from relsim.models.prompt import load_tokenizer, read_prompt
from relsim.models.quiet import quiet_loading
from relsim.models.text_encoder import CaptionEncoder

PARITY = "parity.json"
LEAST_COSINE = {"float32": 0.99999, "bfloat16": 0.999}
"""What a written model must reach against this package's own vectors, by the precision that it is written in."""

_PIXELS, _TEMPLATE, _TOKENIZER = "preprocessor_config.json", "chat_template.jinja", "tokenizer_config.json"
_SIDES = ((224, 160), (160, 224), (301, 299), (64, 64))


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
            agreement = _agreement(draft, whole, checkpoint.recipe)
            (draft / PARITY).write_text(json.dumps(agreement, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise CheckpointError(f"{out} could not be written: {error.strerror or error}") from error
        least = LEAST_COSINE[str(dtype).removeprefix("torch.")]
        if agreement["lowest_cosine"] < least:
            raise CheckpointError(
                f"the exported model does not agree with this package: cosine {agreement['lowest_cosine']:.6f}, and at "
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
    """Settings of the processor: those of the checkpoint; for a fixed square its area is the only one allowed."""
    known = PixelConfig.from_file(path)
    low, high = (known.min_pixels, known.max_pixels) if recipe.side is None else (recipe.side**2,) * 2
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


def _agreement(folder: Path, whole: Path, recipe: Recipe) -> dict[str, Any]:
    """How the vectors of the written model lie to this package's, on pictures of noise in several shapes."""
    from sentence_transformers import SentenceTransformer

    pictures = [_noise(number, size) for number, size in enumerate(_SIDES)]
    with quiet_loading():
        written = SentenceTransformer(str(folder), device="cpu", trust_remote_code=False)
    prepared = [recipe.apply(picture) for picture in pictures]
    theirs = np.asarray(written.encode(prepared, show_progress_bar=False), np.float64)
    del written
    encoder = load_encoder("relational", checkpoint_dir=whole, device="cpu", dtype="float32")
    ours = encoder.encode([encoder.prepare(picture) for picture in pictures])
    cosines = (theirs * ours).sum(axis=1) / np.linalg.norm(theirs, axis=1)
    return {
        "schema": "relsim.parity/1",
        "recipe": recipe.value,
        "fingerprint": encoder.fingerprint.to_dict(),
        "pictures": [f"noise, {width} x {height}" for width, height in _SIDES],
        "lowest_cosine": float(cosines.min()),
        "largest_difference": float(np.abs(theirs - ours).max()),
        "between_two_pictures": float((ours @ ours.T)[~np.eye(len(ours), dtype=bool)].min()),
    }


def _noise(seed: int, size: tuple[int, int]) -> Image.Image:
    """Soft blots of colour: a picture that looks like nothing and is like no other."""
    rng = np.random.default_rng([2026, seed])
    small = rng.integers(0, 256, (9, 9, 3), np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def _card(card: str, recipe: Recipe) -> str:
    head, _, body = card.removeprefix("---\n").partition("\n---\n") if card.startswith("---\n") else ("", "", card)
    kept = [line for line in head.splitlines() if line and not line.startswith(("library_name:", "pipeline_tag:"))]
    front = ["---", "library_name: sentence-transformers", "pipeline_tag: feature-extraction", *kept, "---"]
    usage = [
        "## As a sentence-transformers model",
        "",
        "```python",
        "from PIL import Image",
        "from sentence_transformers import SentenceTransformer",
        "",
        'model = SentenceTransformer("path/to/this/folder")',
        *_preparation(recipe),
        'images = model.encode([prepare(Image.open(name)) for name in ("earth.jpg", "peach.jpg")])',
        'sentences = model.encode(["A thin skin around layers around a {Core}"])',
        "print(model.similarity(images, sentences))",
        "```",
        "",
        f"Pixels: `{recipe.value}`. `{PARITY}` says how far its vectors agree with those of relsim.",
    ]
    return "\n".join(front) + "\n" + body.strip("\n") + "\n\n" + "\n".join(usage) + "\n"


def _preparation(recipe: Recipe) -> list[str]:
    """The lines of Python that do with Pillow alone what `Recipe.apply` does."""
    if recipe.side is None:
        return ["", "", "def prepare(image):", '    return image.convert("RGB")', "", ""]
    lines = ["", "", "def prepare(image):", '    image = image.convert("RGB")']
    if recipe.kind == "crop":
        lines += [
            "    side = min(image.size)",
            "    left, top = (image.width - side) // 2, (image.height - side) // 2",
            "    image = image.crop((left, top, left + side, top + side))",
        ]
    return [*lines, f"    return image.resize(({recipe.side}, {recipe.side}), Image.Resampling.LANCZOS)", "", ""]
