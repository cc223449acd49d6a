"""How a run begins: what it needs from elsewhere is found, its folder made, its pictures opened."""

from __future__ import annotations

from pathlib import Path

from relsim.errors import TrainingError
from relsim.files import temporary_beside
from relsim.models.hub import resolve_folder
from relsim.models.text_encoder import CaptionEncoder
from relsim.training.config import TrainingConfig
from relsim.training.crops import HEAD
from relsim.training.feed import Data, open_data
from relsim.training.image_towers import tower_kind
from relsim.training.processes import Processes
from relsim.training.prompts import prepare_processor

CONFIG, PROCESSOR = "config.yaml", "processor"


def open_run(config: TrainingConfig, processes: Processes) -> tuple[Data, Path]:
    """The data of a run and the folder of its processor files; the first process makes what the others then read.

    What cannot be had is told before anything is written and a picture decoded, which may take hours. Raises
    `TrainingError`, `CheckpointError`, `SourceError` or `MissingExtraError`.
    """
    if not processes.first:
        processes.wait()
        return open_data(config), _processor(config, write=False)
    resolve_folder(config.model.base)
    _find_text_encoder(config)
    _open_folder(config)
    processor = _processor(config, write=True)
    data = open_data(config)
    processes.wait()
    return data, processor


def _find_text_encoder(config: TrainingConfig) -> None:
    """Load what the captions of a metric need, where pictures are to be decoded first.

    Where they have been, the vectors of the captions may lie beside them, and no encoder is needed.
    """
    data = config.data
    crops = data.crops or config.run.out / "crops"
    if config.objective.task == "metric" and data.manifests and not (crops / HEAD).exists():
        _ = CaptionEncoder().model


def _open_folder(config: TrainingConfig) -> None:
    """Make the run's folder and write its settings there."""
    out = config.run.out
    try:
        out.mkdir(parents=True, exist_ok=True)
        with temporary_beside(out / CONFIG) as temporary:
            temporary.write_text(config.to_yaml(), encoding="utf-8")
            temporary.replace(out / CONFIG)
    except OSError as error:
        raise TrainingError(f"{out} cannot be written: {error}") from error


def _processor(config: TrainingConfig, *, write: bool) -> Path:
    base = resolve_folder(config.model.base)
    if config.objective.task != "metric" or tower_kind(config) is not None:
        return base
    return prepare_processor(base, config.run.out / PROCESSOR, write=write)
