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

import numpy as np

from relsim.errors import MissingExtraError, TrainingError
from relsim.files import flush, temporary_beside
from relsim.training.crops import Squares

LOG = "train.jsonl"
_HELD_OUT = "eval_"
PACKAGES = {"wandb": ("wandb",), "trackio": ("trackio",), "tensorboard": ("tensorboard", "tensorboardX")}
_COLUMNS = ("part", "picture", "true caption", "greedy", "greedy: verdict", "drawn", "drawn: verdict")
Line = Mapping[str, float]
Watcher = Callable[[Line], None]


def check_trackers(names: Sequence[str]) -> None:
    """Raises `MissingExtraError` for a tracker whose package is absent."""
    for name in names:
        if all(find_spec(package) is None for package in PACKAGES[name]):
            raise MissingExtraError(PACKAGES[name][0], "tracking", f"tracking a run with {name}")


class RunLog:
    """Writes lines to `train.jsonl` in `out`, to Accelerate's trackers, and to a watcher such as a progress line.

    Only the first process writes. `accelerator` was made with the trackers' names; their files are in `out` as well.
    """

    def __init__(
        self,
        out: Path,
        accelerator: Any,
        config: Mapping[str, Any],
        watcher: Watcher | None = None,
        *,
        project: str = "relsim",
    ) -> None:
        self._path = out / LOG
        self._accelerator = accelerator
        self._watcher = watcher
        self._first: bool = accelerator.is_main_process
        self._shown = False
        self._tracked = bool(accelerator.log_with)
        if self._tracked:
            places = {"wandb": {"dir": str(out)}}  # else it is the folder that the run was started in
            accelerator.init_trackers(project, config=flat_settings(config), init_kwargs=places)

    def begin(self, step: int) -> None:
        """Keep the lines up to a step; a part of a line that an interrupted run left goes too."""
        if self._first:
            keep_lines(self._path, step)

    def figures(self, step: int) -> dict[str, float]:
        """The last held-out figures up to a step, as the task named them; empty where there are none."""
        lines = (line for line in reversed(read_log(self._path)) if line["step"] <= step)
        held_out = ({name: value for name, value in line.items() if name.startswith(_HELD_OUT)} for line in lines)
        return {name.removeprefix(_HELD_OUT): value for name, value in next(filter(None, held_out), {}).items()}

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

    def show_samples(self, step: int, rows: Sequence[Mapping[str, Any]], squares: Sequence[Squares]) -> None:
        """Give sample captions to the trackers: rows as in `caption_samples.py`, and the square of each.

        wandb gets a table, tensorboard and others a text; those that take pictures get these once.
        """
        for tracker in self._accelerator.trackers if self._tracked else []:
            cells = [_cells(row) for row in rows]
            if hasattr(tracker, "log_table"):
                tracker.log_table("samples", columns=list(_COLUMNS), data=cells, step=step)
            else:
                tracker.log({"samples": _markdown(cells)}, step=step)
            if hasattr(tracker, "log_images") and not self._shown:
                options = {"dataformats": "NHWC"} if tracker.name == "tensorboard" else {}
                tracker.log_images({"sample pictures": np.stack(squares)}, step=step, **options)
        self._shown = True

    def end(self) -> None:
        """Let the trackers finish."""
        if self._tracked:
            self._accelerator.end_training()


def keep_lines(path: Path, step: int) -> None:
    """Of a file with a step in each line keep those up to `step`, none for 0. Raises `TrainingError`."""
    lines = read_log(path) if step else []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_beside(path) as temporary:
            kept = (json.dumps(line, ensure_ascii=False) + "\n" for line in lines if line["step"] <= step)
            temporary.write_text("".join(kept), encoding="utf-8")
            flush(temporary)
            temporary.replace(path)
    except OSError as error:
        raise TrainingError(f"{path} cannot be written: {error}") from error


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


def _cells(row: Mapping[str, Any]) -> list[str]:
    said = [row[kind] for kind in ("greedy", "drawn")]
    verdicts = ["anonymous" if one["anonymous"] else "names things" for one in said]
    captions = [one["caption"] for one in said]
    return [row["part"], row["image_id"], row["captions"][0], captions[0], verdicts[0], captions[1], verdicts[1]]


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table as trackers show it in a text; what would end a cell or a row is taken out of the cells."""
    cells = ([" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in (_COLUMNS, ["---"] * 7, *rows))
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _rounded(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.8g}")
