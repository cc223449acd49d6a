"""The prompt of a query-token VLM: what stands before and after the image, as text and as token ids.

The checkpoint's own chat template is rendered with one user message (image, query token) and cut right after the
query token: the language model is causal, so whatever follows cannot change the embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relsim.errors import CheckpointError

QUERY_TOKEN = "<|query|>"
IMAGE_TOKEN = "<|image_pad|>"


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids around the image. `suffix` ends with the query token; `image` is the id of the placeholder."""

    text: str
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    image: int

    @property
    def query(self) -> int:
        """Id of the query token, the last of the prompt."""
        return self.suffix[-1]

    def ids(self, image_tokens: int) -> list[int]:
        """The whole prompt for an image of that many merged tokens."""
        return [*self.prefix, *([self.image] * image_tokens), *self.suffix]


def read_prompt(folder: Path, query_token: str = QUERY_TOKEN) -> Prompt:
    """The prompt that the processor files in `folder` (tokenizer and chat template) define."""
    tokenizer = _load_tokenizer(folder)
    message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": query_token}]}
    try:
        rendered: str = tokenizer.apply_chat_template([message], tokenize=False)
    except (
        Exception
    ) as error:  # a template is a program of the checkpoint: whatever it raises is a fault of the checkpoint
        raise CheckpointError(f"the chat template in {folder} cannot be rendered: {error}") from error
    if rendered.count(query_token) != 1 or rendered.count(IMAGE_TOKEN) != 1:
        raise CheckpointError(
            f"the chat template in {folder} must show {IMAGE_TOKEN} and {query_token} once each; it gives: {rendered!r}"
        )
    text = rendered[: rendered.index(query_token) + len(query_token)]
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    image, query = (tokenizer.convert_tokens_to_ids(token) for token in (IMAGE_TOKEN, query_token))
    if ids.count(image) != 1 or ids[-1] != query or ids.count(query) != 1:
        raise CheckpointError(
            f"the tokenizer in {folder} does not know {query_token} or {IMAGE_TOKEN} as one token each; "
            "a checkpoint must hold the tokenizer that it was trained with"
        )
    place = ids.index(image)
    return Prompt(text, tuple(ids[:place]), tuple(ids[place + 1 :]), image)


def _load_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # tokenizer files are parsed by several libraries, each with errors of its own
        raise CheckpointError(f"no tokenizer can be read from {folder}: {error}") from error
