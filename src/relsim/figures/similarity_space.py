"""The similarity space of a query: where pictures stand by how they look (x) and by how they work (y); Figure 7.

Published: 3,000 random pictures, both scores stretched from their least to their greatest value (min-max), a grid of 20
columns and 10 rows, at most five pictures a cell. The corners have the names of D. Gentner and A. B. Markman, Structure
mapping in analogy and similarity, American Psychologist 52, 1997: what shares relations and not attributes is an
analogy, what shares both a literal similarity, what shares attributes alone a mere appearance, and the rest an anomaly.

Scales of the axes: `published` as above; `raw` the same places with similarities at the ticks; `percentile` the share
of pictures that are less similar, of unrelated pairs where the checkpoint knows their scores, else of the collection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from relsim.data.shuffling import permutation
from relsim.errors import CheckpointError, ResultError
from relsim.evaluation.result_files import ResultFile
from relsim.vectors.calibration import percentile_of
from relsim.vectors.two_axis import TwoAxisHit
from relsim.vectors.view import TableView

SCHEMA = "relsim.space/1"
Scale = Literal["published", "raw", "percentile"]
SCALES: tuple[Scale, ...] = get_args(Scale)
QUADRANTS = {
    (False, True): "analogy",
    (True, True): "literal similarity",
    (False, False): "anomaly",
    (True, False): "mere appearance",
}
"""By whether attributes (x) and relations (y) are in the upper half of their axis."""
SAMPLE, COLUMNS, ROWS, PER_CELL = 3_000, 20, 10, 5
_DRAWN = 0

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SpaceSettings:
    """How the space is made; the defaults are the published ones. `sample` None takes every picture."""

    scale: Scale = "published"
    sample: int | None = SAMPLE
    columns: int = COLUMNS
    rows: int = ROWS
    per_cell: int = PER_CELL
    seed: int = 0

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise ResultError(f"{self.scale!r} is no scale of a similarity space; known are {', '.join(SCALES)}")
        if min(self.columns, self.rows, self.per_cell) < 1 or (self.sample is not None and self.sample < 1):
            raise ResultError("a similarity space needs at least 1 column, row, picture a cell and picture in all")


@dataclass(frozen=True, slots=True)
class Query:
    """What was asked: an id with its source, or a file."""

    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis measures with, the least and greatest similarity on it, and whose share a percentile is."""

    name: str
    low: float
    high: float
    percentile_of: str
    fingerprint: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Point:
    """A picture: similarity to the query by look and by relation, both normalised and as percentiles, and its place.

    `x` and `y` are 0 to 1 on the chosen scale. `shown` is false for pictures beyond the most that a cell shows.
    """

    image_id: str
    source: str
    attribute: float
    relational: float
    attribute_normalised: float
    relational_normalised: float
    attribute_percentile: float
    relational_percentile: float
    x: float
    y: float
    column: int
    row: int
    quadrant: str
    shown: bool


@dataclass(frozen=True, slots=True)
class Space:
    """A query and the pictures around it, best relation first; `collection` counts those that were sampled from."""

    query: Query
    x: Axis
    y: Axis
    settings: SpaceSettings
    collection: int
    points: tuple[Point, ...]

    def to_json(self) -> dict[str, Any]:
        """As the document `relsim.space/1`."""
        return {
            "schema": SCHEMA,
            "query": asdict(self.query),
            "axes": {"x": asdict(self.x), "y": asdict(self.y)},
            "scale": self.settings.scale,
            "grid": {
                "columns": self.settings.columns,
                "rows": self.settings.rows,
                "per_cell": self.settings.per_cell,
            },
            "seed": self.settings.seed,
            "sample": self.settings.sample,
            "collection": self.collection,
            "points": [asdict(point) for point in self.points],
        }

    def published_form(self) -> dict[str, dict[str, Any]]:
        """As the published `xy.json`: raw scores by id."""
        return {
            point.image_id: {"clip_score": point.attribute, "our_score": point.relational, "our_path": point.source}
            for point in self.points
        }


def make_space(
    query: Query,
    hits: Sequence[TwoAxisHit],
    *,
    settings: SpaceSettings | None = None,
    names: tuple[str, str] = ("attribute similarity", "relational similarity"),
    nulls: tuple[Mapping[str, Any] | None, Mapping[str, Any] | None] = (None, None),
    fingerprints: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None,
) -> Space:
    """Place a seeded sample of the pictures that a search on two axes found. Pairs are (look, relation).

    A sample takes ids in a seeded order, so that a smaller one is part of a larger one. Of a cell's pictures the first
    in that order are shown. Raises `ResultError` for no picture.
    """
    settings = settings or SpaceSettings()
    by_id = sorted(hits, key=lambda hit: hit.image_id)
    drawn = [by_id[place] for place in drawn_places(len(by_id), settings)]
    everything = [hit.attribute for hit in by_id], [hit.relational for hit in by_id]
    return space_of_drawn(
        query, drawn, everything, settings=settings, names=names, nulls=nulls, fingerprints=fingerprints
    )


def drawn_places(count: int, settings: SpaceSettings) -> list[int]:
    """Places of the pictures that are drawn, in a list of so many in the order of their ids."""
    return permutation(settings.seed, _DRAWN, count)[: settings.sample].tolist() if count else []


def space_of_drawn(
    query: Query,
    drawn: Sequence[TwoAxisHit],
    everything: tuple[Sequence[float] | Numbers, Sequence[float] | Numbers],
    *,
    settings: SpaceSettings,
    names: tuple[str, str],
    nulls: tuple[Mapping[str, Any] | None, Mapping[str, Any] | None],
    fingerprints: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None,
) -> Space:
    """Like `make_space`, of pictures that are drawn already; `everything` are the scores of all."""
    if not drawn:
        raise ResultError("there is no picture beside the query, so there is no space to show")
    look = np.array([hit.attribute for hit in drawn], np.float64)
    relation = np.array([hit.relational for hit in drawn], np.float64)
    percentiles = [
        _percentiles(scores, whole, null)
        for scores, whole, null in zip((look, relation), everything, nulls, strict=True)
    ]
    normalised = _stretched(look), _stretched(relation)
    placed = [part / 100 for part in percentiles] if settings.scale == "percentile" else list(normalised)
    columns, rows = _cells(placed[0], settings.columns), _cells(placed[1], settings.rows)
    points, taken = [], np.zeros((settings.columns, settings.rows), np.int64)
    for place, hit in enumerate(drawn):
        x, y, column, row = float(placed[0][place]), float(placed[1][place]), int(columns[place]), int(rows[place])
        taken[column, row] += 1
        points.append(
            Point(
                hit.image_id,
                hit.source,
                hit.attribute,
                hit.relational,
                float(normalised[0][place]),
                float(normalised[1][place]),
                float(percentiles[0][place]),
                float(percentiles[1][place]),
                x,
                y,
                column,
                row,
                QUADRANTS[(x >= 0.5, y >= 0.5)],
                bool(taken[column, row] <= settings.per_cell),
            )
        )
    points.sort(key=lambda point: (-point.relational, point.image_id))
    axes = [
        Axis(name, float(scores.min()), float(scores.max()), _share_of(null), dict(print_))
        for name, scores, null, print_ in zip(names, (look, relation), nulls, fingerprints or ({}, {}), strict=True)
    ]
    return Space(query, axes[0], axes[1], settings, len(everything[0]), tuple(points))


def read_space(result: ResultFile, settings: SpaceSettings | None = None) -> Space:
    """The space of a file: `space.json` as it is, or the published `xy.json`, placed by `settings`.

    Raises `ResultError`.
    """
    content = result.content
    try:
        if result.kind == "xy":
            hits = [
                TwoAxisHit(name, 0.0, float(row["our_score"]), float(row["clip_score"]), str(row["our_path"]), 0)
                for name, row in content.items()
            ]
            everything = settings or SpaceSettings(sample=None)
            return make_space(Query("", ""), hits, settings=everything, names=("CLIP", "relsim"))
        grid = content["grid"]
        made = SpaceSettings(
            content["scale"], content["sample"], grid["columns"], grid["rows"], grid["per_cell"], content["seed"]
        )
        axes = content["axes"]
        points = tuple(Point(**point) for point in content["points"])
        return Space(
            Query(**content["query"]), Axis(**axes["x"]), Axis(**axes["y"]), made, content["collection"], points
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ResultError(f"{result.path} is no similarity space: {type(error).__name__} {error}") from error


def axis_name(table: TableView) -> str:
    """What the axis of a table measures with: the checkpoint's name, else the encoder's."""
    origin = table.origin
    return Path(str(origin.get("checkpoint_dir") or origin.get("encoder") or table.path.name)).name


def null_scores(table: TableView) -> Mapping[str, Any] | None:
    """Scores of unrelated pairs, where the table's checkpoint is here and knows them."""
    return null_scores_of(table.origin)


def null_scores_of(origin: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Like `null_scores`, by how the encoder is made. No model is loaded, and no torch."""
    from relsim.models.embedded import embedded_folder
    from relsim.models.metadata import read_null_distribution

    named = origin.get("checkpoint_dir")
    folder = None if named is None else embedded_folder(named) or Path(str(named))
    if folder is None or not folder.is_dir():
        return None
    try:
        return read_null_distribution(folder)
    except CheckpointError:
        return None


def _stretched(scores: Numbers) -> Numbers:
    """From 0 (the least) to 1 (the greatest); all 0.5 where they are equal."""
    low, high = scores.min(), scores.max()
    return np.full(len(scores), 0.5) if low == high else (scores - low) / (high - low)


def _cells(places: Numbers, count: int) -> NDArray[np.int64]:
    """The cell of each place; 1 belongs to the last."""
    return np.minimum((places * count).astype(np.int64), count - 1)


def _percentiles(scores: Numbers, whole: Sequence[float] | Numbers, null: Mapping[str, Any] | None) -> Numbers:
    """Share in percent of less similar pictures: of unrelated pairs, or of the whole collection."""
    if null is not None:
        return np.array([percentile_of(float(score), null) for score in scores])
    return 100.0 * np.searchsorted(np.sort(np.asarray(whole, np.float64)), scores, side="left") / len(whole)


def _share_of(null: Mapping[str, Any] | None) -> str:
    return "this collection" if null is None else "unrelated pairs"
