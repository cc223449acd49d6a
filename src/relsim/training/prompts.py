"""What stands around the image in training: the query prompt of the metric, the question and answer of a captioner.

Both come from the base's own chat template, so that what is trained is what transformers and the published code ask.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relsim.errors import CheckpointError
from relsim.files import drafted_folder
from relsim.models.checkpoint import PROCESSOR_FILES
from relsim.models.prompt import QUERY_TOKEN, Prompt, load_tokenizer, read_question

_ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Answers:
    """How a captioner's answers are asked for and end: the prompt, and the tokens after an answer."""

    prompt: Prompt
    end: tuple[int, ...]
    tokenizer: Any

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text as an answer, its end included."""
        if not texts:
            return []
        ids: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return [[*answer, *self.end] for answer in ids]


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
        for name in PROCESSOR_FILES:
            if (base / name).is_file():
                shutil.copyfile(base / name, draft / name)
        tokenizer.add_special_tokens({"additional_special_tokens": [QUERY_TOKEN]}, replace_extra_special_tokens=False)
        tokenizer.save_pretrained(draft)
    return home


def read_answers(processor: Path, question: str) -> Answers:
    """Question and answer as the chat template in `processor` puts them."""
    prompt, tokenizer = read_question(processor, question), load_tokenizer(processor)
    user = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}
    reply = {"role": "assistant", "content": [{"type": "text", "text": _ANSWER}]}
    try:
        whole: str = tokenizer.apply_chat_template([user, reply], tokenize=False)
    except Exception as error:  # a template is a program of the checkpoint: whatever it raises is its fault
        raise CheckpointError(f"the chat template in {processor} cannot be rendered: {error}") from error
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
