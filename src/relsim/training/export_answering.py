"""A captioner or filter, base and adapter merged, as one folder in transformers' own format, with its language head.

Whatever loads a Qwen-VL loads it, without peft and without this package: transformers (`…ForConditionalGeneration`),
vLLM and other servers. `relsim.json` goes along, so that this package still knows recipe and question.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relsim.captions.checkpoint import is_filter, merge_adapter, read_files, tokenizer_folder
from relsim.errors import CheckpointError
from relsim.models.base import find_base, load_base
from relsim.models.checkpoint_writing import write_whole_model
from relsim.models.devices import merging_dtype, stored_dtype
from relsim.models.metadata import FORMAT_VERSION, read_metadata
from relsim.models.prompt import CAPTION_PROMPT, FILTER_PROMPT

_PIXELS = "preprocessor_config.json"


def write_whole_answering(
    folder: Path, out: Path, *, base_model: str | Path | None, dtype: str | None, texts: Mapping[str, str]
) -> None:
    """Merge the adapter in `folder` with its base into the new folder `out`, weights in `dtype` or as the base's.

    LoRA is merged in fp32 and rounded once. `texts` are further files by name. Raises `CheckpointError`.
    """
    wanted = None if dtype is None else stored_dtype(dtype)
    stored = read_metadata(folder)
    question = FILTER_PROMPT if is_filter(stored) else CAPTION_PROMPT
    files = read_files(folder, stored, default_prompt=question)
    base = find_base(files.base_model, folder, base_model)
    network, _ = load_base(base, merging_dtype(wanted), head=True)
    merge_adapter(network, files)
    _set_vocabulary(network, folder)
    texts = dict(texts)
    if not (folder / _PIXELS).exists() and (base / _PIXELS).exists():
        texts[_PIXELS] = (base / _PIXELS).read_text(encoding="utf-8")
    about = {
        "format_version": FORMAT_VERSION,
        "recipe": files.recipe.value,
        "caption_prompt": files.prompt,
        **stored,
    }
    kept = wanted or network.dtype
    write_whole_model(out, network, tokenizer_folder(folder, base), dtype=kept, about=about, texts=texts)


def _set_vocabulary(network: Any, folder: Path) -> None:
    """A table in the adapter has another length than the base's; the head must have the same."""
    rows, head = len(network.get_input_embeddings().weight), len(network.get_output_embeddings().weight)
    if rows != head:
        raise CheckpointError(
            f"{folder} has {rows} embeddings and a head of {head} tokens; a network of one folder has one number"
        )
    for config in (network.config, network.config.get_text_config()):
        config.vocab_size = rows
