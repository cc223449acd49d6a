"""Checkpoint folders: the one reader, files only; `checkpoint_writing.py` writes, `loading.py` makes a network of them.

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

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from relsim.errors import CheckpointError, first_line
from relsim.models.metadata import METADATA, null_distribution_of, read_json, read_metadata
from relsim.models.pixels import KNOWN_RECIPES, Recipe

ADAPTER_CONFIG, ADAPTER_TENSORS = "adapter_config.json", "adapter_model.safetensors"
PROJECTION, PUBLISHED_PROJECTION = "projection.safetensors", "projection_and_config.pt"
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
    metadata = read_metadata(folder)
    published = _read_published_projection(folder / PUBLISHED_PROJECTION)
    weight, bias = _read_projection(folder, published)
    query = _query_token_id(folder, metadata, published)
    config, adapter = read_adapter(folder)
    return Checkpoint(
        projection_weight=weight,
        projection_bias=bias,
        query_token_id=query,
        adapter_config=config,
        adapter=adapter,
        recipe=parse_recipe(metadata.get("recipe", Recipe.NATIVE.value), source=str(folder / METADATA)),
        query_token=_query_token(metadata, folder),
        training=metadata.get("training") or published_record(published),
        null_distribution=null_distribution_of(metadata.get("null_distribution"), folder),
    )


def read_projection(folder: Path) -> tuple[Tensor, Tensor]:
    """Weight (D, H) and bias (D,) of the projection in a folder. Raises `CheckpointError`."""
    return _read_projection(folder, _read_published_projection(folder / PUBLISHED_PROJECTION))


def read_adapter(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Settings and tensors of the adapter, empty for a folder that holds a whole model. Raises `CheckpointError`."""
    config, tensors = folder / ADAPTER_CONFIG, folder / ADAPTER_TENSORS
    if config.exists() and tensors.exists():
        return read_json(config), load_tensors(tensors)
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


def parse_recipe(name: str, source: str) -> Recipe:
    """The recipe of that name; `source` says where the name was found."""
    try:
        return Recipe.parse(name)
    except ValueError:
        raise CheckpointError(f"{source} names the recipe {name!r}; {KNOWN_RECIPES}") from None


def published_record(training: Mapping[str, Any]) -> dict[str, Any]:
    """Of a training record what the published layout has room for."""
    return {name: training[name] for name in ("global_step", "epoch") if name in training}


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
    if not (weight.isfinite().all() and bias.isfinite().all()):
        raise CheckpointError(f"{path} has a projection with values that are no finite numbers")
    return weight, bias


def _read_published_projection(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can make torch's unpickler raise anything
        reason = first_line(error)
        raise CheckpointError(f"{path} cannot be read as tensors and plain values: {reason}") from error
    if not isinstance(content, dict) or not isinstance(content.get("projection"), Mapping):
        raise CheckpointError(f"{path} holds no 'projection'")
    return content
