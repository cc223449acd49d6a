"""Merging the files of a table: which go together, and which failures still tell something."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from relsim.data.records import Failure
from relsim.vectors.contents import PartEntry
from relsim.vectors.part import Part

FAILURES_PER_FILE = 16_384
"""Failures are merged into files of up to so many, so that a merge does not write all of them again."""


def grouped(parts: Sequence[Part], most: int) -> list[list[Part]]:
    """Consecutive parts that have at most so many rows together; parts without rows are left out."""
    groups: list[list[Part]] = []
    room = 0
    for part in parts:
        if part.entry.rows == 0:
            continue
        if part.entry.rows > room:
            groups.append([])
            room = most
        groups[-1].append(part)
        room -= part.entry.rows
    return groups


def merged_failures(parts: Sequence[Part], embedded: Container[str]) -> list[PartEntry | list[Failure]]:
    """What becomes of files of failures, in order: a file that stays as it is, or failures for a new one.

    `embedded` are the ids that have a vector. A file alone stays unless most of its images are among them.
    """
    merged: list[PartEntry | list[Failure]] = []
    for group in grouped(parts, FAILURES_PER_FILE):
        if len(group) == 1 and 2 * sum(image_id in embedded for image_id in group[0].ids) <= group[0].entry.rows:
            merged.append(group[0].entry)
            continue
        left = [failure for image_id, failure in latest_failures(group).items() if image_id not in embedded]
        merged.extend([left] if left else [])
    return merged


def latest_failures(parts: Iterable[Part]) -> dict[str, Failure]:
    """The last failure of each id in these files, in the order of those."""
    latest: dict[str, Failure] = {}
    for part in parts:
        for failure in part.failures():
            latest.pop(failure.record.image_id, None)
            latest[failure.record.image_id] = failure
    return latest
