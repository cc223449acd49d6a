"""The state of a run between two steps, in one file: what a later process needs to go on as if nothing had happened.

    state-<step>.safetensors    masters and the optimizers' moments as long fp32 tensors (see `flat.py`); in the header,
                                as JSON under "relsim": schema, step, configuration, facts of data and network, best
                                figure, sums since the last line of the log, the loss scaler

Order of data, learning rate and dropout follow from the seed and the step, so they need no state. The file appears by
one rename; a reader sees all of it or none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from relsim.errors import TrainingError
from relsim.files import flush, temporary_beside

SCHEMA = "relsim.training-state/1"
_NAME = re.compile(r"state-(\d+)\.safetensors")
FREE = (
    "run.out",
    "run.stop_at",
    "run.log_every",
    "run.save_every",
    "run.eval_every",
    "run.keep",
    "run.trackers",
    "run.project",
    "run.threads",
    "run.best_metric",
    "data.image_folder",
    "data.manifests",
    "data.crops",
    "data.eval_manifest",
    "data.eval_crops",
    "data.eval_image_folder",
    "data.keep_tokens",
    "data.keep_tokens_limit",
    "data.workers",
    "data.max_unreadable",
    "optimizer.micro_batch_size",
    "model.storage",
    "samples.every",
    "samples.held_out",
    "samples.trained",
    "samples.max_new_tokens",
    "samples.temperature",
    "samples.top_p",
)
"""Settings that may differ when a run goes on: they change what is written and where, not what is learned from.

With another `micro_batch_size` the gradient of a step stays that of its whole batch, but dropout does not, for each
micro-batch has a seed of its own: a run with dropout ends with other weights, one without it with others by rounding.
Paths may because folders move; that pictures, captions and groups are the same is checked by their digests.
"""


@dataclass(frozen=True, slots=True)
class State:
    """A run after `step` steps."""

    step: int
    config: dict[str, Any]
    facts: dict[str, Any]  # of data and network: what must be the same besides the configuration
    tensors: Mapping[str, Tensor] = field(repr=False)
    best: dict[str, Any] | None = None  # metric, value and step of the best checkpoint
    logged: dict[str, Any] = field(default_factory=dict)  # sums since the last line of the log
    scaler: dict[str, Any] | None = None  # of torch's GradScaler, fp16 only; of older states the scale alone


def save_state(folder: Path, state: State) -> Path:
    """Write `state-<step>.safetensors`. Raises `TrainingError` where the disk refuses."""
    about = {name: value for name, value in _plain(state).items() if name != "tensors"}
    path = folder / f"state-{state.step:08d}.safetensors"
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors.items()}
    try:
        with temporary_beside(path) as temporary:
            save_file(tensors, temporary, metadata={"relsim": json.dumps({"schema": SCHEMA, **about})})
            flush(temporary)
            temporary.replace(path)
            flush(folder)
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"the state of the run cannot be written to {path}: {error}") from error
    return path


def saved_states(folder: Path) -> list[Path]:
    """States in a run's folder, the oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def load_state(path: Path) -> State:
    """Read a state. Raises `TrainingError` for a file that is damaged or of another kind."""
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {}).get("relsim", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (OSError, SafetensorError, ValueError) as error:
        raise TrainingError(f"{path} cannot be read: {error}; remove it to go on from the state before") from error
    if about.pop("schema", None) != SCHEMA:
        raise TrainingError(f"{path} is no state of the kind {SCHEMA}; was it written by another relsim?")
    scale = about.pop("scale", None)  # all that older states have of the scaler
    if scale is not None:
        about["scaler"] = {"scale": scale}
    return State(tensors=tensors, **about)


def check_same_settings(state: State, config: Mapping[str, Any]) -> None:
    """Refuse to go on under another configuration, naming the setting that differs; `FREE` ones may."""
    saved, given = _flatten(state.config), _flatten(config)
    for key in sorted(saved.keys() | given.keys()):
        if key not in FREE and saved.get(key) != given.get(key):
            raise TrainingError(
                f"{key} is {_shown(given.get(key))}, the saved state was trained with {_shown(saved.get(key))}; "
                "resume with the same settings, or start a new run in another run.out"
            )


def check_same_facts(state: State, facts: Mapping[str, Any]) -> None:
    """Refuse to go on with other data or another network, naming what differs. Older states have fewer facts."""
    for key in sorted(state.facts.keys() & facts.keys()):
        if state.facts[key] != facts[key]:
            raise TrainingError(
                f"{key}: now {_shown(facts[key])}, the saved state was trained with {_shown(state.facts[key])}; resume "
                "with the same data and base model, or start a new run in another run.out"
            )


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _plain(state: State) -> dict[str, Any]:
    return asdict(
        State(state.step, state.config, state.facts, {}, best=state.best, logged=state.logged, scaler=state.scaler)
    )


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
