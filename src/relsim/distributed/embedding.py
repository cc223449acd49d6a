"""Embedding on Ray: parts are read on CPU workers, embedded by actors, and stored here, in order, by one writer.

The unit is the part of `relsim.vectors.build`: its name follows from its ids, its batches from its records. A worker
that dies is replaced and its part done again; if this process dies, the parts that the table has are kept and a
further run does the others. So the table is that of one process, whoever died.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from relsim.data.records import ImageRecord
from relsim.distributed.cluster import Cluster
from relsim.distributed.engine import PREPARING_THREADS, ask, require_same, work_on
from relsim.distributed.pictures import ReadPart, read_part
from relsim.encoders import registry
from relsim.encoders.base import AnyEncoder, Shrink, draft_of, shrink_of
from relsim.encoders.stream import Outcome, batch_halving
from relsim.fingerprint import Fingerprint
from relsim.vectors.build import EmbeddedPart, Engine, Progress, embed_part


@dataclass(frozen=True, slots=True)
class EncoderCall:
    """An encoder by its name and options, so that another process can make it."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> AnyEncoder:
        """Make it. Raises as `relsim.encoders.registry.load_encoder` does."""
        return registry.load_encoder(self.name, **self.options)


@dataclass(frozen=True, slots=True)
class EncoderFacts:
    """What a table has to know of an encoder: fingerprint, D, and how to make it again; and how files are read."""

    fingerprint: Fingerprint
    dimension: int
    origin: Mapping[str, Any]
    draft: int | None = None
    shrink: Shrink | None = None


def facts_of(call: EncoderCall, cluster: Cluster) -> EncoderFacts:
    """Facts of the encoder as a worker makes it."""
    return ask(cluster, _facts, call)


def ray_engine(
    call: EncoderCall,
    facts: EncoderFacts,
    cluster: Cluster,
    *,
    budget: int | None = None,
    on_outcome: Progress | None = None,
) -> Engine:
    """What embeds the parts for `relsim.vectors.build.fill_table_by`: as many at a time as there are workers.

    An encoder that turns out to have another fingerprint on some worker raises `FingerprintMismatchError`; what Ray
    raises, a `ClusterError`. A picture that kills the process which works on it is a failure.
    """

    def engine(parts: Iterable[Sequence[ImageRecord]]) -> Iterator[EmbeddedPart]:
        work = _EmbedCall(call, facts.fingerprint, budget)
        read = partial(read_part, draft=facts.draft, shrink=facts.shrink)
        for part in work_on(parts, work, cluster, read=read):
            if on_outcome is not None:
                outcomes: tuple[Outcome, ...] = (*part.failures, *part.encoded)
                for outcome in outcomes:
                    on_outcome(outcome)
            yield part

    return engine


@dataclass(frozen=True, slots=True)
class _EmbedCall:
    encoder: EncoderCall
    fingerprint: Fingerprint
    budget: int | None

    def load(self) -> Callable[[ReadPart], EmbeddedPart]:
        encoder = self.encoder.load()
        require_same(f"the encoder {self.encoder.name}", encoder.fingerprint, self.fingerprint)
        halving = batch_halving()  # the worker's, for all its parts
        return lambda part: embed_part(
            part.records, encoder, workers=PREPARING_THREADS, budget=self.budget, load=part, halving=halving
        )


def _facts(call: EncoderCall) -> EncoderFacts:
    encoder = call.load()
    origin = registry.origin_of(call.name, encoder, call.options)
    return EncoderFacts(encoder.fingerprint, encoder.dimension, origin, draft_of(encoder), shrink_of(encoder))
