"""The checkpoints in a run's folder: `checkpoints/step-<step>`, the links `last` and `best`, and which of them stay."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relsim.errors import TrainingError
from relsim.files import flush
from relsim.training.state import saved_states

_NAME = re.compile(r"step-(\d+)")


class Checkpoints:
    """Keeps the newest `keep` checkpoints (None: all), and what `last` and `best` point to."""

    def __init__(self, out: Path, *, keep: int | None) -> None:
        self._out = out
        self._keep = keep
        self._written: set[int] = set()

    @property
    def last(self) -> Path:
        """The link to the newest checkpoint whose state is saved."""
        return self._out / "last"

    @property
    def best(self) -> Path | None:
        """The link to the best checkpoint, None before there is one."""
        link = self._out / "best"
        return link if link.is_symlink() else None

    def written(self, step: int) -> bool:
        """Whether this process has written the checkpoint of a step; what an earlier one left is written anew."""
        return step in self._written

    @contextmanager
    def place(self, step: int) -> Iterator[Path]:
        """A free folder for the body to write the checkpoint of a step to."""
        folder = self._folder(step)
        if folder.exists():
            _remove(folder)
        yield folder
        self._written.add(step)

    def mark_last(self, step: int) -> None:
        """Point `last` to a step."""
        self._link("last", step)

    def mark_best(self, step: int) -> None:
        """Point `best` to a step."""
        self._link("best", step)

    def tidy(self, state: Path) -> None:
        """Remove states before `state`, and checkpoints that are neither new, last nor best (if `keep` is a number)."""
        for path in saved_states(self._out):
            if path.name < state.name:
                path.unlink(missing_ok=True)
        linked = {link.resolve() for link in (self._out / "last", self._out / "best") if link.is_symlink()}
        numbered = sorted((int(match[1]), path) for path, match in self._numbered())
        for _, path in numbered[: -self._keep] if self._keep is not None else []:
            if path.resolve() not in linked:
                _remove(path)

    def _numbered(self) -> Iterator[tuple[Path, re.Match[str]]]:
        for path in (self._out / "checkpoints").iterdir():
            match = _NAME.fullmatch(path.name)
            if match is not None:
                yield path, match

    def _folder(self, step: int) -> Path:
        return self._out / "checkpoints" / f"step-{step:08d}"

    def _link(self, name: str, step: int) -> None:
        """Replace a link in one step: whoever looks finds the old checkpoint or the new one."""
        temporary = self._out / f".tmp-{name}-{secrets.token_hex(4)}"
        try:
            temporary.symlink_to(self._folder(step).relative_to(self._out), target_is_directory=True)
            temporary.replace(self._out / name)
            flush(self._out)
        except OSError as error:
            raise TrainingError(f"{self._out / name} cannot be made a link to step {step}: {error}") from error


def _remove(folder: Path) -> None:
    """Out of sight first, so that a reader never finds half a checkpoint."""
    grave = folder.with_name(f".old-{folder.name}-{secrets.token_hex(4)}")
    folder.rename(grave)
    shutil.rmtree(grave, ignore_errors=True)
