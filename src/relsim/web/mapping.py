"""A map of a collection: pictures that work alike lie together on a plane, in groups that bear captions.

Vectors are turned to their 50 main directions (PCA) and laid out by t-SNE (L. van der Maaten and G. Hinton, JMLR 9,
2008). Of a large collection a seeded sample is laid out so; every other picture lies among those of the sample that are
nearest to it. Groups are those of k-means on the vectors themselves. All of it follows from the vectors and a seed, so
a map is kept and used again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relsim._version import __version__
from relsim.captions.anonymity import check
from relsim.data.shuffling import permutation
from relsim.encoders.base import Vectors
from relsim.environment import usable_cores
from relsim.files import flush, temporary_beside
from relsim.web.library import Library

logger = logging.getLogger(__name__)

SCHEMA = "relsim.map/1"
LAID_OUT = 20_000
"""Pictures that t-SNE places; it takes minutes for these and would take hours for a hundred thousand."""
_DIRECTIONS, _PERPLEXITY, _NEAREST = 50, 30.0, 5
_FEWEST_GROUPS, _MOST_GROUPS, _PER_GROUP = 2, 24, 2
_TIES = 25
_SAMPLE, _AT_ONCE, _DIGITS = 0, 4_096, 4
_EDGE = 0.5  # per cent of the pictures that may lie so far out that they stand at the edge

STEPS = ("reading the vectors", "finding groups", "laying out", "placing the rest", "finding captions")
Watch = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Group:
    """Pictures that belong together: how many, and the caption nearest to their middle, if there is any.

    `nearest` are the ids of the pictures nearest to the middle, the nearest first; (x, y) is the place of the nearest.
    """

    label: str | None
    size: int
    x: float
    y: float
    nearest: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Map:
    """Places (x, y), 0 to 1, and group of each picture, in the order of the collection; groups by size."""

    ids: tuple[str, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]
    group: tuple[int, ...]
    groups: tuple[Group, ...]

    def to_json(self) -> dict[str, Any]:
        """As the document `relsim.map/1`."""
        return {"schema": SCHEMA, **asdict(self)}


def make_map(
    ids: Sequence[str],
    vectors: Vectors,
    captions: Sequence[str | None],
    *,
    laid_out: int = LAID_OUT,
    seed: int = 0,
    watch: Watch = lambda _: None,
) -> Map:
    """The map of pictures with vectors (N, D) of unit length. `watch` is told which of `STEPS` begins."""
    watch(0)
    rows = np.ascontiguousarray(vectors, np.float32)
    drawn = np.sort(permutation(seed, _SAMPLE, len(rows))[:laid_out])
    watch(1)
    group, middles = _groups(rows, rows[drawn], seed)
    watch(2)
    places = np.empty((len(rows), 2))
    places[drawn] = _laid_out(rows[drawn], seed)
    watch(3)
    rest = np.setdiff1d(np.arange(len(rows)), drawn)
    places[rest] = _among(rows[rest], rows[drawn], places[drawn])
    places = np.round(_within(places), _DIGITS)
    watch(4)
    told = _told(ids, rows, captions, group, middles, places)
    return Map(tuple(ids), tuple(places[:, 0].tolist()), tuple(places[:, 1].tolist()), tuple(group.tolist()), told)


def _groups(rows: Vectors, sample: Vectors, seed: int) -> tuple[NDArray[np.int64], Vectors]:
    """The group (N,) of each row, the largest is 0, and the means (K, D) of those of a sample. Each has a member."""
    from sklearn.cluster import KMeans  # ships no types

    different = len(np.unique(sample, axis=0))
    wanted = min(_MOST_GROUPS, max(_FEWEST_GROUPS, round((len(rows) / _PER_GROUP) ** 0.5)), different)
    found = KMeans(wanted, n_init=4, random_state=seed).fit(sample)
    group = found.predict(rows)
    order = np.argsort(-np.bincount(group, minlength=wanted), kind="stable")
    return np.argsort(order)[group].astype(np.int64), found.cluster_centers_[order]


def _laid_out(rows: Vectors, seed: int) -> NDArray[np.float64]:
    """Places (N, 2) in which neighbours are those of the rows."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    few = min(_DIRECTIONS, len(rows) - 1, rows.shape[1])
    if few < 2 or not np.any(rows != rows[0]):
        return np.column_stack([np.arange(len(rows), dtype=np.float64), np.zeros(len(rows))])
    main = PCA(few, random_state=seed).fit_transform(rows)
    start = main[:, :2] / max(main[:, 0].std(), 1e-12) * 1e-4
    perplexity = min(_PERPLEXITY, (len(rows) - 1) / 3)
    model = TSNE(perplexity=perplexity, init=start.astype(np.float32), random_state=seed)
    return np.asarray(model.fit_transform(main), np.float64)


def _among(rest: Vectors, rows: Vectors, places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places of further rows: the mean of those of the nearest that have one, by similarity."""
    found = np.empty((len(rest), 2))
    nearest = min(_NEAREST, len(rows))
    for start in range(0, len(rest), _AT_ONCE):
        alike = rest[start : start + _AT_ONCE] @ rows.T
        best = np.argpartition(-alike, nearest - 1, axis=1)[:, :nearest]
        weights = np.exp(10 * np.take_along_axis(alike, best, 1).astype(np.float64))
        found[start : start + _AT_ONCE] = (places[best] * weights[..., None]).sum(1) / weights.sum(1)[:, None]
    return found


def _within(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same from 0 to 1 with one scale for both directions; who lies far out stands at the edge."""
    low, high = np.percentile(places, [_EDGE, 100 - _EDGE], axis=0)
    size = max(float((high - low).max()), 1e-12)
    fitted: NDArray[np.float64] = np.clip((places - (low + high) / 2) / (1.04 * size) + 0.5, 0, 1)
    return fitted


def _told(
    ids: Sequence[str],
    rows: Vectors,
    captions: Sequence[str | None],
    group: NDArray[np.int64],
    middles: Vectors,
    places: NDArray[np.float64],
) -> tuple[Group, ...]:
    """What is told of each group. No two have the same caption, as far as there are enough."""
    taken: set[str] = set()
    told = []
    for number, middle in enumerate(middles):
        members = np.flatnonzero(group == number)
        order = members[np.argsort(-(rows[members] @ middle), kind="stable")]
        near = (captions[row] for row in order[: _TIES * _TIES])
        known = [text for text in near if text and check(text).ok]
        label = next((text for text in known if text not in taken), known[0] if known else None)
        taken.add(label or "")
        x, y = places[order[0]].tolist()
        told.append(Group(label, len(members), x, y, tuple(ids[row] for row in order[:_TIES])))
    return tuple(told)


class MapMaker:
    """Makes the map of a library when it is first asked for, in a thread, and keeps it in a folder."""

    def __init__(self, library: Library, folder: Path) -> None:
        self._library, self._folder = library, folder
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._began = 0.0
        self.step = 0
        self.document: bytes | None = None
        self.failure: str | None = None

    @property
    def seconds(self) -> float:
        """Since the making began."""
        return time.monotonic() - self._began

    def ask(self) -> bytes | None:
        """The document, or None while it is made; the first who asks starts the making."""
        with self._lock:
            if self.document is None and self._thread is None:
                self._began = time.monotonic()
                # It ends with the process: nobody waits for a map at Ctrl-C.
                self._thread = threading.Thread(target=self._run, name="map", daemon=True)
                self._thread.start()
        return self.document

    def wait(self) -> bytes | None:
        """The document, once it is made; None if that failed."""
        self.ask()
        if self._thread is not None:
            self._thread.join()
        return self.document

    def _run(self) -> None:
        try:
            self.document = self._kept_or_made()
        except Exception as error:
            logger.exception("the map cannot be made")
            self.failure = f"{type(error).__name__}: {error}"

    def _kept_or_made(self) -> bytes:
        from threadpoolctl import threadpool_limits  # ships no types

        library = self._library
        vectors = library.relation.vectors[[library.relation.positions[name] for name in library.ids]]
        captions = [library.caption(name) for name in library.ids]
        path = self._folder / f"map-{digest(library.ids, vectors, captions)}.json"
        kept = read_map(path)
        if kept is not None:
            return kept

        def watch(step: int) -> None:
            self.step = step

        # Threads that wait for one another would take the whole machine, and on a busy one a hundred times as long.
        with threadpool_limits(max(1, usable_cores() // 2), user_api="openmp"):
            made = make_map(library.ids, vectors, captions, watch=watch)
        data = json.dumps(made.to_json(), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        try:
            _keep(path, data)
        except OSError as error:
            logger.warning("the map is not kept: %s cannot be written (%s)", path, error.strerror or error)
        return data


def digest(ids: Sequence[str], vectors: Vectors, captions: Sequence[str | None]) -> str:
    """Of all that a map follows from: 16 hex digits."""
    recipe = [
        "anonymous labels",
        LAID_OUT,
        _DIRECTIONS,
        _PERPLEXITY,
        _NEAREST,
        _FEWEST_GROUPS,
        _MOST_GROUPS,
        _PER_GROUP,
        _TIES,
        _EDGE,
    ]
    facts: Mapping[str, Any] = {
        "schema": SCHEMA,
        "relsim": __version__,
        "recipe": recipe,
        "ids": list(ids),
        "captions": list(captions),
    }
    total = hashlib.sha256(json.dumps(facts, separators=(",", ":")).encode())
    total.update(np.ascontiguousarray(vectors, np.float32).data)
    return total.hexdigest()[:16]


def read_map(path: Path) -> bytes | None:
    """The document that is kept in a file; None where there is none that can be used."""
    try:
        data = path.read_bytes()
        return data if json.loads(data)["schema"] == SCHEMA else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_beside(path) as temporary:
        temporary.write_bytes(data)
        flush(temporary)
        temporary.replace(path)
