"""What stands around the image in training: the query prompt of the metric, the question and answer of a captioner.

Both come from the base's own chat template, so that what is trained is what transformers and the published code ask.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relsim.errors import CheckpointError
from relsim.files import drafted_folder
from relsim.models.checkpoint_writing import copy_processor
from relsim.models.prompt import (
    QUERY_TOKEN,
    Prompt,
    load_tokenizer,
    question_about_image,
    read_question,
    render_chat,
)

_ANSWER = "answer"
_CHUNK = 8192  # texts that are tokenized at once

TokenIds = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Answers:
    """How a captioner's answers are asked for and end: the prompt, and the tokens after an answer."""

    prompt: Prompt
    end: tuple[int, ...]
    tokenizer: Any

    def encode(self, texts: Sequence[str]) -> list[TokenIds]:
        """Token ids of each text as an answer, its end included. A million answers take their numbers' room only."""
        ids: list[TokenIds] = []
        for start in range(0, len(texts), _CHUNK):
            found = self.tokenizer(list(texts[start : start + _CHUNK]), add_special_tokens=False)["input_ids"]
            flat = np.fromiter((token for answer in found for token in (*answer, *self.end)), np.int32)
            ends = np.cumsum([len(answer) + len(self.end) for answer in found])
            ids += np.split(flat, ends[:-1])
        return ids


def prepare_processor(base: Path, home: Path, *, write: bool = True) -> Path:
    """A folder of processor files that know the query token: the base's, or a copy with the token added in `home`.

    Without `write` the copy is there already: another process has made it.
    """
    tokenizer = load_tokenizer(base)
    if QUERY_TOKEN in tokenizer.get_vocab():
        return base
    if not write:
        return home
    shutil.rmtree(home, ignore_errors=True)  # of an earlier run, on another base perhaps
    with drafted_folder(home) as draft:
        copy_processor(base, draft)
        tokenizer.add_special_tokens({"additional_special_tokens": [QUERY_TOKEN]}, replace_extra_special_tokens=False)
        tokenizer.save_pretrained(draft)
        _name_special_tokens_as_before(draft / "tokenizer_config.json")
    return home


def _name_special_tokens_as_before(path: Path) -> None:
    """Transformers 5 lists special tokens under a name where 4.x, and so the published package, expects an object."""
    config = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(config.get("extra_special_tokens"), list):
        config["additional_special_tokens"] = config.pop("extra_special_tokens")
        path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_answers(processor: Path, question: str) -> Answers:
    """Question and answer as the chat template in `processor` puts them."""
    prompt, tokenizer = read_question(processor, question), load_tokenizer(processor)
    reply = {"role": "assistant", "content": [{"type": "text", "text": _ANSWER}]}
    whole = render_chat(tokenizer, processor, [question_about_image(question), reply])
    if not whole.startswith(prompt.text + _ANSWER):
        raise CheckpointError(
            f"the chat template in {processor} must show an answer right after what asks for it; "
            f"it asks {prompt.text!r} and shows {whole!r}"
        )
    ending = whole[len(prompt.text + _ANSWER) :].rstrip("\n")  # nobody reads on after the token that ends a turn
    end: list[int] = tokenizer(ending, add_special_tokens=False)["input_ids"]
    if not end:
        raise CheckpointError(f"the chat template in {processor} does not end an answer; a captioner would not stop")
    return Answers(prompt, tuple(end), tokenizer)
