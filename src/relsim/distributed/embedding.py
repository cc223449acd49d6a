"""Embedding on Ray: parts are read on CPU workers, embedded by actors, and stored here, in order, by one writer.

The unit is the part of `relsim.vectors.build`: its name follows from its ids, its batches from its records. A worker
that dies is started anew and does its part again; if this process dies, the parts that the table has are kept and a
further run does the others. So the table is that of one process, whoever died.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from relsim.data.records import ImageRecord
from relsim.distributed.cluster import Cluster, ray_package, translated
from relsim.distributed.pictures import read_part
from relsim.encoders import registry
from relsim.encoders.base import AnyEncoder
from relsim.encoders.stream import DEFAULT_BUDGET, Outcome
from relsim.errors import FingerprintMismatchError
from relsim.fingerprint import Fingerprint
from relsim.vectors.build import EmbeddedPart, Engine, Progress, embed_part

_PREPARING_THREADS = 2
_READING_CPUS = 0.5
_SENT = "sent"


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
    """What a table has to know of an encoder: fingerprint, D, and how to make it again."""

    fingerprint: Fingerprint
    dimension: int
    origin: Mapping[str, Any]


def facts_of(call: EncoderCall, cluster: Cluster) -> EncoderFacts:
    """Facts of the encoder as a worker makes it: there may be GPUs there, and so another precision, and none here."""
    ray = ray_package()
    with translated(ray):
        task = ray.remote(num_cpus=1, num_gpus=int(cluster.gpu), max_calls=1)(_facts)
        facts: EncoderFacts = ray.get(task.remote(call))
    return facts


def ray_engine(
    call: EncoderCall,
    fingerprint: Fingerprint,
    cluster: Cluster,
    *,
    budget: int = DEFAULT_BUDGET,
    on_outcome: Progress | None = None,
) -> Engine:
    """What embeds the parts for `relsim.vectors.build.fill_table_by`: as many at a time as there are workers.

    An encoder that turns out to have another fingerprint on some worker raises `FingerprintMismatchError`; what Ray
    raises, a `ClusterError`.
    """

    def engine(parts: Iterable[Sequence[ImageRecord]]) -> Iterator[EmbeddedPart]:
        for part in _stream([list(part) for part in parts], call, fingerprint, cluster, budget):
            if on_outcome is not None:
                outcomes: tuple[Outcome, ...] = (*part.failures, *part.encoded)
                for outcome in outcomes:
                    on_outcome(outcome)
            yield part

    return engine


def _stream(
    parts: Sequence[Sequence[ImageRecord]], call: EncoderCall, fingerprint: Fingerprint, cluster: Cluster, budget: int
) -> Iterator[EmbeddedPart]:
    if not parts:
        return
    ray = ray_package()
    with translated(ray):
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context.execution_options.preserve_order = True  # the order of the table's rows
        data = (
            # One block a part: a block is what a task takes, and what is done again.
            ray.data.from_items([_row(part) for part in parts], override_num_blocks=len(parts))
            .map(_read, num_cpus=_READING_CPUS)
            .map(
                _Embedder,
                fn_constructor_args=(call, fingerprint, budget),
                compute=ray.data.ActorPoolStrategy(size=min(cluster.workers, len(parts))),
                num_cpus=1,
                num_gpus=int(cluster.gpu),
            )
        )
        for row in data.iter_rows():
            yield _value(row)


class _Embedder:
    """The model, in an actor of its own."""

    def __init__(self, call: EncoderCall, fingerprint: Fingerprint, budget: int) -> None:
        self._encoder = call.load()
        self._budget = budget
        if self._encoder.fingerprint != fingerprint:
            raise FingerprintMismatchError(
                f"the encoder {call.name} is {self._encoder.fingerprint.to_dict()} on one worker and "
                f"{fingerprint.to_dict()} on another. Give every machine the same weights, and name --dtype"
            )

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        part = _value(row)
        return _row(
            embed_part(part.records, self._encoder, workers=_PREPARING_THREADS, budget=self._budget, load=part.load)
        )


def _read(row: dict[str, Any]) -> dict[str, Any]:
    return _row(read_part(_value(row)))


def _facts(call: EncoderCall) -> EncoderFacts:
    encoder = call.load()
    return EncoderFacts(encoder.fingerprint, encoder.dimension, registry.origin_of(call.name, encoder, call.options))


def _row(value: Any) -> dict[str, Any]:
    """A row of a Ray dataset: bytes, since Ray would look into anything else for columns."""
    return {_SENT: pickle.dumps(value)}


def _value(row: Mapping[str, Any]) -> Any:
    return pickle.loads(row[_SENT])  # noqa: S301 - written by `_row` in a process of the same run
