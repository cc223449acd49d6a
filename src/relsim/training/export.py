"""Handing a checkpoint on: in another layout, with its model card.

published                adapter and projection, which the published package, peft and relsim load on their base model
whole                    base model and adapter merged, a network of its own; no language head, which no vector needs
sentence-transformers    the whole network and the text encoder as one model that sentence-transformers loads by itself
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from relsim.errors import CheckpointError
from relsim.models.base import find_base, load_base
from relsim.models.checkpoint import (
    ADAPTER_CONFIG,
    FORMAT_VERSION,
    PROJECTION,
    PUBLISHED_PROJECTION,
    Checkpoint,
    read_adapter,
    read_checkpoint,
    read_metadata,
)
from relsim.models.checkpoint_writing import write_adapter, write_checkpoint, write_whole_model
from relsim.models.devices import choose_device, choose_dtype
from relsim.models.hub import resolve_folder
from relsim.models.lora import merge_lora

CARD = "README.md"
_PIXELS = "preprocessor_config.json"

Layout = Literal["published", "whole", "sentence-transformers"]


def export_checkpoint(
    checkpoint: str | Path,
    out: str | Path,
    *,
    layout: Layout | None = None,
    base_model: str | Path | None = None,
    dtype: str | None = None,
) -> Path:
    """Write a checkpoint (a folder or a Hub id) into the new folder `out`, all of it or nothing; returns `out`.

    Without `layout` it stays as it is. `base_model` takes the place of the base that an adapter names, `dtype` of the
    base's own precision (of fp32 for sentence-transformers); both are for a merged layout. Raises `CheckpointError`.
    """
    out = Path(out)
    folder = resolve_folder(checkpoint, also=(PUBLISHED_PROJECTION, CARD))
    if not any((folder / name).exists() for name in (PROJECTION, PUBLISHED_PROJECTION)):
        return _export_adapter(folder, out, layout)
    found = read_checkpoint(folder)
    if layout == "sentence-transformers":
        return _export_sentence_transformer(folder, found, out, base_model, dtype)
    if not found.adapter:
        raise CheckpointError(
            f"{folder} is a whole model already, and its weights name no base: copy or push the folder"
        )
    texts = {CARD: _card(folder, found)}
    if layout != "whole":
        write_checkpoint(out, found, folder, texts=texts)
        return out
    base = find_base(found.base_model, folder, base_model)
    if not (folder / _PIXELS).exists() and (base / _PIXELS).exists():
        texts[_PIXELS] = (base / _PIXELS).read_text(encoding="utf-8")
    precision = torch.bfloat16 if dtype is None else choose_dtype(choose_device("cpu"), dtype)
    network, _ = load_base(base, precision)
    merge_lora(network, found.adapter_config, found.adapter)
    rows = len(network.get_input_embeddings().weight)
    for config in (network.config, network.config.get_text_config()):
        config.vocab_size = rows  # a table in the adapter has another length than the base's
    stored = precision if dtype is not None else network.dtype
    write_whole_model(out, network, folder, dtype=stored, about=replace(found, adapter={}), texts=texts)
    return out


def _export_sentence_transformer(
    folder: Path, found: Checkpoint, out: Path, base_model: str | Path | None, dtype: str | None
) -> Path:
    """Merged first, where it is an adapter; then as one model with the text encoder."""
    from relsim.training.sentence_transformer import write_sentence_transformer

    precision = torch.float32 if dtype is None else choose_dtype(choose_device("cpu"), dtype)
    with tempfile.TemporaryDirectory(prefix="relsim-export-") as temporary:
        whole = folder
        if found.adapter:
            whole = export_checkpoint(
                folder, Path(temporary) / folder.name, layout="whole", base_model=base_model, dtype=dtype or "float32"
            )
        write_sentence_transformer(whole, out, dtype=precision, card=_card(folder, found))
    return out


def _export_adapter(folder: Path, out: Path, layout: Layout | None) -> Path:
    """A captioner's or a filter's adapter, which has no projection."""
    if not (folder / ADAPTER_CONFIG).exists():
        raise CheckpointError(f"{folder} holds neither a projection ({PROJECTION}) nor an adapter ({ADAPTER_CONFIG})")
    if layout not in (None, "published"):
        raise CheckpointError(
            f"{folder} is an adapter without a projection; it is exported in the published layout only"
        )
    config, adapter = read_adapter(folder)
    texts = {CARD: (folder / CARD).read_text(encoding="utf-8")} if (folder / CARD).exists() else {}
    about = read_metadata(folder) or {"format_version": FORMAT_VERSION}
    write_adapter(out, config, adapter, folder, about=about, texts=texts)
    return out


def _card(folder: Path, checkpoint: Checkpoint) -> str:
    """The checkpoint's own card, or what its files tell."""
    if (folder / CARD).exists():
        return (folder / CARD).read_text(encoding="utf-8")
    base = checkpoint.base_model
    header = ["---", "library_name: relsim", "pipeline_tag: image-feature-extraction"]
    if base is not None and not Path(base).is_absolute():
        header.append(f"base_model: {base}")
    steps = checkpoint.training.get("global_step")
    facts = {
        "base model": base or "none: a whole model",
        "pixels": checkpoint.recipe.value,
        "vectors": f"{checkpoint.projection_weight.shape[0]} numbers, unit length",
        **({} if steps is None else {"training steps": f"{steps:,}"}),
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    return (
        "\n".join([*header, "---"])
        + f"\n\n# {folder.name}: relational image similarity\n\n"
        + "Pictures become vectors whose cosine says how alike they work, whatever they look like.\n\n"
        + f"| | |\n| --- | --- |\n{table}\n\n"
        + "```python\nfrom relsim import relsim\n\n"
        + 'model, preprocess = relsim(checkpoint_dir="path/to/this/folder")\n```\n'
    )
