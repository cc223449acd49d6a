"""The record of a run: `train.jsonl` always, and wandb, trackio or tensorboard where they are named.

Each line is a JSON object with `step` (how many are done). A training line has epoch, loss, accuracy, learning_rate,
grad_norm, samples_per_second and seconds (since this process began), and temperature where it is learned: means since
the line before. A held-out line has its figures under names that begin with `eval_`. A run that goes on drops the lines
after the state it goes on from.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from relsim.errors import MissingExtraError, TrainingError
from relsim.files import flush, temporary_beside

LOG = "train.jsonl"
PACKAGES = {"wandb": ("wandb",), "trackio": ("trackio",), "tensorboard": ("tensorboard", "tensorboardX")}
Line = Mapping[str, float]
Watcher = Callable[[Line], None]


def check_trackers(names: Sequence[str]) -> None:
    """Raises `MissingExtraError` for a tracker whose package is absent."""
    for name in names:
        if all(find_spec(package) is None for package in PACKAGES[name]):
            raise MissingExtraError(PACKAGES[name][0], "tracking", f"tracking a run with {name}")


class RunLog:
    """Writes lines to `train.jsonl` in `out`, to Accelerate's trackers, and to a watcher such as a progress line.

    Only the first process writes. `accelerator` was made with the trackers' names.
    """

    def __init__(self, out: Path, accelerator: Any, config: Mapping[str, Any], watcher: Watcher | None = None) -> None:
        self._path = out / LOG
        self._accelerator = accelerator
        self._watcher = watcher
        self._first: bool = accelerator.is_main_process
        self._tracked = bool(accelerator.log_with)
        if self._tracked:
            accelerator.init_trackers("relsim", config=flat_settings(config))

    def begin(self, step: int) -> None:
        """Keep the lines up to a step; a part of a line that an interrupted run left goes too."""
        if not self._first:
            return
        lines = read_log(self._path) if step else []
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with temporary_beside(self._path) as temporary:
                kept = (json.dumps(line) + "\n" for line in lines if line["step"] <= step)
                temporary.write_text("".join(kept), encoding="utf-8")
                flush(temporary)
                temporary.replace(self._path)
        except OSError as error:
            raise TrainingError(f"{self._path} cannot be written: {error}") from error

    def write(self, line: Line) -> None:
        """Add a line."""
        if self._tracked:
            step = int(line["step"])
            self._accelerator.log({name: value for name, value in line.items() if name != "step"}, step=step)
        if not self._first:
            return
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({name: _rounded(value) for name, value in line.items()}) + "\n")
        except OSError as error:
            raise TrainingError(f"{self._path} cannot be written: {error}") from error
        if self._watcher is not None:
            self._watcher(line)

    def end(self) -> None:
        """Let the trackers finish."""
        if self._tracked:
            self._accelerator.end_training()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Lines of a log, whole ones only; empty where there is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise TrainingError(f"{path} cannot be read: {error}") from error
    lines = []
    for line in text.splitlines():
        try:
            content = json.loads(line)
        except ValueError:
            break
        if not isinstance(content, dict) or "step" not in content:
            break
        lines.append(content)
    return lines


def flat_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings one level deep, `section.key`, as values that every tracker can show."""
    return {
        f"{section}.{name}": value if isinstance(value, (bool, int, float, str)) else json.dumps(value)
        for section, values in config.items()
        for name, value in values.items()
    }


def _rounded(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.8g}")
