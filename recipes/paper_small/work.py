"""Steps of a recipe: each is run once, noted with its command and its seconds, and not run again."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO

from relsim.data.manifest import read_manifest, write_manifest
from relsim.files import temporary_beside

_APART = ("demo", "judge")
"""Verbs that draw in several processes, each of which would load all that this one has loaded."""


class Work:
    """The folder of a run, and which steps are done in it."""

    def __init__(self, folder: Path, *, here: bool = False) -> None:
        self.folder, self.done = folder, folder / "done"
        self._here = here
        self.done.mkdir(parents=True, exist_ok=True)
        # The models are those that come along, whatever this user has set.
        for name in [name for name in os.environ if name.startswith("RELSIM_")]:
            del os.environ[name]

    def step(self, name: str, told: str, run: Callable[[], None]) -> None:
        """Run a step and note that it is done, unless it is; the same name for something else is refused."""
        note = self.done / f"{name}.json"
        if note.exists():
            if json.loads(note.read_text())["command"] != told:
                sys.exit(f"{name} was another step in {self.folder}: choose another --work, or remove the folder")
            return
        print(f"$ {told}", flush=True)
        load, before, start = os.getloadavg()[0], os.times(), time.monotonic()
        run()
        seconds, after = time.monotonic() - start, os.times()
        cpu = sum(after[:4]) - sum(before[:4])  # of this process and of those that it waited for
        facts = {"command": told, "seconds": round(seconds, 1), "cpu": round(cpu, 1), "load": load}
        with temporary_beside(note) as temporary:
            temporary.write_text(json.dumps(facts) + "\n")
            temporary.replace(note)

    def relsim(
        self, name: str, *words: object, into: Path | None = None, new: Path | None = None, told: str | None = None
    ) -> None:
        """A step that is a command of relsim, as a user would run it.

        `into` takes what it prints; what a step that was not finished left in `new` is removed first. `told` is noted
        in the place of the command, where that has parts that differ from run to run.
        """
        command = [str(word) for word in words]

        def run() -> None:
            if new is not None:
                shutil.rmtree(new, ignore_errors=True)
            if into is None:
                self._checked(name, command, None)
                return
            with temporary_beside(into) as temporary:
                with temporary.open("wb") as file:
                    self._checked(name, command, file)
                temporary.replace(into)

        self.step(name, told or f"relsim {shlex.join(command)}" + (f" > {into}" if into else ""), run)

    def _checked(self, name: str, command: list[str], out: IO[bytes] | None) -> None:
        """Run a command, in a process of its own unless all is to run in this one; end where it fails."""
        if self._here and command[0] not in _APART:
            stopped = _run_here(command, out)
        else:
            whole = [sys.executable, "-m", "relsim", *command]
            stopped = subprocess.run(whole, check=False, stdout=out).returncode  # noqa: S603 - relsim itself
        if stopped:
            sys.exit(f"{name} ended with {stopped}; what is done stays done, run this again once it is mended")

    def world(self, name: str, *flags: object, side: int, seed: int) -> Path:
        """A step that draws pictures; their manifest."""
        folder = self.folder / name
        words = ("--out", folder, "--size", side, "--seed", seed)
        self.relsim(f"draw-{name}", "demo", "world", *words, *flags, new=folder)
        return folder / "manifest.jsonl"

    def without_captions(self, manifest: Path) -> Path:
        """A manifest of the same pictures that tells no captions, so that the captioner has to write them."""
        bare = manifest.with_name("pictures.jsonl")

        def run() -> None:
            rows = read_manifest(manifest)
            write_manifest(
                bare, (replace(row, caption=None, extra={"relation": row.extra["relation"]}) for row in rows)
            )

        self.step(f"bare-{manifest.parent.name}", f"(captions left out) {bare}", run)
        return bare


def _run_here(command: list[str], out: IO[bytes] | None) -> int:
    """Run a command of relsim in this process, which loads each library but once; its exit code."""
    from relsim.cli.main import app

    with contextlib.ExitStack() as stack:
        if out is not None:
            text = io.TextIOWrapper(out, encoding="utf-8", write_through=True)
            stack.callback(text.detach)
            stack.enter_context(contextlib.redirect_stdout(text))
        try:
            app(command, prog_name="relsim")
        except SystemExit as ended:
            return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0
