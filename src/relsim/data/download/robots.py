"""`X-Robots-Tag`: what a server asks of programs that collect its images.

    X-Robots-Tag: noai, noimageai
    X-Robots-Tag: relsim: noindex, googlebot: nofollow

Directives before a name hold for everybody, those after it for the program of that name (the first word of our
User-Agent; upper and lower case are the same). Directives that have a value (`max-snippet: 20`) name nobody.
"""

from __future__ import annotations

from collections.abc import Iterable

FORBIDDING = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none"})
"""Directives after which an image is not kept."""

_WITH_VALUE = frozenset({"max-snippet", "max-image-preview", "max-video-preview", "unavailable_after"})
_EVERYBODY = "*"


def forbidden_by(values: Iterable[str], user_agent: str) -> str | None:
    """The first directive of these header values that forbids keeping the image, as it was sent, or None."""
    own = user_agent.partition("/")[0].strip().lower()
    for value in values:
        agent = _EVERYBODY
        for piece in value.split(","):
            name, colon, rest = piece.partition(":")
            name = name.strip().lower()
            if colon and name not in _WITH_VALUE:
                agent, name = name, rest.strip().lower()
            if name in FORBIDDING and agent in (_EVERYBODY, own):
                return piece.strip()
    return None
