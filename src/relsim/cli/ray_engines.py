"""`--engine ray` of the verbs that write rows: where it runs, and the captioner or filter on its workers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from relsim.errors import RelsimError

if TYPE_CHECKING:
    from relsim.captions.caption_file import CaptionResult
    from relsim.captions.filtering import FilterResult
    from relsim.captions.stream import Plan
    from relsim.data.download.run import Fetch
    from relsim.data.records import ImageRecord
    from relsim.fingerprint import Fingerprint

PANEL = "More than one process"

Engine = Annotated[
    Literal["local", "ray"],
    typer.Option(
        metavar="local|ray", help="Work in this process, or by workers of Ray (docs/scale.md).", rich_help_panel=PANEL
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        metavar="ADDRESS",
        help="A running Ray, such as auto. Default: one on this machine, for this run.",
        rich_help_panel=PANEL,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--ray-workers",
        metavar="N",
        min=1,
        help="Workers of Ray. Default: one for each GPU, else for each core but one.",
        rich_help_panel=PANEL,
    ),
]


@dataclass(frozen=True, slots=True)
class Where:
    """The three options above, checked against each other. Raises `typer.BadParameter`."""

    engine: str
    address: str | None
    workers: int | None

    def __post_init__(self) -> None:
        for flag, value in (("--ray-address", self.address), ("--ray-workers", self.workers)):
            if value is not None and not self.on_ray:
                raise typer.BadParameter("it is for --engine ray", param_hint=flag)

    @property
    def on_ray(self) -> bool:
        """Whether it is Ray at all."""
        return self.engine == "ray"

    def require_file(self, out: Path | None, example: str) -> None:
        """Refuse what goes to the terminal: finished parts have to be kept somewhere. Raises `RelsimError`."""
        if self.on_ray and out is None:
            raise RelsimError(f"--engine ray keeps what is finished in a file; name it: --out {example}")


@dataclass(frozen=True, slots=True)
class Captioning:
    """A captioner on workers: what is told of it, and `caption_to_file` by it."""

    fingerprint: Fingerprint
    to_file: Callable[..., CaptionResult]


@dataclass(frozen=True, slots=True)
class Filtering:
    """A filter on workers: what is told of it, and `filter_to_file` by it."""

    fingerprint: Fingerprint
    threshold: float
    to_file: Callable[..., FilterResult]


@contextlib.contextmanager
def captioning(options: Mapping[str, Any], plan: Plan, where: Where) -> Iterator[Captioning]:
    """The captioner of these options on Ray. Raises `MissingExtraError`, `ClusterError`, and as `Captioner.load`."""
    from relsim.captions.caption_file import caption_to_file_by
    from relsim.distributed.captioning import facts_of, ray_windows
    from relsim.distributed.cluster import running

    with running(where.address, workers=where.workers, gpus=_may_use_gpu(options)) as cluster:
        facts = facts_of(options, plan, cluster)

        def to_file(records: Sequence[ImageRecord], out: Path, **settings: Any) -> CaptionResult:
            engine = ray_windows(options, plan, facts, cluster)
            return caption_to_file_by(records, engine, facts.made_by, plan.runs, out, **settings)

        yield Captioning(facts.fingerprint, to_file)


@contextlib.contextmanager
def filtering(options: Mapping[str, Any], where: Where) -> Iterator[Filtering]:
    """The filter of these options on Ray. Raises `MissingExtraError`, `ClusterError`, and as the filter's `load`."""
    from relsim.captions.filtering import filter_to_file_by
    from relsim.distributed.cluster import running
    from relsim.distributed.filtering import facts_of, ray_outcomes

    with running(where.address, workers=where.workers, gpus=_may_use_gpu(options)) as cluster:
        facts = facts_of(options, cluster)

        def to_file(
            records: Sequence[ImageRecord], out: Path, *, threshold: float, batch_size: int, **settings: Any
        ) -> FilterResult:
            engine = ray_outcomes(options, facts, cluster, threshold=threshold, batch_size=batch_size)
            return filter_to_file_by(records, engine, facts.fingerprint, threshold, out, **settings)

        yield Filtering(facts.fingerprint, facts.threshold, to_file)


@contextlib.contextmanager
def downloading(where: Where) -> Iterator[Fetch]:
    """What fetches: this process, or workers of Ray. Raises `MissingExtraError` and `ClusterError`."""
    from relsim.data.download.run import fetch_here

    if not where.on_ray:
        yield fetch_here
        return
    from relsim.distributed.cluster import running
    from relsim.distributed.downloading import ray_fetch

    with running(where.address, workers=where.workers, gpus=False) as cluster:
        yield ray_fetch(cluster)


def _may_use_gpu(options: Mapping[str, Any]) -> bool:
    return not str(options.get("device")).startswith("cpu")
