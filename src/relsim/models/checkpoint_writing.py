"""Writing checkpoint folders: the published layout, whole models, and adapters without a projection.

Each is all or nothing: a folder appears under its name when everything in it is on the disk. `checkpoint.py` reads them
and says what the files are.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from relsim.errors import CheckpointError
from relsim.files import drafted_folder, flush, temporary_beside
from relsim.models.checkpoint import (
    ADAPTER_CONFIG,
    ADAPTER_TENSORS,
    PROCESSOR_FILES,
    PROJECTION,
    PUBLISHED_PROJECTION,
    Checkpoint,
    published_record,
)
from relsim.models.metadata import FORMAT_VERSION, METADATA, read_json


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
            **published_record(checkpoint.training),
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
        head = model.get_output_embeddings()
        if head is not None and head.weight is model.get_input_embeddings().weight:
            tensors.pop("lm_head.weight")  # tied: the embedding table holds it already
        with quiet_loading():
            model.save_pretrained(draft, state_dict=tensors)
        config = read_json(draft / "config.json")
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


def write_tower(
    folder: Path,
    config: Mapping[str, Any],
    adapter: Mapping[str, Tensor],
    projection: tuple[Tensor, Tensor],
    processor: Path,
    preprocessor: Mapping[str, Any],
    *,
    about: Mapping[str, Any],
    texts: Mapping[str, str] | None = None,
) -> None:
    """Write a tuned image tower in the published layout: adapter, projection (weight, bias), its image processor.

    `preprocessor` are the settings of `preprocessor_config.json`; tokenizer files are those of `processor`, if any.
    """
    with _new_folder(folder, processor, texts, tokenizer=False) as draft:
        _write_adapter(draft, config, adapter)
        weight, bias = (_own(tensor) for tensor in projection)
        save_file({"weight": weight, "bias": bias}, draft / PROJECTION, metadata={"format": "pt"})
        published = {"projection": OrderedDict(weight=weight, bias=bias), **published_record(about["training"])}
        torch.save(published, draft / PUBLISHED_PROJECTION)
        _write_json(draft / "preprocessor_config.json", preprocessor)
        _write_json(draft / METADATA, about)


def add_metadata(folder: Path, values: Mapping[str, Any]) -> None:
    """Put values into the `relsim.json` of a folder, in one step. Raises `CheckpointError`."""
    path = folder / METADATA
    content = {**read_json(path), **values}
    try:
        with temporary_beside(path) as temporary:
            _write_json(temporary, content)
            flush(temporary)
            temporary.replace(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written: {(error.strerror or str(error)).lower()}") from error


def copy_processor(source: Path, target: Path) -> None:
    """Copy the tokenizer and processor files that `source` has. Errors of the system pass through."""
    for name in PROCESSOR_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


@contextlib.contextmanager
def _new_folder(
    folder: Path, processor: Path, texts: Mapping[str, str] | None, *, tokenizer: bool = True
) -> Iterator[Path]:
    """A draft of `folder` with processor files and texts in it."""
    if folder.exists():
        raise CheckpointError(f"{folder} exists already; choose another name or remove it first")
    if tokenizer and not any((processor / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise CheckpointError(f"{processor} holds no tokenizer; without one the checkpoint could not be loaded")
    try:
        with drafted_folder(folder) as draft:
            copy_processor(processor, draft)
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
