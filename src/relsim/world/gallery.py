"""Scenes on disk: a folder of pictures with a manifest in the published form, and contact sheets to look at.

    images/<image_hash>.png      the pictures
    manifest.jsonl               one row per picture: the published fields, captions, description, truth
    triplets.jsonl               conflict, aligned and control triplets over the same pictures, where asked for

Everything is drawn by worker processes; a folder appears whole or not at all.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from relsim.errors import SourceError
from relsim.files import flush
from relsim.world.looks import Split
from relsim.world.relations import RELATIONS
from relsim.world.scenes import Scene, draw, scenes
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


def write_gallery(  # noqa: PLR0913 - what to draw, then how
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

    Raises `SourceError` when the folder exists already.
    """
    if folder.exists():
        raise SourceError(f"{folder} exists already; choose another name or remove it first")
    rows = list(islice(scenes(split, seed), count))
    lines: list[dict[str, Any]] = []
    for kind in KINDS:
        for triplet in scene_triplets(kind, split, triplets, seed) if triplets else ():
            three = (triplet.anchor, triplet.positive, triplet.negative)
            rows.extend(three)
            names = dict(zip(("anchor", "positive", "negative"), (scene.image_id for scene in three), strict=True))
            lines.append({**names, "kind": kind, "family": triplet.anchor.family, "relation": triplet.anchor.relation})
    unique = list({scene.image_id: scene for scene in rows}.values())
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        (draft / IMAGES).mkdir()
        _write_lines(draft / MANIFEST, drawn(unique, draft / IMAGES, size=size, workers=workers))
        if lines:
            _write_lines(draft / TRIPLETS, lines)
        draft.chmod(0o755)
        draft.rename(folder)
        flush(folder.parent)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return Gallery(folder, len(unique), len(lines))


def drawn(
    rows: Sequence[Scene], images: Path, *, size: int = 224, workers: int | None = None
) -> Iterator[dict[str, Any]]:
    """Draw scenes into a folder of PNG files and give their manifest rows, in order."""
    chunks = [(rows[start : start + _CHUNK], images, size) for start in range(0, len(rows), _CHUNK)]
    workers = min(workers or os.cpu_count() or 1, len(chunks))
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
    import numpy as np

    from relsim.world.scenes import draw_scene

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


def _draw_chunk(task: tuple[Sequence[Scene], Path, int]) -> list[dict[str, Any]]:
    rows, images, size = task
    records = []
    for scene in rows:
        drawing = draw(scene, size)
        drawing.image.save(images / f"{scene.image_id}.png", compress_level=1)
        records.append(drawing.record())
    return records


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    flush(path)
