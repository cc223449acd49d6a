"""The prompts of a VLM: what stands before and after the image, as text and as token ids.

The checkpoint's own chat template is rendered with one user message. For an embedding that is (image, query token), cut
right after the query token: the language model is causal, so whatever follows cannot change the embedding. For an
answer it is (image, question), up to where the assistant begins to speak.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relsim.errors import CheckpointError
from relsim.models.light_tokenizer import LightTokenizer

QUERY_TOKEN = "<|query|>"
IMAGE_TOKEN = "<|image_pad|>"
CAPTION_PROMPT = (
    "You are given a single image.\n"
    "Carefully analyze it to understand its underlying logic, layout, structure, or creative concept. "
    "Then generate a single, reusable anonymous caption that could describe any image following the same concept.\n"
    "The caption must:\n"
    "- Fully capture the general logic or analogy of the image.\n"
    "- Include placeholders (e.g., {Object}, {Word}, {Character}, {Meaning}, {Color}, etc.) "
    "wherever variations can occur.\n"
    "- Be concise and standalone.\n"
    "Important: Only output the anonymous caption. Do not provide any explanations or additional text.\n"
)
"""What the published captioner is asked, in training and after it, the line break at the end included."""
FILTER_PROMPT = "Is this image visually interesting?\nAnswer with one word, Yes or No.\n"
"""What a filter is asked unless it was trained with another question. That of the published one is not known."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids around the image, whose placeholder is `image`. An embedding's `suffix` ends with the query token."""

    text: str
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    image: int

    @property
    def query(self) -> int:
        """Id of the query token, the last of the prompt of an embedding."""
        return self.suffix[-1]

    def ids(self, image_tokens: int) -> list[int]:
        """The whole prompt for an image of that many merged tokens."""
        return [*self.prefix, *([self.image] * image_tokens), *self.suffix]


def read_prompt(folder: Path, query_token: str = QUERY_TOKEN) -> Prompt:
    """The prompt of an embedding, as the processor files in `folder` (tokenizer and chat template) define it."""
    tokenizer: Any = LightTokenizer.read(folder) or load_tokenizer(folder)
    rendered = render_chat(tokenizer, folder, [question_about_image(query_token)])
    if rendered.count(query_token) != 1 or rendered.count(IMAGE_TOKEN) != 1:
        raise CheckpointError(
            f"the chat template in {folder} must show {IMAGE_TOKEN} and {query_token} once each; it gives: {rendered!r}"
        )
    text = rendered[: rendered.index(query_token) + len(query_token)]
    prompt = _tokenize(tokenizer, text)
    query = tokenizer.convert_tokens_to_ids(query_token)
    if prompt is None or [*prompt.prefix, *prompt.suffix].count(query) != 1 or prompt.suffix[-1:] != (query,):
        raise CheckpointError(
            f"the tokenizer in {folder} does not know {query_token} or {IMAGE_TOKEN} as one token each; "
            "a checkpoint must hold the tokenizer that it was trained with"
        )
    return prompt


def read_question(folder: Path, question: str) -> Prompt:
    """The prompt of an answer to `question` about an image, up to the first token of the answer."""
    tokenizer = load_tokenizer(folder)
    rendered = render_chat(tokenizer, folder, [question_about_image(question)], add_generation_prompt=True)
    if rendered.count(IMAGE_TOKEN) != 1:
        raise CheckpointError(f"the chat template in {folder} must show {IMAGE_TOKEN} once; it gives: {rendered!r}")
    prompt = _tokenize(tokenizer, rendered)
    if prompt is None:
        raise CheckpointError(f"the tokenizer in {folder} does not know {IMAGE_TOKEN} as one token")
    return prompt


def yes_no_tokens(tokenizer: Any, folder: Path) -> tuple[int, int]:
    """The tokens that the answers Yes and No begin with. Raises `CheckpointError` where that is one token."""
    yes, no = (int(ids[0]) for ids in tokenizer(["Yes", "No"], add_special_tokens=False)["input_ids"])
    if yes == no:
        raise CheckpointError(f"the tokenizer in {folder} begins Yes and No with one token; they cannot compete")
    return yes, no


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer in a folder. Raises `CheckpointError`."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # tokenizer files are parsed by several libraries, each with errors of its own
        raise CheckpointError(f"no tokenizer can be read from {folder}: {error}") from error


def question_about_image(words: str) -> dict[str, Any]:
    """The message of a user who shows an image and says `words`."""
    return {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": words}]}


def render_chat(tokenizer: Any, folder: Path, messages: Sequence[dict[str, Any]], **options: bool) -> str:
    """Messages as the chat template of the tokenizer in `folder` puts them. Raises `CheckpointError`."""
    try:
        return str(tokenizer.apply_chat_template(list(messages), tokenize=False, **options))
    except Exception as error:  # a template is a program of the checkpoint: whatever it raises is its fault
        raise CheckpointError(f"the chat template in {folder} cannot be rendered: {error}") from error


def _tokenize(tokenizer: Any, text: str) -> Prompt | None:
    """A rendered text cut at the image, or None where the image is not one token."""
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    image = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    if ids.count(image) != 1:
        return None
    place = ids.index(image)
    return Prompt(text, tuple(ids[:place]), tuple(ids[place + 1 :]), image)
