"""A stage of curation: a folder of its own, which says what it was made of, so that it is made once.

    <stage>/begun.json    while the stage is worked on: its settings and the digests of what it is made of
    <stage>/stage.json    when it is done: the same, what it counted, and the digests of its results

A stage that is done and whose settings, inputs and results are as `stage.json` says is passed over. One that was ended
goes on. One with other settings is removed and made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias

from relsim.data.checksums import file_sha256
from relsim.data.identity import printable
from relsim.errors import RelsimError, SourceError
from relsim.evaluation.result_files import write_json
from relsim.files import TEMPORARY_PREFIX, FileInUseError, exclusive_lock
from relsim.fingerprint import Fact, Fingerprint
from relsim.models.digest import digest_files

SCHEMA = "relsim.curate_stage/1"
DONE, BEGUN, LOCK = "stage.json", "begun.json", ".curate.lock"

Tell: TypeAlias = Callable[[str], None]
"""Called with a line for the person who waits."""
Watch: TypeAlias = Callable[[str, int], AbstractContextManager[Callable[[Any], None]]]
"""`watch(what is done, how many)` is a context that gives a function to call with each outcome."""


def unwatched(_doing: str, _total: int) -> AbstractContextManager[Callable[[Any], None]]:
    """A `Watch` that shows nothing."""
    return nullcontext(lambda _outcome: None)


class GoesOn(Enum):
    """When the work of a stage that is not done is of use to the next run."""

    NEVER = "never"
    SAME = "same"
    """Where settings and inputs are the same."""
    ROWS = "rows"
    """Where the settings are the same: the rows of those images that are the same are kept."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a stage depends on: flat settings, and digests of what it is made of, by name."""

    name: str
    settings: Mapping[str, Fact]
    inputs: Mapping[str, str]
    goes_on: GoesOn = GoesOn.NEVER

    def to_dict(self) -> dict[str, Any]:
        """As `begun.json` and `stage.json` hold it."""
        return {"schema": SCHEMA, "stage": self.name, "settings": dict(self.settings), "inputs": dict(self.inputs)}


@dataclass(frozen=True, slots=True)
class Counted:
    """What a stage made: names of its results in its folder, images (or captions) by what became of them, and more.

    The numbers of `rejected`, by reason, add up to `taken` minus `kept`.
    """

    results: Sequence[str]
    unit: str
    taken: int
    kept: int
    rejected: Mapping[str, int]
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage that is done."""

    folder: Path
    content: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.folder.name

    @property
    def kept(self) -> int:
        """How many images or captions it hands on."""
        return int(self.content["kept"])

    @property
    def results(self) -> dict[str, str]:
        """Digests of its results by `<stage>/<name>`: what a later stage has as inputs."""
        return {f"{self.name}/{name}": digest for name, digest in self.content["results"].items()}

    def __str__(self) -> str:
        found = self.content
        if "steps" in found:
            return f"{self.name}: {found['steps']:,} steps on {found['taken']:,} {found['unit']}"
        reasons = ", ".join(f"{count:,} {printable(reason)}" for reason, count in found["rejected"].items())
        return f"{self.name}: {found['kept']:,} of {found['taken']:,} {found['unit']} kept" + (
            f" ({reasons})" if reasons else ""
        )


def run_stage(root: Path, plan: Plan, work: Callable[[Path], Counted], tell: Tell) -> Stage:
    """The stage as it was done before, or done now by `work`, which gets its folder. Raises `RelsimError`."""
    folder = root / plan.name
    done = _document(folder / DONE)
    if done is not None and _stale(plan, done, folder) is None:
        stage = Stage(folder, done)
        tell(f"{stage}; done before")
        return stage
    try:
        _begin(folder, plan, done, tell)
    except OSError as error:
        raise _not_written(folder, error) from error
    counted = work(folder)
    content = {
        **plan.to_dict(),
        "unit": counted.unit,
        "taken": counted.taken,
        "kept": counted.kept,
        "rejected": dict(counted.rejected),
        **counted.more,
        "results": {name: _digest(folder / name) for name in counted.results},
    }
    write_json(folder / DONE, content)
    (folder / BEGUN).unlink(missing_ok=True)
    stage = Stage(folder, content)
    tell(str(stage))
    return stage


@contextlib.contextmanager
def open_root(root: Path) -> Iterator[None]:
    """Hold the lock of the folder of all stages, which is made where it is missing.

    Raises `RelsimError` where another process has it, and where it holds files but no curation.
    """
    shown = printable(str(root))
    try:
        root.mkdir(parents=True, exist_ok=True)
        if any(root.iterdir()) and not (root / LOCK).exists():
            raise SourceError(f"{shown} holds other files; name a new folder for the stages, or an empty one")
        with exclusive_lock(root / LOCK):
            yield
    except FileInUseError as error:
        raise SourceError(f"{shown} is being worked on by another process; wait until it has ended") from error
    except OSError as error:
        raise _not_written(root, error) from error


def remove_stage(folder: Path) -> None:
    """Remove the folder of a stage; that it is done is taken back first."""
    (folder / DONE).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _begin(folder: Path, plan: Plan, done: Mapping[str, Any] | None, tell: Tell) -> None:
    """Make the folder ready for work: empty, or with that part of earlier work that is of use."""
    earlier = done or _document(folder / BEGUN)
    if earlier is None or not _of_use(plan, earlier, tell, finished=done is not None):
        remove_stage(folder)
    folder.mkdir(exist_ok=True)
    (folder / DONE).unlink(missing_ok=True)
    for left in folder.glob(f"{TEMPORARY_PREFIX}*"):  # of a process that was killed
        left.unlink(missing_ok=True)
    write_json(folder / BEGUN, plan.to_dict())


def _of_use(plan: Plan, earlier: Mapping[str, Any], tell: Tell, *, finished: bool) -> bool:
    """Whether the work there can be gone on with; why not is told."""
    stale = _stale(plan, earlier)
    if stale is not None:
        same = earlier["settings"] == dict(plan.settings)
        kept = same and plan.goes_on is GoesOn.ROWS
        tell(f"{plan.name}: {stale}; {'what is the same is kept' if kept else 'done again'}")
        return kept
    if finished:
        tell(f"{plan.name}: its results were changed; done again")
        return False
    if plan.goes_on is GoesOn.NEVER:
        return False
    tell(f"{plan.name}: goes on")
    return True


def _stale(plan: Plan, earlier: Mapping[str, Any], folder: Path | None = None) -> str | None:
    """Why what was made before is not what the plan makes, in words; None where it is."""
    changed = Fingerprint.of(earlier["settings"]).differences(Fingerprint.of(plan.settings))
    if changed:
        return ", ".join(f"{name} was {_shown(there)}, is {_shown(here)}" for name, (there, here) in changed.items())
    if earlier["inputs"] != dict(plan.inputs):
        return "what it is made of has changed"
    if folder is not None and any(_digest(folder / name) != digest for name, digest in earlier["results"].items()):
        return "its results were changed"
    return None


def _shown(fact: Fact) -> str:
    return "not set" if fact is None else printable(str(fact))


def _document(path: Path) -> dict[str, Any] | None:
    """What `begun.json` or `stage.json` holds, None where there is none that can be read."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    fits = isinstance(found, dict) and found.get("schema") == SCHEMA and {"settings", "inputs"} <= found.keys()
    return found if fits else None


def _digest(path: Path) -> str | None:
    """SHA-256 of a file; of a folder a digest of its tensors, else of the names and bytes of its files; else None."""
    if path.is_dir():
        return digest_files(path) if any(path.glob("*.safetensors")) else _files_digest(path)
    return file_sha256(path) if path.is_file() else None


def _files_digest(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        total.update(f"{file_sha256(path) if path.is_file() else None} {printable(path.name)}\n".encode())
    return total.hexdigest()


def _not_written(folder: Path, error: OSError) -> RelsimError:
    reason = (error.strerror or str(error)).lower()
    return SourceError(f"{printable(str(folder))} cannot be written: {reason}")
