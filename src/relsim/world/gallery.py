"""Scenes on disk: a folder of pictures with a manifest in the published form, and contact sheets to look at.

    images/<image_hash>.png      the pictures
    manifest.jsonl               one row per picture: the published fields, captions, description, truth
    triplets.jsonl               conflict, aligned and control triplets over the same pictures, where asked for

A row's `url_link` is empty, since the pictures come from nowhere, and its `look` is equal for pictures that were drawn
with the same look. Everything is drawn by worker processes; a folder appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from relsim.environment import usable_cores
from relsim.errors import SourceError
from relsim.files import drafted_folder, flush, temporary_beside
from relsim.world.looks import Split
from relsim.world.relations import RELATIONS
from relsim.world.scenes import Scene, draw, draw_scene, scenes
from relsim.world.triplets import KINDS, scene_triplets

IMAGES, MANIFEST, TRIPLETS = "images", "manifest.jsonl", "triplets.jsonl"
_CHUNK = 32  # scenes handed to a worker at a time


@dataclass(frozen=True, slots=True)
class Gallery:
    """What was written."""

    folder: Path
    scenes: int
    triplets: int

    @property
    def manifest(self) -> Path:
        """Its manifest."""
        return self.folder / MANIFEST


def write_gallery(
    folder: Path,
    *,
    split: Split = Split.VALIDATION,
    count: int = 200,
    triplets: int = 0,
    seed: int = 0,
    size: int = 224,
    workers: int | None = None,
) -> Gallery:
    """Draw `count` scenes of a split, and `triplets` triplets of each kind, into a new folder.

    `size` is the side of a picture in pixels. Raises `SourceError` where the folder exists already, where nothing is
    asked for, and where the folder cannot be written.
    """
    if folder.exists():
        raise SourceError(f"{folder} exists already; choose another name or remove it first")
    if count + triplets < 1:
        raise SourceError("a gallery of no scenes and no triplets holds nothing; ask for one of either at least")
    rows = list(islice(scenes(split, seed), count))
    lines: list[dict[str, Any]] = []
    for kind in KINDS:
        for triplet in scene_triplets(kind, split, triplets, seed):
            three = (triplet.anchor, triplet.positive, triplet.negative)
            rows.extend(three)
            names = dict(zip(("anchor", "positive", "negative"), (scene.image_id for scene in three), strict=True))
            lines.append({**names, "kind": kind, "family": triplet.anchor.family, "relation": triplet.anchor.relation})
    unique = list({scene.image_id: scene for scene in rows}.values())
    try:
        with drafted_folder(folder) as draft:
            (draft / IMAGES).mkdir()
            _write_lines(draft / MANIFEST, drawn(unique, draft / IMAGES, size=size, workers=workers))
            if lines:
                _write_lines(draft / TRIPLETS, lines)
    except OSError as error:
        raise SourceError(f"the gallery cannot be written to {folder}: {error.strerror or error}") from error
    return Gallery(folder, len(unique), len(lines))


def drawn(
    rows: Sequence[Scene], images: Path, *, size: int = 224, workers: int | None = None
) -> Iterator[dict[str, Any]]:
    """Draw scenes into a folder of PNG files and give their manifest rows, in order."""
    chunks = [(rows[start : start + _CHUNK], images, size) for start in range(0, len(rows), _CHUNK)]
    workers = min(workers or usable_cores(), len(chunks))
    if workers < 2:
        for chunk in chunks:
            yield from _draw_chunk(chunk)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for records in pool.map(_draw_chunk, chunks):
            yield from records


def contact_sheet(
    names: Iterable[str] | None = None, *, columns: int = 8, size: int = 128, split: Split = Split.TRAIN, seed: int = 0
) -> Image.Image:
    """One row per relation: its name, then `columns` random scenes."""
    rows = list(names or RELATIONS)
    label, gap = 150, 4
    sheet = Image.new("RGB", (label + columns * (size + gap), len(rows) * (size + gap)), "white")
    pen = ImageDraw.Draw(sheet)
    for row, name in enumerate(rows):
        top = row * (size + gap)
        pen.text((6, top + size // 2 - 12), RELATIONS[name].family, fill=(120, 120, 120))
        pen.text((6, top + size // 2), name.replace("_", " "), fill=(20, 20, 20))
        for column in range(columns):
            rng = np.random.default_rng([seed, row, column])
            picture = draw(draw_scene(split, rng, relation=name), size).image
            sheet.paste(picture, (label + column * (size + gap), top))
    return sheet


def write_sheet(path: Path, **options: Any) -> Image.Image:
    """Draw a contact sheet, with the options of `contact_sheet`, into a file. Raises `SourceError`."""
    kinds = Image.registered_extensions()
    if kinds.get(path.suffix.lower()) not in Image.SAVE:
        raise SourceError(f"{path}: a sheet is written as .png, .jpg or .webp")
    sheet = contact_sheet(**options)
    try:
        with temporary_beside(path) as temporary:
            sheet.save(temporary, format=kinds[path.suffix.lower()])
            flush(temporary)
            temporary.replace(path)
    except OSError as error:
        raise SourceError(f"the sheet cannot be written to {path}: {error.strerror or error}") from error
    return sheet


def look_of(scene: Scene) -> str:
    """A name for a scene's look: 12 hexadecimal digits, equal for equal looks."""
    text = json.dumps(scene.look.as_json(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _draw_chunk(task: tuple[Sequence[Scene], Path, int]) -> list[dict[str, Any]]:
    rows, images, size = task
    records = []
    for scene in rows:
        drawing = draw(scene, size)
        drawing.image.save(images / f"{scene.image_id}.png", compress_level=1)
        records.append({**drawing.record(), "look": look_of(scene)})
    return records


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    flush(path)
