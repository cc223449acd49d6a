"""What is asked: messages of text and pictures, and the key under which the answer is kept.

Pictures go as data URLs of JPEG, or of PNG where it matters, decoded as every image is (see `relsim.data.images`) and
scaled down where their longer side is beyond a cap. The key does not depend on the JPEG: it is made of the bytes of the
image files and the cap, so that nothing need be decoded to find a kept answer.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

from PIL import Image

from relsim.data.images import decode_image

MAX_SIDE = 768
"""The default cap of a picture's longer side, in pixels."""

_JPEG = {"quality": 92, "subsampling": 0}


@dataclass(frozen=True)
class Picture:
    """An image file's bytes, to be sent with its longer side at most `max_side` pixels; as PNG if `lossless`."""

    data: bytes
    max_side: int = MAX_SIDE
    lossless: bool = False

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the bytes, 64 hex digits."""
        return hashlib.sha256(self.data).hexdigest()

    def image(self) -> Image.Image:
        """The picture within the cap, as RGB. Raises `ImageError` for what cannot be decoded."""
        image = decode_image(self.data)
        if max(image.size) > self.max_side:
            image.thumbnail((self.max_side, self.max_side), Image.Resampling.LANCZOS, reducing_gap=None)
        return image

    def data_url(self) -> str:
        """The picture as it is sent: `data:image/jpeg;base64,…`. Raises `ImageError` for what cannot be decoded."""
        file = io.BytesIO()
        if self.lossless:
            self.image().save(file, format="PNG")
        else:
            self.image().save(file, format="JPEG", **_JPEG)
        kind = "png" if self.lossless else "jpeg"
        return f"data:image/{kind};base64," + base64.b64encode(file.getvalue()).decode("ascii")

    def described(self) -> dict[str, Any]:
        """The picture as a request's record has it."""
        described: dict[str, Any] = {"sha256": self.digest, "max_side": self.max_side}
        return described | {"lossless": True} if self.lossless else described


Part: TypeAlias = str | Picture


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. Parts are sent in their order."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """Messages, asked for the `repeat`-th time more: repeats are sent alike, and each has an answer of its own."""

    messages: tuple[Message, ...]
    repeat: int = 0


def as_question(asked: Question | Sequence[Message]) -> Question:
    """Messages as a question that is not repeated; a question as it is."""
    return asked if isinstance(asked, Question) else Question(tuple(asked))


def as_sent(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages as chat completions take them; one without pictures has plain text. Raises `ImageError`."""
    return [{"role": message.role, "content": _content(message)} for message in messages]


def describe(asked: Question | Sequence[Message], model: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The request as it is recorded: pictures as `{"sha256": …, "max_side": …}`; `repeat` where it is one."""
    question = as_question(asked)
    described: dict[str, Any] = {
        "model": model,
        "messages": [
            {
                "role": message.role,
                "parts": [part if isinstance(part, str) else part.described() for part in message.parts],
            }
            for message in question.messages
        ],
        "settings": dict(settings),
    }
    return described | {"repeat": question.repeat} if question.repeat else described


def request_key(description: Mapping[str, Any]) -> str:
    """SHA-256 of a request's description as canonical JSON, 64 hex digits."""
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _content(message: Message) -> str | list[dict[str, Any]]:
    if all(isinstance(part, str) for part in message.parts):
        return "\n".join(part for part in message.parts if isinstance(part, str))
    return [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "image_url", "image_url": {"url": part.data_url()}}
        for part in message.parts
    ]
