"""Captioning on Ray. A part is the window of pictures that one process captions together, so the rows are equal."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from relsim.captions.caption_file import WindowEngine, made_by
from relsim.captions.captioner import Captioner
from relsim.captions.stream import Outcome, Plan, caption_windows
from relsim.data.records import ImageRecord
from relsim.distributed.cluster import Cluster
from relsim.distributed.engine import PREPARING_THREADS, ask, pieces, require_same, work_on
from relsim.distributed.pictures import ReadPart, read_part
from relsim.encoders.base import Shrink, draft_of, shrink_of
from relsim.fingerprint import Fingerprint


@dataclass(frozen=True, slots=True)
class CaptionerFacts:
    """What is told of a captioner, what its rows depend on, and how to read files for it."""

    fingerprint: Fingerprint
    made_by: Fingerprint
    draft: int | None = None
    shrink: Shrink | None = None


def facts_of(options: Mapping[str, Any], plan: Plan, cluster: Cluster) -> CaptionerFacts:
    """Facts of the captioner that `Captioner.load` makes of the options on a worker."""
    return ask(cluster, _facts, options, plan)


def ray_windows(options: Mapping[str, Any], plan: Plan, facts: CaptionerFacts, cluster: Cluster) -> WindowEngine:
    """What captions the windows for `relsim.captions.caption_file.caption_to_file_by`.

    Raises `FingerprintMismatchError` where a worker has another captioner, and `ClusterError`.
    """

    def engine(records: Sequence[ImageRecord]) -> Generator[list[Outcome], None, None]:
        work = _CaptionCall(options, plan, facts.fingerprint)
        read = partial(read_part, draft=facts.draft, shrink=facts.shrink)
        yield from work_on(pieces(records, plan.window), work, cluster, read=read)

    return engine


@dataclass(frozen=True, slots=True)
class _CaptionCall:
    options: Mapping[str, Any]
    plan: Plan
    fingerprint: Fingerprint

    def load(self) -> Callable[[ReadPart], list[Outcome]]:
        captioner = Captioner.load(**self.options)
        require_same("the captioner", captioner.fingerprint, self.fingerprint)

        def work(part: ReadPart) -> list[Outcome]:
            windows = caption_windows(part.records, captioner, self.plan, workers=PREPARING_THREADS, load=part)
            return [outcome for window in windows for outcome in window]

        return work


def _facts(options: Mapping[str, Any], plan: Plan) -> CaptionerFacts:
    captioner = Captioner.load(**options)
    return CaptionerFacts(captioner.fingerprint, made_by(captioner, plan), draft_of(captioner), shrink_of(captioner))
