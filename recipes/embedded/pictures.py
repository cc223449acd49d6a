"""Training pictures of the embedded models: scenes of the drawn world, stored once, with several sets of captions.

    anonymous/     scenes, captioned by their relation without names            relsim-mini, the captioner
    descriptive/   the same scenes, captioned by what they show                 relsim-mini-attributes
    both/          the same scenes, captioned in both ways in one text,         what the base learns to say
                   and after them portraits: large things in no relation

The folders share one file of pixels. The last anonymous caption of each relation is kept out of all of them. What
a scene shows is said by whole descriptions and, as often, by the names of its main things alone: in a whole description
ground and style tell pictures apart long before the kinds of things do.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relsim.models.pixels import Recipe
from relsim.training.crops import CropRow, CropWriter
from relsim.world.descriptions import NAMED, name_query
from relsim.world.looks import Split
from relsim.world.relations import PORTRAIT
from relsim.world.relations.composed import draw_name
from relsim.world.scenes import Scene, draw, draw_scene, scenes

_CHUNK = 64


@dataclass(frozen=True, slots=True)
class Picture:
    """One drawn scene and its captions."""

    image_id: str
    relation: str
    square: NDArray[np.uint8]
    anonymous: tuple[str, ...]
    descriptions: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def both(self) -> tuple[str, ...]:
        """Texts that state the relation without names and, in the next sentence, describe."""
        return tuple(
            f"{text}. {self.descriptions[number % len(self.descriptions)]}"
            for number, text in enumerate(self.anonymous)
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """How many pictures of each kind a folder holds, in this order, and the seed of all of them."""

    seed: int
    relations: int
    portraits: int
    composed: int = 0  # scenes of composed relations; they stand before the portraits


def draw_pictures(folder: Path, plan: Plan, *, side: int, workers: int = 2) -> None:
    """Draw scenes of the training split, composed ones, and portraits of large objects into `folder`."""
    recipe = Recipe.parse(f"crop{side}")
    rows: dict[str, list[CropRow]] = {"anonymous": [], "descriptive": []}
    with get_context("spawn").Pool(workers) as pool, CropWriter(folder / "both", recipe) as writer:
        related = chain(islice(scenes(Split.TRAIN, plan.seed), plan.relations), _composed(plan.composed, plan.seed))
        for picture in _drawn(pool, related, side):
            writer.append(picture.square, picture.image_id, picture.both, relation=picture.relation)
            row = CropRow(picture.image_id, picture.anonymous, picture.relation, picture.relation)
            rows["anonymous"].append(row)
            rows["descriptive"].append(replace(row, captions=(picture.descriptions[0], *picture.names), group=None))
        for picture in _drawn(pool, _portraits(plan.portraits, plan.seed), side):
            writer.append(picture.square, picture.image_id, picture.both, relation=picture.relation)
        store = writer.publish()
    for name, labelled in rows.items():
        with CropWriter(folder / name, recipe) as writer:
            os.link(store.folder / store.pixel_file, folder / name / store.pixel_file)
            writer.relabel(store, labelled)


def draw_validation(folder: Path, *, count: int, side: int, seed: int, workers: int = 2) -> None:
    """Draw `count` scenes of the validation split, with their anonymous captions."""
    with get_context("spawn").Pool(workers) as pool, CropWriter(folder, Recipe.parse(f"crop{side}")) as writer:
        for picture in _drawn(pool, islice(scenes(Split.VALIDATION, seed), count), side):
            relation = picture.relation
            writer.append(picture.square, picture.image_id, picture.anonymous, relation=relation, group=relation)
        writer.publish()


def _composed(count: int, seed: int) -> Iterator[Scene]:
    for index in range(count):
        rng = np.random.default_rng([seed, 2, index])
        yield draw_scene(Split.TRAIN, rng, relation=draw_name(rng))


def _portraits(count: int, seed: int) -> Iterator[Scene]:
    for index in range(count):
        yield draw_scene(Split.TRAIN, np.random.default_rng([seed, 1, index]), relation=PORTRAIT.name)


def _drawn(pool: Pool, rows: Iterator[Scene], side: int) -> Iterator[Picture]:
    chunks = iter(lambda: list(islice(rows, _CHUNK)), [])
    for pictures in pool.imap(_draw, ((chunk, side) for chunk in chunks)):
        yield from pictures


def _draw(task: tuple[list[Scene], int]) -> list[Picture]:
    chunk, side = task
    pictures = []
    for scene in chunk:
        drawing = draw(scene, side)
        names = [name_query(kind, colour) for kind, colour, _ in drawing.sight.things[:NAMED]]
        pictures.append(
            Picture(
                image_id=scene.image_id,
                relation=scene.relation,
                square=np.asarray(drawing.image),
                anonymous=scene.captions[:-1],
                descriptions=drawing.descriptions,
                names=(*names[:1], *names),  # the main thing twice as often
            )
        )
    return pictures
