"""The first images of a collection as a collection of their own, for a site that cannot hold all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from relsim.vectors.table import VectorTable
from relsim.web.library import Library


@contextmanager
def first_images(library: Library, most: int) -> Iterator[Library]:
    """The library itself if it has no more images than that, else one of its first images, as long as the block lasts.

    Raises `TableError` where the tables of it cannot be written to the temporary folder.
    """
    if len(library) <= most:
        yield library
        return
    ids = library.ids[:most]
    with TemporaryDirectory(prefix="relsim-site-") as folder:
        relation = _copied(library.relation, ids, Path(folder) / "relation")
        look = None if library.look is None else _copied(library.look, ids, Path(folder) / "look")
        yield Library(relation, look, name=library.name)


def _copied(table: VectorTable, ids: Sequence[str], folder: Path) -> VectorTable:
    """A table of these images alone, with what is known of each."""
    vectors = np.stack([table.vector(image_id) for image_id in ids])
    with VectorTable.create(folder, table.fingerprint, table.dimension, origin=table.origin) as copy:
        copy.append("first", table.records([table.positions[image_id] for image_id in ids]), vectors)
    return VectorTable.open(folder)
