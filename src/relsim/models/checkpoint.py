"""Checkpoint folders: the one reader and the one writer. Files only; `query_vlm.py` makes a network of them.

The published layout, read and written:

    adapter_config.json, adapter_model.safetensors    LoRA in peft's format
    projection_and_config.pt                          {"projection": {weight, bias}, "query_token_id": int, ...}
    tokenizer and processor files                     with <|query|> in the vocabulary

Added by relsim, and read in preference:

    projection.safetensors                            weight (384, H) and bias (384,)
    relsim.json                                       recipe, query token, training record, null distribution

Pickles are opened with `weights_only=True`: tensors and plain values, no code. Formats are described byte for byte in
docs/formats.md.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from relsim.errors import CheckpointError
from relsim.files import drafted_folder
from relsim.models.pixels import KNOWN_RECIPES, Recipe

FORMAT_VERSION = 1
ADAPTER_CONFIG, ADAPTER_TENSORS = "adapter_config.json", "adapter_model.safetensors"
PROJECTION, PUBLISHED_PROJECTION, METADATA = "projection.safetensors", "projection_and_config.pt", "relsim.json"
PROCESSOR_FILES = (
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint folder holds, weights of the base model apart.

    `adapter` is empty for a folder that holds a whole model of its own (`config.json`, `model.safetensors`).
    """

    projection_weight: Tensor  # (D, H)
    projection_bias: Tensor  # (D,)
    query_token_id: int
    adapter_config: Mapping[str, Any] = field(default_factory=dict)
    adapter: Mapping[str, Tensor] = field(default_factory=dict)
    recipe: Recipe = Recipe.NATIVE
    query_token: str = "<|query|>"
    training: Mapping[str, Any] = field(default_factory=dict)  # step, epoch and whatever a trainer records
    null_distribution: Mapping[str, Any] | None = None

    @property
    def base_model(self) -> str | None:
        """Name of the base model that the adapter was trained on."""
        name = self.adapter_config.get("base_model_name_or_path")
        return None if name is None else str(name)


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read and check a folder. Raises `CheckpointError` naming the file or tensor at fault."""
    metadata = _read_json(folder / METADATA) if (folder / METADATA).exists() else {}
    version = metadata.get("format_version", FORMAT_VERSION)
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{folder / METADATA} has format version {version}; this relsim reads {FORMAT_VERSION}: update relsim"
        )
    published = _read_published_projection(folder / PUBLISHED_PROJECTION)
    weight, bias = _read_projection(folder, published)
    query = _query_token_id(folder, metadata, published)
    config, adapter = _read_adapter(folder)
    return Checkpoint(
        projection_weight=weight,
        projection_bias=bias,
        query_token_id=query,
        adapter_config=config,
        adapter=adapter,
        recipe=parse_recipe(metadata.get("recipe", Recipe.NATIVE.value), source=str(folder / METADATA)),
        query_token=_query_token(metadata, folder),
        training=metadata.get("training") or _training_record(published),
        null_distribution=_null_distribution(metadata.get("null_distribution"), folder),
    )


def write_checkpoint(
    folder: Path, checkpoint: Checkpoint, processor: Path, *, texts: Mapping[str, str] | None = None
) -> None:
    """Write a folder in both layouts, with the processor files of the folder `processor`; all of it or nothing.

    An existing `folder` is refused. `checkpoint.adapter` must not be empty. `texts` are further files by name, such as
    README.md.
    """
    if not checkpoint.adapter:
        raise CheckpointError("a checkpoint without an adapter has no published layout")
    with _new_folder(folder, processor, texts) as draft:
        _write_adapter(draft, checkpoint.adapter_config, checkpoint.adapter)
        weight, bias = _write_projection(draft, checkpoint)
        published = {
            "projection": OrderedDict(weight=weight, bias=bias),
            "query_token_id": checkpoint.query_token_id,
            **_training_record(checkpoint.training),
        }
        torch.save(published, draft / PUBLISHED_PROJECTION)
        _write_json(draft / METADATA, _metadata(checkpoint))


def write_whole_model(
    folder: Path,
    model: Any,
    processor: Path,
    *,
    dtype: torch.dtype,
    about: Checkpoint | Mapping[str, Any],
    texts: Mapping[str, str] | None = None,
) -> None:
    """Write a transformers `model` as a folder of its own, its weights in `dtype`; all of it or nothing.

    `about` is a checkpoint, whose projection and query token are written beside the weights, or for a model without
    them the content of `relsim.json`. For `processor` and `texts` see `write_checkpoint`.
    """
    from relsim.models.quiet import quiet_loading

    with _new_folder(folder, processor, texts) as draft:
        tensors = {name: tensor.detach().to("cpu", dtype) for name, tensor in model.state_dict().items()}
        with quiet_loading():
            model.save_pretrained(draft, state_dict=tensors)
        config = _read_json(draft / "config.json")
        for part in (config, *(value for value in config.values() if isinstance(value, dict))):
            if "dtype" in part:
                part["dtype"] = str(dtype).removeprefix("torch.")
        _write_json(draft / "config.json", config)
        if isinstance(about, Checkpoint):
            _write_projection(draft, about)
        _write_json(draft / METADATA, _metadata(about) if isinstance(about, Checkpoint) else about)


def write_adapter(
    folder: Path,
    config: Mapping[str, Any],
    adapter: Mapping[str, Tensor],
    processor: Path,
    *,
    about: Mapping[str, Any],
    texts: Mapping[str, str] | None = None,
) -> None:
    """Write an adapter that needs no projection, such as a captioner's, with `about` as `relsim.json`."""
    with _new_folder(folder, processor, texts) as draft:
        _write_adapter(draft, config, adapter)
        _write_json(draft / METADATA, about)


def parse_recipe(name: str, source: str) -> Recipe:
    """The recipe of that name; `source` says where the name was found."""
    try:
        return Recipe.parse(name)
    except ValueError:
        raise CheckpointError(f"{source} names the recipe {name!r}; {KNOWN_RECIPES}") from None


@contextlib.contextmanager
def _new_folder(folder: Path, processor: Path, texts: Mapping[str, str] | None) -> Iterator[Path]:
    """A draft of `folder` with processor files and texts in it."""
    if folder.exists():
        raise CheckpointError(f"{folder} exists already; choose another name or remove it first")
    if not any((processor / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise CheckpointError(f"{processor} holds no tokenizer; without one the checkpoint could not be loaded")
    try:
        with drafted_folder(folder) as draft:
            for name in PROCESSOR_FILES:
                if (processor / name).is_file():
                    shutil.copyfile(processor / name, draft / name)
            for name, text in (texts or {}).items():
                (draft / name).write_text(text, encoding="utf-8")
            yield draft
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder} could not be written: {error}") from error


def _write_adapter(draft: Path, config: Mapping[str, Any], adapter: Mapping[str, Tensor]) -> None:
    _write_json(draft / ADAPTER_CONFIG, config)
    save_file(
        {name: _own(tensor) for name, tensor in adapter.items()}, draft / ADAPTER_TENSORS, metadata={"format": "pt"}
    )


def _write_projection(draft: Path, checkpoint: Checkpoint) -> tuple[Tensor, Tensor]:
    weight, bias = _own(checkpoint.projection_weight), _own(checkpoint.projection_bias)
    save_file({"weight": weight, "bias": bias}, draft / PROJECTION, metadata={"format": "pt"})
    return weight, bias


def _metadata(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "recipe": checkpoint.recipe.value,
        "query_token": checkpoint.query_token,
        "query_token_id": checkpoint.query_token_id,
        "training": dict(checkpoint.training),
        "null_distribution": checkpoint.null_distribution,
    }


def _query_token_id(folder: Path, metadata: Mapping[str, Any], published: Mapping[str, Any]) -> int:
    found = (record.get("query_token_id") for record in (metadata, published))
    ids: set[int] = {value for value in found if type(value) is int}
    if not ids:
        raise CheckpointError(f"{folder} does not tell the id of the query token (query_token_id)")
    if len(ids) > 1:
        raise CheckpointError(
            f"{METADATA} and {PUBLISHED_PROJECTION} in {folder} differ in query_token_id: {sorted(ids)}"
        )
    return ids.pop()


def _query_token(metadata: Mapping[str, Any], folder: Path) -> str:
    token = metadata.get("query_token", "<|query|>")
    if not isinstance(token, str) or not token:
        raise CheckpointError(f"{folder / METADATA} has query_token {token!r}; it must be the token's text")
    return token


def _null_distribution(value: Any, folder: Path) -> dict[str, Any] | None:
    """Scores and the percentage of unrelated pairs below each, both ascending; None where there is none."""
    if not value:
        return None
    scores, percentiles = (
        (value.get(name) for name in ("scores", "percentiles")) if isinstance(value, dict) else ((), ())
    )
    fits = (
        isinstance(scores, list)
        and isinstance(percentiles, list)
        and len(scores) == len(percentiles) >= 2
        and all(type(number) in (int, float) for number in [*scores, *percentiles])
        and scores == sorted(scores)
        and percentiles == sorted(percentiles)
    )
    if not fits:
        raise CheckpointError(
            f"{folder / METADATA} has a null_distribution that cannot be used; it must hold scores and percentiles, "
            "two ascending lists of numbers of one length"
        )
    return dict(value)


def _read_projection(folder: Path, published: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    sources = []
    if (folder / PROJECTION).exists():
        sources.append((folder / PROJECTION, load_tensors(folder / PROJECTION)))
    if published:
        sources.append((folder / PUBLISHED_PROJECTION, published["projection"]))
    if not sources:
        raise CheckpointError(f"{folder} has neither {PROJECTION} nor {PUBLISHED_PROJECTION}: no projection to read")
    pairs = [_check_projection(path, tensors) for path, tensors in sources]
    if any(not torch.equal(first, other) for first, other in zip(pairs[0], pairs[-1], strict=True)):
        raise CheckpointError(
            f"{PROJECTION} and {PUBLISHED_PROJECTION} in {folder} differ; remove the one that is wrong"
        )
    return pairs[0]


def _check_projection(path: Path, tensors: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    for name in tensors.keys() ^ {"weight", "bias"}:
        verb = "has an unknown" if name in tensors else "lacks the"
        raise CheckpointError(f"{path} {verb} projection tensor {name!r}; expected weight (D, H) and bias (D,)")
    weight, bias = tensors["weight"], tensors["bias"]
    if not isinstance(weight, Tensor) or not isinstance(bias, Tensor):
        raise CheckpointError(f"{path} has a projection whose weight and bias are no tensors")
    if weight.dim() != 2 or tuple(bias.shape) != (weight.shape[0],):
        raise CheckpointError(
            f"{path} has projection shapes {tuple(weight.shape)} and {tuple(bias.shape)}; expected (D, H) and (D,)"
        )
    return weight, bias


def _read_published_projection(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can make torch's unpickler raise anything
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise CheckpointError(f"{path} cannot be read as tensors and plain values: {reason}") from error
    if not isinstance(content, dict) or not isinstance(content.get("projection"), Mapping):
        raise CheckpointError(f"{path} holds no 'projection'")
    return content


def _read_adapter(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    config, tensors = folder / ADAPTER_CONFIG, folder / ADAPTER_TENSORS
    if config.exists() and tensors.exists():
        return _read_json(config), load_tensors(tensors)
    if config.exists() or tensors.exists():
        missing = tensors if config.exists() else config
        raise CheckpointError(f"{missing} is missing beside the rest of the adapter")
    if not (folder / "config.json").exists():
        raise CheckpointError(f"{folder} holds neither an adapter ({ADAPTER_CONFIG}) nor a model (config.json)")
    return {}, {}


def load_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file. Raises `CheckpointError`."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read as safetensors: {error}") from error


def _training_record(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in ("global_step", "epoch") if name in values}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} must hold one JSON object")
    return content


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False, default=_plain)
    path.write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """Peft keeps sets and enumerations in its settings; its own files have lists and strings."""
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, Enum):
        return value.value
    raise CheckpointError(f"{value!r:.100} in the checkpoint's settings has no place in JSON")


def _own(tensor: Tensor) -> Tensor:
    """A copy in memory of its own: safetensors refuses shared memory, and torch.save writes all of it."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
