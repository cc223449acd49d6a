"""The story of the demo: each step with what it shows, the commands that do the same, and what came of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from relsim.demo.results import Result, Skipped
from relsim.demo.workshop import SHOWN, Workshop
from relsim.errors import MissingExtraError
from relsim.models.embedded import DEFAULT, DEFAULT_ATTRIBUTES, DEFAULT_CAPTIONER
from relsim.world.looks import Split

Command = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chapter:
    """A step that is about to be done. `name` is a word for links; commands are without the leading `relsim`."""

    number: int
    name: str
    title: str
    lead: str
    commands: tuple[Command, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """A step that is done."""

    chapter: Chapter
    result: Result
    seconds: float


@dataclass(frozen=True, slots=True)
class _Plan:
    """A step: its texts, and the methods that give its commands (once the step before is done) and its result."""

    name: str
    title: str
    lead: str
    commands: Callable[[], Sequence[Command]]
    work: Callable[[], Result]


def tell(workshop: Workshop, begins: Callable[[Chapter], None] = lambda _chapter: None) -> Iterator[Told]:
    """Do the steps one by one; `begins` is called before each.

    A step that needs an optional package which is not installed is `Skipped`.
    """
    for number, plan in enumerate(_plans(workshop), start=1):
        chapter = Chapter(number, plan.name, plan.title, plan.lead, tuple(plan.commands()))
        begins(chapter)
        started = time.monotonic()
        try:
            result = plan.work()
        except MissingExtraError as error:
            result = Skipped(str(error))
        yield Told(chapter, result, time.monotonic() - started)


def _plans(workshop: Workshop) -> tuple[_Plan, ...]:
    commands = _Commands(workshop)
    return (
        _Plan(
            "world",
            "Draw a world whose relations are known",
            "Every picture shows one relation (a ring, growth, a body cut open) by objects, colours, a ground and a "
            "style that have nothing to do with it. The networks have seen neither these objects nor these palettes.",
            commands.draw,
            workshop.draw,
        ),
        _Plan(
            "pairs",
            "Score three pairs",
            "A relational score asks whether two pictures work alike, an attribute score whether they look alike. The "
            "percentile tells how many unrelated pairs score lower.",
            commands.score,
            workshop.score,
        ),
        _Plan(
            "captions",
            "Put the logic into words",
            "An anonymous caption says what a picture has in common with others that work alike, with placeholders for "
            "what it shows.",
            commands.caption,
            workshop.caption,
        ),
        _Plan(
            "tables",
            "Embed the gallery along two axes",
            "A table keeps a vector for each picture, and what made it: vectors of different networks cannot be mixed.",
            commands.embed,
            workshop.embed,
        ),
        _Plan(
            "two-axes",
            "Same logic, different look",
            "One picture, asked for in three ways: by look, by relation, and by relation minus look.",
            commands.two_axes,
            workshop.search_two_axes,
        ),
        _Plan(
            "sentence",
            "Search by a sentence",
            "Captions and pictures share one space, so a sentence finds pictures. Training has not seen this one.",
            commands.sentence,
            workshop.search_sentence,
        ),
        _Plan(
            "triplets",
            "Measure it",
            "Which of two pictures is nearer to the anchor? In a conflict triplet one shares its relation, the other "
            "its look; in an aligned one the first shares both; in a control look says nothing. A metric of looks "
            "fails the first kind, a metric of relations passes all three.",
            commands.measure,
            workshop.measure,
        ),
    )


class _Commands:
    """The commands that do what the steps do. Checkpoints are named where the environment would name others."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._machine = tuple(word for name, value in workshop.machine.items() for word in (f"--{name}", value))
        named = os.environ.get("RELSIM_CHECKPOINT")
        self._relational: Command = ("--checkpoint", DEFAULT) if named else ()
        named = os.environ.get("RELSIM_CAPTIONER")
        self._captioner: Command = ("--checkpoint", DEFAULT_CAPTIONER) if named else ()
        self._looks: Command = ("--checkpoint", DEFAULT_ATTRIBUTES)
        self._manifest = str(workshop.world / "manifest.jsonl")

    def draw(self) -> list[Command]:
        size = self._workshop.size
        sizes = ("--count", str(size.scenes), "--triplets", str(size.triplets), "--seed", str(size.seed))
        return [("demo", "world", "--out", str(self._workshop.world), "--split", Split.OBJECTS.value, *sizes)]

    def score(self) -> list[Command]:
        paths = self._shown()
        pairs = [("score", paths[0], other, *self._relational, *self._machine) for other in paths[1:]]
        return [*pairs, ("score", *paths, *self._looks, *self._machine)]

    def caption(self) -> list[Command]:
        return [("caption", *self._shown(), "--greedy", *self._captioner, *self._machine)]

    def embed(self) -> list[Command]:
        tables = ((self._workshop.relation, self._relational), (self._workshop.look, self._looks))
        return [("embed", self._manifest, "--out", str(table), *model, *self._machine) for table, model in tables]

    def two_axes(self) -> list[Command]:
        query = self._workshop.example[0].image_id
        relation, look = str(self._workshop.relation), str(self._workshop.look)
        depth = ("--top-k", str(SHOWN))
        return [
            ("search", look, query, *depth),
            ("search", relation, query, *depth),
            ("search", relation, query, "--attributes", look, "--weight", "1", *depth),
        ]

    def sentence(self) -> list[Command]:
        return [("search", str(self._workshop.relation), self._workshop.sentence, "--top-k", str(SHOWN))]

    def measure(self) -> list[Command]:
        world = str(self._workshop.world)
        return [
            ("evaluate", "triplets", world, *self._relational, *self._machine),
            ("evaluate", "triplets", world, *self._looks, *self._machine),
            ("evaluate", "triplets", world, "--encoder", "descriptors"),
        ]

    def _shown(self) -> list[str]:
        return [str(picture.path) for picture in (*self._workshop.example, self._workshop.stranger)]
