"""Curation from images to a data set: seven stages, each a folder, and a report.

    1-images/        every row of the sources, what is known of its image, and which images are duplicates
    2-interesting/   with a filter: its scores
    3-groups/        with seed groups: their captions, asked of a model where that is wanted, and which are anonymous
    3-captioner/     with seed groups: the training run of a captioner
    4-captions/      captions of the images that are left
    5-anonymous/     the captions that name nothing, and those that do, with what the linter finds
    6-dataset/       train.jsonl, held_out.jsonl and their images, which `relsim train metric` takes as they are
    report.json, report.html

A run in the same folder passes over what is done, goes on within a stage that was ended, and makes again what other
settings or other images ask for. Every stage calls the function that its own verb calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relsim.curation import captions, dataset, groups, images
from relsim.curation.options import Curation, training_facts
from relsim.curation.report import report_of
from relsim.curation.report_page import render
from relsim.curation.stage import GoesOn, Plan, Stage, Tell, Watch, open_root, remove_stage, run_stage, unwatched
from relsim.data.identity import printable
from relsim.data.records import ImageRecord
from relsim.errors import SourceError
from relsim.evaluation.result_files import write_json, write_whole
from relsim.fingerprint import Fact
from relsim.training.config import TrainingConfig
from relsim.training.tracking import Watcher

NAMES = ("1-images", "2-interesting", "3-captioner", "4-captions", "5-anonymous", "6-dataset")
GROUPS = "3-groups"
REPORT, PAGE = "report.json", "report.html"


@dataclass(frozen=True, slots=True)
class Curated:
    """What a run leaves: its folder, its stages in order, and the content of report.json."""

    out: Path
    stages: tuple[Stage, ...]
    report: dict[str, Any]

    @property
    def dataset(self) -> Path:
        """The folder of the data set."""
        return self.out / NAMES[5]

    @property
    def unreadable(self) -> int:
        """Images of the sources that could not be used."""
        return sum(self.report["unreadable"].values())


def curate(
    sources: Sequence[str | Path],
    out: str | Path,
    wanted: Curation | None = None,
    *,
    watch: Watch = unwatched,
    tell: Tell = lambda _line: None,
    watcher: Watcher | None = None,
) -> Curated:
    """Make the data set of these images in the folder `out`, new or of an earlier run.

    `watch` shows how far a stage is, `tell` gets a line a stage, `watcher` the lines of a training run. Raises
    `RelsimError`: a `SourceError` where a stage leaves nothing, once the report that says why is written.
    """
    root = Path(out).absolute()
    run = _Run(root, wanted or Curation(), watch, tell, watcher)
    # Whatever is wrong with what is named, before an hour of work.
    records = images.list_sources(sources, run.wanted.image_folder, root)
    run.check()
    with open_root(root):
        empty = run.go(records, sources)
        report = report_of(run.stages, run.settings, {record.image_id: record.source for record in records})
        write_json(root / REPORT, report)
        write_whole(root / PAGE, render(report).encode("utf-8", "backslashreplace"))
        if empty is not None:
            for name in NAMES[4:]:
                if name > empty.name:  # what is left of an earlier run is no result of this one
                    remove_stage(root / name)
            raise SourceError(f"nothing is left of {len(records):,} images after {empty}; {root / PAGE} shows why")
    return Curated(root, tuple(run.stages), report)


class _Run:
    """The stages of one run, one after the other."""

    def __init__(self, root: Path, wanted: Curation, watch: Watch, tell: Tell, watcher: Watcher | None) -> None:
        self.root, self.wanted = root, wanted
        self.stages: list[Stage] = []
        self.settings: dict[str, dict[str, Fact]] = {}
        self._watch, self._tell, self._watcher = watch, tell, watcher

    def check(self) -> None:
        """Raises `CheckpointError` for models that are not what they are named for."""
        if self.wanted.filter is not None:
            self.wanted.filter_facts()
        if self.wanted.training is None:
            self.wanted.caption_facts(self.wanted.captioner)
        else:
            training_facts(self.wanted.training)
            groups.check_groups(self.wanted.training, self.wanted.asking)

    def go(self, records: Sequence[ImageRecord], sources: Sequence[str | Path]) -> Stage | None:
        """All stages. Gives the one that left nothing, if one did."""
        wanted = self.wanted
        self._tell_of_unused()
        shards = [*sources, *([wanted.image_folder] if wanted.image_folder is not None else [])]
        first = self._run(
            Plan(NAMES[0], {"duplicates": wanted.dedup}, {"sources": images.listing_digest(records)}, GoesOn.ROWS),
            lambda folder: images.make_images(folder, records, shards, wanted.dedup, self._watch),
        )
        if not first.kept:
            return first
        left, before = images.kept_records(first.folder, records), first
        if wanted.filter is not None:
            every = left
            before = self._run(
                Plan(NAMES[1], wanted.filter_facts(), first.results, GoesOn.ROWS),
                lambda folder: captions.make_scores(folder, every, wanted, self._watch),
            )
            left = captions.interesting_records(before.folder, left)
            if not left:
                return before
        said = self._captions(left, before)
        if not said.kept:
            return said
        judged = self._run(
            Plan(NAMES[4], {"linter": dataset.linter_digest()}, said.results),
            lambda folder: dataset.make_verdicts(folder, said.folder / captions.CAPTIONS),
        )
        if not judged.kept:
            return judged
        settings: dict[str, Fact] = {"held_out": wanted.held_out, "seed": wanted.seed, "images": "by SHA-256"}
        self._run(
            Plan(NAMES[5], settings, {**judged.results, **first.results}),
            lambda folder: dataset.make_dataset(
                folder,
                judged.folder / dataset.KEPT,
                first.folder / images.IMAGES,
                left,
                held_out=wanted.held_out,
                seed=wanted.seed,
                watch=self._watch,
            ),
        )
        return None

    def _captions(self, left: Sequence[ImageRecord], before: Stage) -> Stage:
        """A captioner, if one is to be trained, and the captions."""
        wanted, trained = self.wanted, None
        if (config := wanted.training) is not None:
            seeds = self._groups(config)
            if not seeds.kept:
                return seeds
            config = groups.training_of(config, seeds.folder)
            learned = self._run(
                Plan(NAMES[2], training_facts(config), captions.training_inputs(config), GoesOn.SAME),
                lambda folder: captions.make_captioner(folder, config, self._watcher),
            )
            trained = learned.folder / learned.content["checkpoint"]
        options = wanted.captioner_of(trained)
        return self._run(
            Plan(NAMES[3], wanted.caption_facts(options), before.results, GoesOn.ROWS),
            lambda folder: captions.make_captions(folder, left, wanted, options, self._watch),
        )

    def _groups(self, config: TrainingConfig) -> Stage:
        asking, keep = self.wanted.asking, self.wanted.keep_leaks
        facts: dict[str, Fact] = {"linter": dataset.linter_digest(), "keep_leaks": keep}
        if asking is not None:
            facts |= asking.facts()
        return self._run(
            Plan(GROUPS, facts, groups.groups_inputs(config)),
            lambda folder: groups.make_groups(folder, config, asking, keep_leaks=keep, watch=self._watch),
        )

    def _run(self, plan: Plan, work: Any) -> Stage:
        stage = run_stage(self.root, plan, work, self._tell)
        self.stages.append(stage)
        self.settings[stage.name] = dict(plan.settings)
        return stage

    def _tell_of_unused(self) -> None:
        """Folders of an earlier run that this one has no use for stay, and are not part of its report."""
        idle_training = self.wanted.training is None
        unused = {NAMES[1]: self.wanted.filter is None, GROUPS: idle_training, NAMES[2]: idle_training}
        for name, idle in unused.items():
            if idle and (self.root / name).exists():
                self._tell(f"{printable(name)}: of an earlier run, not used")
