"""What a judge is asked about two images.

`published` asks what the published judge asks: a number from 0 to 10 for the logic that two images share, whatever they
look like and whatever they show, after the same system message and before the two pictures. It is worded for this
project after the paper; the released code's own words can be given as a file. `strict` asks for JSON with a reason.

No prompt names a method: a judge sees two pictures and nothing of how they were found.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relsim.data.identity import printable
from relsim.endpoint.messages import Message, Picture
from relsim.errors import SourceError

SYSTEM = "You are a helpful assistant."

_QUESTION = """\
You see two images. Judge whether they share one underlying logic, so that they make an analogy: the same relations \
between their parts, the same function, process or idea.

How the images look must not count: not their colours, shapes, style or layout. What they show must not count either: \
two images of the same object or the same kind of object score low unless they share the logic. Two images with \
nothing in common to the eye score high if they do. An example: the inside of a peach (skin, flesh, stone) and the \
inside of the Earth (crust, mantle, core) follow the same logic."""

PUBLISHED = f"""\
{_QUESTION}

Give one number from 0 to 10. 0 means that no logic is shared, 10 that it is entirely the same.

Answer with the number alone."""

STRICT = f"""\
{_QUESTION}

Give a score from 0 to 10. 0 means that no logic is shared, 10 that it is entirely the same.

Answer with one JSON object and nothing else, of this form:
{{"reason": "<one sentence on the logic that is shared or missing>", "score": <a number from 0 to 10>}}"""


@dataclass(frozen=True, slots=True)
class JudgePrompt:
    """A named text, and whether the server is asked for JSON (`response_format`)."""

    name: str
    text: str
    json: bool = False

    @property
    def digest(self) -> str:
        """SHA-256 of system message and text, first 16 hex digits."""
        return hashlib.sha256(f"{SYSTEM}\n{self.text}".encode()).hexdigest()[:16]

    @property
    def settings(self) -> dict[str, Any]:
        """What it adds to a request."""
        return {"response_format": {"type": "json_object"}} if self.json else {}

    def messages(self, first: Picture, second: Picture) -> tuple[Message, ...]:
        """The question about two pictures, in that order."""
        return Message("system", (SYSTEM,)), Message("user", (self.text, first, second))


PROMPTS = {"published": JudgePrompt("published", PUBLISHED), "strict": JudgePrompt("strict", STRICT, json=True)}


def prompt_of_file(path: Path) -> JudgePrompt:
    """A prompt of one's own, named after its file; its answers are read by the same grammar. Raises `SourceError`."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not UTF-8"
        raise SourceError(f"the prompt {printable(str(path))} cannot be read: {reason.lower()}") from error
    if not text:
        raise SourceError(f"the prompt {printable(str(path))} is empty")
    return JudgePrompt(printable(path.name), text)
