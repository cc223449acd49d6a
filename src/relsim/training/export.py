"""Handing a checkpoint on: in another layout, with its model card.

published                adapter and projection, which the published package, peft and relsim load on their base model
whole                    base model and adapter merged, a network of its own; with its language head where it answers
sentence-transformers    the whole network and the text encoder as one model that sentence-transformers loads by itself
onnx, openvino           the whole network of a fixed square for those runtimes, pictures in and vectors out
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from relsim.errors import CheckpointError
from relsim.models.base import find_base, load_base
from relsim.models.checkpoint import (
    ADAPTER_CONFIG,
    PROJECTION,
    PUBLISHED_PROJECTION,
    Checkpoint,
    parse_recipe,
    read_adapter,
    read_checkpoint,
)
from relsim.models.checkpoint_writing import write_adapter, write_checkpoint, write_whole_model
from relsim.models.devices import choose_device, choose_dtype, merging_dtype, stored_dtype
from relsim.models.hub import resolve_folder
from relsim.models.lora import merge_lora
from relsim.models.metadata import FORMAT_VERSION, read_metadata
from relsim.training.portable import Runtime, check_portable, write_portable

CARD = "README.md"
_PIXELS = "preprocessor_config.json"

Layout = Literal["published", "whole", "sentence-transformers", "onnx", "openvino"]


def export_checkpoint(
    checkpoint: str | Path,
    out: str | Path,
    *,
    layout: Layout | None = None,
    base_model: str | Path | None = None,
    dtype: str | None = None,
    recipe: str | None = None,
    usual_base: str | Path | None = None,
) -> Path:
    """Write a checkpoint (a folder or a Hub id) into the new folder `out`, all of it or nothing; returns `out`.

    Without `layout` it stays as it is. `base_model` takes the place of the base that an adapter names, `dtype` of the
    base's own precision (of fp32 for other libraries); both are refused where nothing is merged or converted.
    `usual_base` stands in for a `base_model` that is not named, and only where one has a use.
    `recipe` takes the place of its own in the layouts onnx and openvino. Raises `CheckpointError` or `DeviceError`.
    """
    out = Path(out)
    if recipe is not None and layout not in ("onnx", "openvino"):
        raise CheckpointError("a recipe of one's own is for the layouts onnx and openvino")
    folder = resolve_folder(checkpoint, also=(PUBLISHED_PROJECTION, CARD))
    if not any((folder / name).exists() for name in (PROJECTION, PUBLISHED_PROJECTION)):
        return _export_adapter(folder, out, layout, base_model, dtype, usual_base)
    found = read_checkpoint(folder)
    if base_model is not None and not found.adapter:
        raise CheckpointError(f"{folder} holds a whole model of its own; leave base_model (--base-model) away")
    if found.adapter and layout not in (None, "published"):
        base_model = base_model or usual_base
    if layout == "sentence-transformers":
        return _export_sentence_transformer(folder, found, out, base_model, dtype)
    if layout in ("onnx", "openvino"):
        if recipe is not None:
            found = replace(found, recipe=parse_recipe(recipe, source="the call"))
        return _export_portable(folder, found, out, layout, base_model, dtype)
    if not found.adapter:
        raise CheckpointError(
            f"{folder} is a whole model already, and its weights name no base: copy or push the folder"
        )
    texts = {CARD: _card(folder, found)}
    if layout != "whole":
        _require_nothing_to_merge(base_model, dtype)
        write_checkpoint(out, found, folder, texts=texts)
        return out
    return _export_whole(folder, found, out, base_model, dtype, texts)


def _export_whole(
    folder: Path, found: Checkpoint, out: Path, base_model: str | Path | None, dtype: str | None, texts: dict[str, str]
) -> Path:
    """Base and adapter merged, `texts` being further files by name."""
    wanted = None if dtype is None else stored_dtype(dtype)
    base = find_base(found.base_model, folder, base_model)
    if not (folder / _PIXELS).exists() and (base / _PIXELS).exists():
        texts[_PIXELS] = (base / _PIXELS).read_text(encoding="utf-8")
    network, _ = load_base(base, merging_dtype(wanted))
    merge_lora(network, found.adapter_config, found.adapter)
    rows = len(network.get_input_embeddings().weight)
    for config in (network.config, network.config.get_text_config()):
        config.vocab_size = rows  # a table in the adapter has another length than the base's
    stored: torch.dtype = wanted or network.dtype
    write_whole_model(out, network, folder, dtype=stored, about=replace(found, adapter={}), texts=texts)
    return out


def _export_sentence_transformer(
    folder: Path, found: Checkpoint, out: Path, base_model: str | Path | None, dtype: str | None
) -> Path:
    """Merged first, where it is an adapter; then as one model with the text encoder."""
    from relsim.training.sentence_transformer import write_sentence_transformer

    precision = torch.float32 if dtype is None else choose_dtype(choose_device("cpu"), dtype)
    with _merged(folder, found, base_model, dtype) as whole:
        write_sentence_transformer(whole, out, dtype=precision, card=_card(folder, found))
    return out


def _export_portable(
    folder: Path, found: Checkpoint, out: Path, runtime: Runtime, base_model: str | Path | None, dtype: str | None
) -> Path:
    check_portable(folder, found, runtime, dtype)
    with _merged(folder, found, base_model, dtype) as whole:
        write_portable(whole, out, runtime=runtime, recipe=found.recipe, card=_card(folder, found))
    return out


@contextlib.contextmanager
def _merged(folder: Path, found: Checkpoint, base_model: str | Path | None, dtype: str | None) -> Iterator[Path]:
    """The folder itself where it is a whole model, else one of the merged network, in fp32 unless `dtype` says more."""
    if not found.adapter:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="relsim-export-") as temporary:
        target = Path(temporary) / folder.name
        yield export_checkpoint(folder, target, layout="whole", base_model=base_model, dtype=dtype or "float32")


def _export_adapter(
    folder: Path,
    out: Path,
    layout: Layout | None,
    base_model: str | Path | None,
    dtype: str | None,
    usual_base: str | Path | None,
) -> Path:
    """A captioner's or a filter's adapter, which has no projection."""
    if not (folder / ADAPTER_CONFIG).exists():
        raise CheckpointError(f"{folder} holds neither a projection ({PROJECTION}) nor an adapter ({ADAPTER_CONFIG})")
    if layout not in (None, "published", "whole"):
        raise CheckpointError(
            f"{folder} is an adapter without a projection, which has no vectors; its layouts are published and whole"
        )
    texts = {CARD: (folder / CARD).read_text(encoding="utf-8")} if (folder / CARD).exists() else {}
    if layout != "whole":
        _require_nothing_to_merge(base_model, dtype)
    if layout == "whole":
        from relsim.training.export_answering import write_whole_answering

        write_whole_answering(folder, out, base_model=base_model or usual_base, dtype=dtype, texts=texts)
        return out
    config, adapter = read_adapter(folder)
    about = read_metadata(folder) or {"format_version": FORMAT_VERSION}
    write_adapter(out, config, adapter, folder, about=about, texts=texts)
    return out


def _require_nothing_to_merge(base_model: str | Path | None, dtype: str | None) -> None:
    """Refuse what would change nothing: an adapter is written as it is."""
    for option, value in (("base_model (--base-model)", base_model), ("dtype (--dtype)", dtype)):
        if value is not None:
            raise CheckpointError(f"{option} is for layouts of a merged network; an adapter is written as it is")


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
