"""What a relation is: a structure, the ways to draw it, and sentences for it that name nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from relsim.world.stage import Stage

Layout = Callable[[Stage], None]
"""Draws one way that a relation can look."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A structure that scenes share, whatever they show.

    `captions` are at least six anonymous captions with placeholders in braces, each saying the same; the last is never
    used in training, so that a search by it meets a new sentence. `turn` is how far, in degrees, a scene may be turned
    to either side and still show the relation.
    """

    name: str
    family: str
    captions: tuple[str, ...]
    layouts: tuple[Layout, ...]
    turn: float = 14.0
