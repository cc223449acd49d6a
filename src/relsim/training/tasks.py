"""The tasks of a run by name, and which figures are better."""

from __future__ import annotations

from relsim.training.answer_tasks import CaptionTask, YesNoTask
from relsim.training.config import TrainingConfig
from relsim.training.feed import Data
from relsim.training.metric_task import MetricTask
from relsim.training.network import TrainingNetwork
from relsim.training.processes import Processes
from relsim.training.task import Task


def make_task(config: TrainingConfig, network: TrainingNetwork, data: Data, processes: Processes) -> Task:
    """The task that the configuration names."""
    kinds: dict[str, type[MetricTask | CaptionTask | YesNoTask]] = {
        "metric": MetricTask,
        "caption": CaptionTask,
        "yes_no": YesNoTask,
    }
    return kinds[config.objective.task](config, network, data, processes)


def is_better(metric: str, value: float, than: float | None) -> bool:
    """Whether a figure is an improvement: losses fall, everything else rises."""
    if than is None:
        return value == value  # noqa: PLR0124 - false for NaN, which is no figure
    return value < than if metric.endswith("loss") else value > than
