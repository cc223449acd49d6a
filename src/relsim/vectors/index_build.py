"""Building an index of a table and measuring what it finds, on the table's own vectors."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from relsim.encoders.base import Vectors
from relsim.errors import TableError
from relsim.files import TEMPORARY_PREFIX
from relsim.vectors.blocks import Indices, Rows
from relsim.vectors.index_file import FOLDER, IndexFacts, NewerIndexError, Recall
from relsim.vectors.index_kinds import KINDS, OnRows
from relsim.vectors.index_runs import Run, Runs, indexed_parts
from relsim.vectors.index_search import VectorIndex, indexed_best
from relsim.vectors.publish import FolderLock, publish_hashed, system_errors
from relsim.vectors.shortlist import Scores
from relsim.vectors.topk import DotScorer, best, id_order
from relsim.vectors.view import TableView

K = 10
QUERIES = 256
WANTED_RECALL = 0.99
"""What a search by an index should find of the ten nearest; a setting that was not given is raised towards it."""

_DOUBLINGS = 3
_NEWER = 0.1


def build_index(
    table: TableView,
    kind: str = "hnsw",
    *,
    queries: int = QUERIES,
    seed: int = 0,
    on_rows: OnRows | None = None,
    **settings: int,
) -> VectorIndex:
    """Build an index of the table as it was opened, in place of one of the kind, and measure its recall@10.

    `settings` are those of the kind (`KINDS[kind].defaults`). The one that a search goes by, unless it is given, is
    doubled up to three times while the recall is below `WANTED_RECALL`. Rows are read in blocks where they lie.
    Searches go on meanwhile, with the index that was there. Raises `TableError` or `MissingExtraError`.
    """
    if kind not in KINDS:
        raise TableError(f"{kind!r} is no kind of index; known are {', '.join(KINDS)}")
    maker = KINDS[kind]
    if foreign := sorted(settings.keys() - maker.defaults.keys()):
        raise TableError(f"an index of the kind {kind} has no {', '.join(foreign)}, but {', '.join(maker.defaults)}")
    if bad := [name for name, value in settings.items() if value < 1]:
        raise TableError(f"{', '.join(bad)} of an index must be at least 1")
    if len(table) < 2 or queries < 1:
        raise TableError(f"{table.path} has {len(table)} rows and {queries} queries; an index needs 2 rows and 1 query")
    made_by = maker.made_by()
    parameters = {**maker.defaults, **settings}
    rows = Rows(table.blocks, table.dimension)
    folder = table.path / FOLDER
    with system_errors("make", folder):
        folder.mkdir(exist_ok=True)
    lock = FolderLock(folder)
    lock.acquire()
    try:
        _clean(folder)
        started = time.monotonic()

        def write(path: Path) -> None:
            maker.write(path, rows, parameters, on_rows or _silent)

        file, size, digest = publish_hashed(folder, kind, maker.suffix, write)
        seconds = round(time.monotonic() - started, 3)
        facts = IndexFacts(
            kind=kind,
            file=file,
            bytes=size,
            sha256=digest,
            dimension=table.dimension,
            fingerprint=table.fingerprint.to_dict(),
            parts=indexed_parts(table),
            parameters=parameters,
            given=tuple(sorted(settings)),
            recall=Recall(K, queries, seed, 0.0, 0.0),  # until it is measured
            seconds=seconds,
            made_by=made_by,
        )
        sample = _Sample.draw(table, rows, queries, seed)
        doublings = 0 if maker.searching in settings else _DOUBLINGS
        index = _measured(facts, folder / file, rows, sample, doublings)
        index.facts.save(folder)
        _clean(folder)
    finally:
        lock.release()
    return index


def current_index(table: TableView, kind: str) -> VectorIndex | None:
    """The table's index of that kind if it can be used and holds for nine rows of ten at least, else None.

    To search one row of ten exactly takes a moment, where building takes hours.
    """
    try:
        found = VectorIndex.open(table, kind)
    except TableError:
        return None
    newer = len(table) - found.covered
    return None if found.out_of_date or newer > _NEWER * len(table) else found


def settings_there(table: TableView, kind: str) -> dict[str, int]:
    """How the index of that kind was asked for, as arguments of `build_index`; of none, or a damaged one, nothing."""
    try:
        facts = IndexFacts.load(table.path / FOLDER / f"{kind}.json")
    except TableError:
        return {}
    asked = {"seed": facts.recall.seed, **{name: facts.parameters[name] for name in facts.given}}
    # As many queries as rows may have been meant to be more.
    return asked if facts.recall.queries == facts.rows else {"queries": facts.recall.queries, **asked}


@dataclass(frozen=True, slots=True)
class _Sample:
    """Rows that are asked for, and the score of the k-th nearest other of each, by the exact search."""

    chosen: Indices  # (Q,)
    vectors: Vectors  # (Q, D)
    kth: Scores  # (Q, 1)
    k: int
    seed: int
    ids: Sequence[str]  # of all rows

    @classmethod
    def draw(cls, table: TableView, rows: Rows, queries: int, seed: int) -> _Sample:
        chosen = np.sort(np.random.default_rng(seed).permutation(len(rows))[:queries])
        vectors = rows.take(chosen)
        k = min(K, len(rows) - 1)
        exact = best(DotScorer(vectors, rows), rows, k, order=id_order(table.ids), excluded=chosen).scores
        return cls(chosen, vectors, exact[:, -1:], k, seed, table.ids)

    def recall(self, index: VectorIndex, rows: Rows) -> Recall:
        """See `Recall`."""
        found = indexed_best(index, self.vectors, rows, self.k, ids=self.ids, excluded=self.chosen).scores
        shares = (found >= self.kth).sum(axis=1) / self.k
        return Recall(
            self.k, len(self.chosen), self.seed, round(float(shares.mean()), 6), round(float(shares.min()), 6)
        )


def _measured(facts: IndexFacts, path: Path, rows: Rows, sample: _Sample, doublings: int) -> VectorIndex:
    """The index in the file with its recall, the setting of its search doubled so often at most."""
    maker, runs = KINDS[facts.kind], Runs([Run(0, 0, len(rows))])
    while True:
        structure = maker.open(path, len(rows), facts.dimension, facts.parameters)
        facts = replace(facts, recall=sample.recall(VectorIndex(facts, structure, runs), rows))
        wider = {**facts.parameters, maker.searching: 2 * facts.parameters[maker.searching]}
        # A shortlist of many of all rows would be no shortlist: see `VectorIndex.path`.
        if doublings == 0 or facts.recall.value >= WANTED_RECALL or 4 * wider["shortlist"] > len(rows):
            return VectorIndex(facts, structure, runs)
        facts, doublings = replace(facts, parameters=wider), doublings - 1


def _clean(folder: Path) -> None:
    """Remove what a killed build left, and files of which no document tells, or a damaged one."""
    with system_errors("clean", folder):
        known, kinds = set(), set(KINDS)
        for path in folder.glob("*.json"):
            try:
                known.add(IndexFacts.load(path).file)
            except NewerIndexError:
                kinds.discard(path.stem)  # another relsim knows which files are its own
            except TableError:
                pass
        own = tuple(f"{kind}-" for kind in kinds)
        for path in folder.iterdir():
            left_over = path.name.startswith(own) and path.name not in known
            if left_over or path.name.startswith(TEMPORARY_PREFIX):
                path.unlink()


def _silent(_rows: int) -> None:
    pass
