"""Training pictures of the embedded models: scenes of the drawn world, stored once, with three sets of captions.

    anonymous/     scenes, captioned by their relation without names          relsim-mini, the captioner
    descriptive/   scenes and portraits, captioned by what they show          relsim-mini-attributes
    both/          the same pictures, captioned by both in one sentence pair  the base

The three folders share one file of pixels. The last anonymous caption of each relation is kept out of all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relsim.models.pixels import Recipe
from relsim.training.crops import CropRow, CropWriter
from relsim.world.looks import Split
from relsim.world.relations import PORTRAIT
from relsim.world.scenes import Scene, draw, draw_scene, scenes

SEED = 20_261_122
_CHUNK = 64


@dataclass(frozen=True, slots=True)
class Picture:
    """One drawn scene and its captions."""

    image_id: str
    relation: str
    square: NDArray[np.uint8]
    anonymous: tuple[str, ...]
    descriptive: tuple[str, ...]


def draw_pictures(folder: Path, *, relations: int, portraits: int, side: int, workers: int = 2) -> None:
    """Draw `relations` scenes of the training split and `portraits` of large objects into `folder`."""
    recipe = Recipe.parse(f"crop{side}")
    both: list[CropRow] = []
    descriptive: list[CropRow] = []
    anonymous: list[CropRow] = []
    chunks = ((chunk, side) for chunk in _chunks(_scenes(relations, portraits)))
    with CropWriter(folder / "both", recipe) as writer, get_context("spawn").Pool(workers) as pool:
        for pictures in pool.imap(_draw, chunks):
            for picture in pictures:
                pair = tuple(
                    f"{picture.descriptive[number % len(picture.descriptive)]}. {text}"
                    for number, text in enumerate(picture.anonymous)
                )
                writer.append(picture.square, picture.image_id, pair, relation=picture.relation)
                row = CropRow(picture.image_id, pair, picture.relation, picture.relation)
                both.append(row)
                descriptive.append(replace(row, captions=picture.descriptive, group=None))
                anonymous.append(replace(row, captions=picture.anonymous))
        store = writer.publish()
    for name, rows in (("descriptive", descriptive), ("anonymous", anonymous)):
        with CropWriter(folder / name, recipe) as writer:
            os.link(store.folder / store.pixel_file, folder / name / store.pixel_file)
            writer.relabel(store, rows)


def _scenes(relations: int, portraits: int) -> Iterator[Scene]:
    """Portraits are spread evenly among the scenes."""
    row = scenes(Split.TRAIN, SEED)
    total = relations + portraits
    for index in range(total):
        if (index + 1) * portraits // total > index * portraits // total:
            rng = np.random.default_rng([SEED, 1, index])
            yield draw_scene(Split.TRAIN, rng, relation=PORTRAIT.name)
        else:
            yield next(row)


def _chunks(rows: Iterator[Scene]) -> Iterator[list[Scene]]:
    while chunk := list(islice(rows, _CHUNK)):
        yield chunk


def _draw(task: tuple[list[Scene], int]) -> list[Picture]:
    chunk, side = task
    pictures = []
    for scene in chunk:
        drawing = draw(scene, side)
        square = np.asarray(drawing.image)
        pictures.append(Picture(scene.image_id, scene.relation, square, scene.captions[:-1], drawing.descriptions))
    return pictures
