"""Pairs of a generator: what went in and what came out, scored by any encoders, method by method.

As in the paper's table of analogical generation, a score is the cosine similarity of the two pictures, and a method's
figure is the mean over its pairs with the sample standard deviation (n - 1 in the denominator; None for one pair). Of a
measure of pairs (LPIPS) a score is the distance, where less is more alike.

A list of pairs is one of:

- a folder with the subfolder `input` and another for each method; pictures belong together that have the same path
  below their subfolder, suffixes apart;
- JSON lines (`.jsonl`) or CSV (`.csv`, with a head) with `input`, `output` and, if there is more than one, `method`;
  paths are relative to the file's folder.

An unchanged copy of the input scores 1 (its distance is 0) without being an analogy, so copies are counted and listed:
pairs with the same bytes (`exact`), or with perceptual hashes that differ in at most `distance` bits (`near`; see
`relsim.evaluation.exclusions`).
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from relsim.data.identity import printable
from relsim.data.records import Failure, ImageRecord
from relsim.data.sources import list_images
from relsim.encoders.base import AnyEncoder, AnyPairwise, Encoder
from relsim.encoders.pairwise import measure_pairs
from relsim.encoders.stream import Outcome, encode_usable
from relsim.errors import SourceError
from relsim.evaluation.exclusions import Hashes, exclusions_of
from relsim.fingerprint import Fingerprint
from relsim.vectors.topk import exact_dots

INPUT, OUTPUT, METHOD = "input", "output", "method"
Measure = Literal["similarity", "distance"]
UNNAMED = "output"
"""The method of a list that names none, as of a folder with `input` and `output`."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures by their paths (absolute), the method that made the second, and the pair's name."""

    name: str
    method: str
    input: str
    output: str


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and sample standard deviation of `count` scores; `deviation` is None for a single one."""

    mean: float
    deviation: float | None
    count: int

    @classmethod
    def of(cls, scores: Sequence[float]) -> Spread:
        """Of at least one score."""
        values = np.asarray(scores, np.float64)
        return cls(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None, len(values))


@dataclass(frozen=True, slots=True)
class Copy:
    """A pair whose output is its input again."""

    pair: Pair
    reason: Literal["exact", "near"]
    bits: int | None


@dataclass(frozen=True, slots=True)
class ScoredPairs:
    """The pairs that have a score under every encoder, and those scores (N,) by the encoder's name.

    `measures` tell whether they are cosine similarities or distances.
    """

    pairs: Sequence[Pair]
    scores: Mapping[str, NDArray[np.float64]]
    measures: Mapping[str, Measure]
    fingerprints: Mapping[str, Fingerprint]
    copies: Sequence[Copy]
    failures: Sequence[Failure]
    left_out: Sequence[Pair]

    @property
    def methods(self) -> list[str]:
        """Methods, in the order of their first pairs."""
        return list(dict.fromkeys(pair.method for pair in self.pairs))

    def spread(self, encoder: str, method: str, *, copies: bool = True) -> Spread | None:
        """Mean and deviation of a method's scores; without copies where asked. None where no pair is left."""
        barred = set() if copies else {copy.pair for copy in self.copies}
        chosen = [
            float(score)
            for pair, score in zip(self.pairs, self.scores[encoder], strict=True)
            if pair.method == method and pair not in barred
        ]
        return Spread.of(chosen) if chosen else None


def read_pairs(place: Path) -> list[Pair]:
    """The pairs of a folder or a list, in order. Raises `SourceError` for one without pairs, and for a bad row."""
    if place.is_dir():
        found = list(_of_folder(place))
    elif place.suffix.lower() == ".jsonl":
        found = _of_rows(place, _json_rows(place))
    elif place.suffix.lower() == ".csv":
        found = _of_rows(place, _csv_rows(place))
    else:
        raise SourceError(f"{printable(str(place))} is no folder and no list of pairs (.jsonl, .csv)")
    if not found:
        raise SourceError(f"{printable(str(place))} has no pairs")
    return found


def pictures_of(pairs: Sequence[Pair]) -> list[ImageRecord]:
    """Each picture once, its path being its id."""
    paths = dict.fromkeys(path for pair in pairs for path in (pair.input, pair.output))
    return [ImageRecord(path, path) for path in paths]


def copies_in(pairs: Sequence[Pair], hashes: Mapping[str, Hashes], *, distance: int) -> list[Copy]:
    """Pairs whose two pictures are one, in order. `hashes` are by path."""
    found = []
    for pair in pairs:
        if pair.input == pair.output:
            found.append(Copy(pair, "exact", 0))
            continue
        (excluded,) = exclusions_of([0], [pair.input, pair.output], hashes, distance=distance)
        found += [Copy(pair, one.reason, one.bits) for one in excluded if one.reason != "self"]
    return found


def score_pairs(
    pairs: Sequence[Pair],
    encoders: Iterator[tuple[str, AnyEncoder | AnyPairwise]],
    *,
    hashes: Mapping[str, Hashes] | None = None,
    distance: int = 4,
    workers: int | None = None,
    on_outcome: Callable[[Any], None] | None = None,
) -> ScoredPairs:
    """Score every pair by encoders or measures of pairs, which are taken one at a time.

    `on_outcome` is called for each picture of an encoder, and for each pair of a measure. Without `hashes` no copies
    are told. A pair one of whose pictures cannot be used is left out everywhere. Raises `SourceError` where none is
    left.
    """
    failures: dict[str, Failure] = {}
    scores: dict[str, dict[Pair, float]] = {}
    measures: dict[str, Measure] = {}
    fingerprints: dict[str, Fingerprint] = {}
    for name, encoder in encoders:
        if isinstance(encoder, Encoder):
            scores[name], failed = _similarities(pairs, encoder, workers, on_outcome)
            measures[name] = "similarity"
        else:
            scores[name], failed = _distances(pairs, encoder, workers, on_outcome)
            measures[name] = "distance"
        fingerprints[name] = encoder.fingerprint
        for failure in failed:
            failures.setdefault(failure.record.image_id, failure)
    usable_by_all = {pair: not {pair.input, pair.output} & failures.keys() for pair in pairs}
    kept = [pair for pair in pairs if usable_by_all[pair]]
    if not kept:
        first = next(iter(failures.values()))
        raise SourceError(
            f"none of the {len(pairs):,} pairs has two pictures that can be used; the first that cannot is "
            f"{printable(first.record.source)}: {first.reason} ({first.status.value})"
        )
    return ScoredPairs(
        kept,
        {name: np.array([found[pair] for pair in kept]) for name, found in scores.items()},
        measures,
        fingerprints,
        copies_in(kept, hashes or {}, distance=distance),
        list(failures.values()),
        [pair for pair in pairs if not usable_by_all[pair]],
    )


def _similarities(
    pairs: Sequence[Pair], encoder: AnyEncoder, workers: int | None, on_outcome: Callable[[Outcome], None] | None
) -> tuple[dict[Pair, float], list[Failure]]:
    vectors, failures = encode_usable(pictures_of(pairs), encoder, workers=workers, on_outcome=on_outcome)
    usable = [pair for pair in pairs if pair.input in vectors and pair.output in vectors]
    if not usable:
        return {}, failures
    left, right = (np.stack([vectors[getattr(pair, side)] for pair in usable]) for side in (INPUT, OUTPUT))
    return dict(zip(usable, exact_dots(left, right).tolist(), strict=True)), failures


def _distances(
    pairs: Sequence[Pair], pairwise: AnyPairwise, workers: int | None, on_outcome: Callable[[Any], None] | None
) -> tuple[dict[Pair, float], list[Failure]]:
    records = [(ImageRecord(pair.input, pair.input), ImageRecord(pair.output, pair.output)) for pair in pairs]
    found = measure_pairs(pairwise, records, workers=workers, on_measured=on_outcome)
    measured = zip(pairs, found.distances, strict=True)
    return {pair: distance for pair, distance in measured if distance is not None}, found.failures


def _of_folder(place: Path) -> Iterator[Pair]:
    subfolders = sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))
    methods = [path for path in subfolders if path.name != INPUT]
    if len(methods) == len(subfolders) or not methods:
        holds = ", ".join(path.name for path in subfolders) or "none"
        raise SourceError(
            f"{printable(str(place))} must hold the subfolder input and another for each method; it holds {holds}"
        )
    inputs = _by_stem(place / INPUT)
    for method in methods:
        outputs = _by_stem(method)
        if not inputs.keys() & outputs.keys():
            raise SourceError(f"no picture of {printable(str(method))} has the name of one of {INPUT}")
        for name in inputs:
            if name in outputs:
                yield Pair(name, method.name, inputs[name], outputs[name])


def _by_stem(folder: Path) -> dict[str, str]:
    """Pictures by their path below the folder without suffix. Raises `SourceError` where two have the same."""
    found: dict[str, str] = {}
    for record in list_images([folder]):
        name = os.path.splitext(record.image_id)[0]  # noqa: PTH122 - an id is no path
        if name in found:
            raise SourceError(f"two pictures are called {name}: {found[name]} and {record.source}; rename one")
        found[name] = record.source
    return found


def _of_rows(place: Path, rows: Iterator[tuple[int, Any]]) -> list[Pair]:
    found = []
    folder = place.absolute().parent
    for number, row in rows:
        values = row if isinstance(row, dict) else {}
        method = values.get(METHOD) or UNNAMED
        if not all(isinstance(values.get(key), str) and values[key] for key in (INPUT, OUTPUT)):
            raise SourceError(f"{printable(str(place))}, line {number:,}: input and output must be there and be paths")
        if not isinstance(method, str):
            raise SourceError(f"{printable(str(place))}, line {number:,}: method must be a text")
        paths = [str(folder / Path(values[key]).expanduser()) for key in (INPUT, OUTPUT)]
        found.append(Pair(f"line {number}", method, *paths))
    return found


def _json_rows(place: Path) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(_text(place).splitlines(), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError as error:
                raise SourceError(f"{printable(str(place))}, line {number:,}: not JSON") from error


def _csv_rows(place: Path) -> Iterator[tuple[int, Any]]:
    reader = csv.DictReader(_text(place).splitlines())
    missing = {INPUT, OUTPUT} - set(reader.fieldnames or ())
    if missing:
        raise SourceError(f"{printable(str(place))} has no column {' and no '.join(sorted(missing))} in its first line")
    for row in reader:
        yield reader.line_num, row


def _text(place: Path) -> str:
    try:
        return place.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not UTF-8"
        raise SourceError(f"the list {printable(str(place))} cannot be read: {reason.lower()}") from error
