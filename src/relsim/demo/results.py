"""What the steps of the demo find: plain values that the terminal and the report show in their own ways."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from relsim.evaluation.triplets import TripletReport


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of the gallery and the truth about it."""

    image_id: str
    path: Path
    relation: str
    description: str

    @property
    def logic(self) -> str:
        """The relation in words."""
        return self.relation.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Drawn:
    """The gallery: some of its pictures, each of another relation, and how many there are of what."""

    some: tuple[Picture, ...]
    pictures: int
    relations: int
    triplets: int


@dataclass(frozen=True, slots=True)
class PairScore:
    """Two pictures, what they have in common, and how alike they are on either axis.

    `percentile` is the share, in percent, of unrelated pairs with a lower relational score; None where the checkpoint
    carries no null distribution.
    """

    about: str
    first: Picture
    second: Picture
    relational: float
    percentile: float | None
    attribute: float


@dataclass(frozen=True, slots=True)
class Scored:
    """Pairs of pictures with their scores."""

    pairs: tuple[PairScore, ...]


@dataclass(frozen=True, slots=True)
class Captioned:
    """Pictures with the anonymous captions that were written for them."""

    captions: tuple[tuple[Picture, str], ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A vector table: where it is, how many rows it has, how fast it was filled, and by which checkpoint."""

    path: Path
    checkpoint: str
    rows: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Embedded:
    """The tables of the gallery."""

    tables: tuple[Table, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """A picture that a search found; `relational` and `attribute` are its similarities where that axis was asked."""

    picture: Picture
    relational: float | None = None
    attribute: float | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """The best matches of one search, best first."""

    title: str
    matches: tuple[Match, ...]


@dataclass(frozen=True, slots=True)
class Searched:
    """A query (a picture, or a sentence) and what was found for it; `relation` is the one that is right."""

    query: Picture | str
    relation: str
    rankings: tuple[Ranking, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """Triplets answered by several encoders, and one triplet to look at."""

    example: tuple[Picture, Picture, Picture]
    reports: tuple[tuple[str, TripletReport], ...]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A step that this installation cannot do, and why."""

    reason: str


Result: TypeAlias = Drawn | Scored | Captioned | Embedded | Searched | Measured | Skipped
