"""What a run of curation is asked for, and what of it each stage depends on, without loading a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relsim.captions.captioner import DEFAULT_BATCH
from relsim.captions.checkpoint import CaptionerFiles, read_captioner
from relsim.captions.interesting import read_filter
from relsim.captions.stream import Plan
from relsim.curation.groups import Asking
from relsim.errors import SourceError
from relsim.fingerprint import Fact
from relsim.models.base import digest_base, find_base
from relsim.models.checkpoint import ADAPTER_TENSORS
from relsim.models.digest import digest_files
from relsim.models.embedded import DEFAULT_CAPTIONER
from relsim.models.generation import Sampling
from relsim.models.hub import resolve_folder
from relsim.training.config import TrainingConfig

DEDUP = ("exact", "near", "none")
HELD_OUT = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Curation:
    """Settings of a run. `filter` and `captioner` are options of `InterestingFilter.load` and `Captioner.load`.

    Without `filter` all images are captioned. With `training`, whose `run.out` does not count, a captioner is trained
    and takes the place of `captioner`, on the same device; `asking` has a model write captions of its seed groups, and
    with `keep_leaks` those that name things are trained on. `seed` decides what is drawn and what is held out. Raises
    `SourceError` for a setting that is out of range.
    """

    image_folder: Path | None = None
    dedup: str = "near"
    filter: Mapping[str, str] | None = None
    threshold: float | None = None
    training: TrainingConfig | None = None
    asking: Asking | None = None
    keep_leaks: bool = False
    captioner: Mapping[str, str] = field(default_factory=lambda: {"checkpoint_dir": DEFAULT_CAPTIONER})
    runs: int = 1
    until_anonymous: int = 0
    held_out: float = HELD_OUT
    seed: int = 0
    batch_size: int = DEFAULT_BATCH

    def __post_init__(self) -> None:
        if self.dedup not in DEDUP:
            raise SourceError(f"duplicates are told by {', '.join(DEDUP)}, not by {self.dedup!r}")
        if not 0 <= self.held_out < 1:
            raise SourceError(f"the held-out share is {self.held_out:g}; it must be from 0 to below 1, such as 0.05")
        if self.threshold is not None and (self.filter is None or not 0 <= self.threshold <= 1):
            what = "belongs to a filter, and none is named" if self.filter is None else "must be from 0 to 1"
            raise SourceError(f"the threshold {self.threshold:g} {what}")
        try:
            _ = self.plan
        except ValueError as error:
            raise SourceError(str(error)) from error

    @property
    def plan(self) -> Plan:
        """How captions are drawn: as published."""
        sampling = Sampling(seed=self.seed)
        return Plan(sampling, self.runs, self.until_anonymous, self.batch_size)

    def captioner_of(self, trained: Path | None) -> Mapping[str, str]:
        """Options of the captioner that writes: the one that was trained, where there is one."""
        if trained is None or self.training is None:
            return self.captioner
        given = {name: self.captioner[name] for name in ("device", "dtype") if name in self.captioner}
        base = {"base_model": self.training.model.base} if self.training.model.tune == "lora" else {}
        return {**given, **base, "checkpoint_dir": str(trained)}

    def filter_facts(self) -> dict[str, Fact]:
        """What the scores of the filter and what is kept depend on. Raises `CheckpointError`."""
        options = self.filter or {}
        found = read_filter(resolve_folder(options["checkpoint_dir"]))
        limit = found.threshold if self.threshold is None else self.threshold
        facts = _facts(options, found.answers, "filter")
        return {**facts, "yes_bias": found.yes_bias, "threshold": limit}

    def caption_facts(self, options: Mapping[str, str]) -> dict[str, Fact]:
        """What captions by a captioner of these options depend on. Raises `CheckpointError`."""
        facts = _facts(options, read_captioner(resolve_folder(options["checkpoint_dir"])), "captioner")
        return {**facts, "runs": self.runs, "until_anonymous": self.until_anonymous, "seed": self.seed}


def _facts(options: Mapping[str, str], files: CaptionerFiles, kind: str) -> dict[str, Fact]:
    """Digest of the weights, prompt, recipe, and precision where that is chosen."""
    folder = resolve_folder(options["checkpoint_dir"])
    base = find_base(files.base_model, folder, options.get("base_model")) if files.adapter else folder
    return {
        kind: f"{digest_base(base)}+{digest_files(folder, ADAPTER_TENSORS)}",
        "prompt": files.prompt,
        "recipe": options.get("recipe", files.recipe.value),
        "precision": options.get("dtype"),
    }


def training_facts(config: TrainingConfig) -> dict[str, Fact]:
    """What the weights of a run depend on, apart from its pictures: settings that decide what is learned, the base."""
    from relsim.training.state import FREE

    base = digest_base(resolve_folder(config.model.base)) if config.model.init == "pretrained" else None
    facts: dict[str, Fact] = {"base": base}
    for section, values in config.model_dump(mode="json").items():
        for name, value in values.items():
            if f"{section}.{name}" not in (*FREE, "model.base"):
                facts[f"{section}.{name}"] = _fact(value)
    return facts


def _fact(value: Any) -> Fact:
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)
