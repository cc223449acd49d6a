"""What `relsim embed` embeds with: a model in this process, or workers of Ray on this machine or on many."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relsim.cli import specs
from relsim.cli.ray_engines import Where

if TYPE_CHECKING:
    from relsim.data.records import ImageRecord
    from relsim.evaluation.encoder_specs import EncoderSpec
    from relsim.fingerprint import Fingerprint
    from relsim.vectors.build import BuildSummary, Progress
    from relsim.vectors.table import VectorTable


@dataclass(frozen=True, slots=True)
class Filler:
    """An encoder that is ready, wherever it is: what a table has to know of it, and how it fills one."""

    fingerprint: Fingerprint
    dimension: int
    origin: Mapping[str, Any]
    fill: Callable[[VectorTable, Sequence[ImageRecord], Progress], BuildSummary]


def here(
    spec: EncoderSpec, flags: Mapping[str, Any], *, part_rows: int, workers: int | None, budget: int | None
) -> contextlib.AbstractContextManager[Filler]:
    """The encoder in this process, with that many decoding threads. Raises as `specs.load_spec` does."""
    from relsim.vectors.build import fill_table

    encoder, origin = specs.load_spec(spec, flags)

    def fill(table: VectorTable, records: Sequence[ImageRecord], advance: Progress) -> BuildSummary:
        return fill_table(
            table, records, encoder, part_rows=part_rows, workers=workers, budget=budget, on_outcome=advance
        )

    return contextlib.nullcontext(Filler(encoder.fingerprint, encoder.dimension, origin, fill))


@contextlib.contextmanager
def on_ray(
    spec: EncoderSpec,
    flags: Mapping[str, Any],
    *,
    where: Where,
    part_rows: int,
    workers: int | None,
    budget: int | None,
) -> Iterator[Filler]:
    """The encoder on Ray, in that many workers if `where` names none.

    Raises `MissingExtraError`, `ClusterError`, and as `here` does.
    """
    from relsim.distributed.cluster import running
    from relsim.distributed.embedding import EncoderCall, facts_of, ray_engine
    from relsim.encoders.registry import may_use_gpu
    from relsim.vectors.build import fill_table_by

    call = EncoderCall(spec.name, specs.all_options(spec, flags))
    gpus = may_use_gpu(call.name, call.options)
    with running(where.address, workers=where.workers or workers, gpus=gpus) as cluster:
        facts = facts_of(call, cluster)

        def fill(table: VectorTable, records: Sequence[ImageRecord], advance: Progress) -> BuildSummary:
            engine = ray_engine(call, facts, cluster, budget=budget, on_outcome=advance)
            return fill_table_by(table, records, engine, facts.fingerprint, part_rows=part_rows)

        yield Filler(facts.fingerprint, facts.dimension, facts.origin, fill)
