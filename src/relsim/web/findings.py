"""Kinds of what the linter finds in the captions of a list: looked for once, and kept in a file of the cache folder.

To look through a hundred thousand captions takes seconds. A file is that of these very captions and this very linter.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import final

from relsim.captions.anonymity import check
from relsim.files import flush, temporary_beside

Kinds = tuple[str, ...]
logger = logging.getLogger(__name__)
_LINTER = ("anonymity.py", "lexicon.py", "placeholders.py")


@final
class ListedKinds:
    """Kinds of findings, sorted, by the number of a caption. Thread-safe; looked for when first asked for."""

    def __init__(self, captions: Sequence[str | None], folder: Path | None) -> None:
        self._captions, self._folder = captions, folder
        self._guard = threading.Lock()
        self._found: Mapping[int, Kinds] | None = None

    def of(self, number: int) -> Kinds:
        """Those of a caption; none for one that is anonymous."""
        found = self._found
        if found is None:
            found = self._once()
        return found.get(number, ())

    def _once(self) -> Mapping[int, Kinds]:
        with self._guard:
            if self._found is None:
                self._found = self._read_or_found()
            return self._found

    def _read_or_found(self) -> Mapping[int, Kinds]:
        path = None if self._folder is None else self._folder / f"findings-{digest(self._captions)}.json"
        kept = None if path is None else _read(path)
        if kept is not None:
            return kept
        found = {number: kinds for number, text in enumerate(self._captions) if text and (kinds := kinds_in(text))}
        if path is not None:
            try:
                _keep(path, found)
            except OSError as error:
                logger.warning("what the linter found is not kept: %s (%s)", path, error.strerror or error)
        return found


def kinds_in(caption: str) -> Kinds:
    """Kinds of what the linter finds in a caption, each once."""
    return tuple(sorted({finding.kind for finding in check(caption).findings}))


def digest(captions: Sequence[str | None]) -> str:
    """Of captions and of the linter that looks through them: 16 hex digits."""
    total = hashlib.sha256(_linter())
    total.update(json.dumps(list(captions), separators=(",", ":")).encode())
    return total.hexdigest()[:16]


@cache
def _linter() -> bytes:
    """The code and the words of the linter, as a digest."""
    home = files("relsim.captions")
    words = sorted((one for one in (home / "words").iterdir() if one.is_file()), key=lambda one: one.name)
    total = hashlib.sha256()
    for file in [*(home / name for name in _LINTER), *words]:
        total.update(file.read_bytes())
    return total.digest()


def _read(path: Path) -> Mapping[int, Kinds] | None:
    """What is kept in a file; None where there is none that can be used."""
    try:
        told = json.loads(path.read_bytes())
        kinds = [tuple(map(str, some)) for some in told["kinds"]]
        return {int(number): kinds[place] for number, place in zip(told["captions"], told["have"], strict=True)}
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def _keep(path: Path, found: Mapping[int, Kinds]) -> None:
    """Numbers of captions, and for each the place of its kinds among those that occur."""
    kinds = sorted(set(found.values()))
    place = {some: number for number, some in enumerate(kinds)}
    told = {"kinds": kinds, "captions": list(found), "have": [place[some] for some in found.values()]}
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_beside(path) as temporary:
        temporary.write_text(json.dumps(told, separators=(",", ":")), encoding="utf-8")
        flush(temporary)
        temporary.replace(path)
