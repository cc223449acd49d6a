"""Which ids may name a file: plain names, or plain names below plain folders (`group_3/8f14e45f`), and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

_LONGEST_NAME = 200  # bytes; file systems take 255, of which a suffix and a temporary name need some
_LONGEST_ID = 1_000
_NOT_IN_A_NAME = "\\:"


def refusal_of(image_id: str) -> str | None:
    """Why an id cannot name a file within a folder, or None if it can."""
    if not image_id.isprintable():
        return "the id cannot name a file: it has signs that cannot be printed"
    if len(image_id.encode()) > _LONGEST_ID:
        return f"the id cannot name a file: it is longer than {_LONGEST_ID:,} bytes"
    for part in image_id.split("/"):
        if part in ("", ".", ".."):
            return "the id cannot name a file: it leads elsewhere"
        if part[0] == "." or part[-1] in " ." or any(sign in part for sign in _NOT_IN_A_NAME):
            return "the id cannot name a file on every system: it begins or ends with a dot, or has \\ or : in it"
        if len(part.encode()) > _LONGEST_NAME:
            return f"the id cannot name a file: a part of it is longer than {_LONGEST_NAME} bytes"
    return None


def refusals(image_ids: Sequence[str], *, once: bool) -> dict[int, str]:
    """The rows whose id is refused, with the reason; with `once`, also those whose id an earlier row has.

    Ids that differ in upper and lower case alone count as one then, because some file systems take them for one.
    """
    found: dict[int, str] = {}
    seen: dict[str, int] = {}
    for row, image_id in enumerate(image_ids):
        reason = refusal_of(image_id)
        if reason is None and once and (first := seen.setdefault(image_id.casefold(), row)) != row:
            reason = f"row {first:,} has this id, and its file, already"
        if reason is not None:
            found[row] = reason
    return found
