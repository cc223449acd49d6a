"""The drawn world as tasks of MTEB: pictures find pictures of their relation, anonymous captions find pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from relsim.data.dataset import ImageDataset
from relsim.world.gallery import MANIFEST, write_gallery
from relsim.world.looks import Split

if TYPE_CHECKING:
    from mteb.abstasks.retrieval import AbsTaskRetrieval


def world_tasks(
    folder: Path, *, split: Split = Split.VALIDATION, count: int = 1_000, seed: int = 0, workers: int | None = None
) -> list[AbsTaskRetrieval]:
    """Both tasks (see `relsim.evaluation.mteb_tasks`) of `count` scenes, which are drawn into `folder` if it is new.

    Raises `SourceError` for a folder that cannot be drawn into, `MissingExtraError` without mteb.
    """
    from relsim.evaluation.mteb_tasks import collection_tasks

    if not (folder / MANIFEST).exists():
        write_gallery(folder, split=split, count=count, seed=seed, workers=workers)
    records = ImageDataset.open([folder / MANIFEST]).records
    return collection_tasks(
        records,
        f"DrawnWorld{split.value.title().replace('_', '').replace('-', '')}",
        description="Schematic pictures of relations among drawn objects; looks do not tell the relation.",
    )
