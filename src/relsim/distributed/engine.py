"""Parts of a collection on Ray: read on CPU workers, worked on by actors that hold the model, given back in order.

A part is a list of records, cut by the caller so that its batches are those of a single process. A worker that dies is
started anew and does its part again. Who stores the results, and what is left out since it is there, is the caller's
matter: every stage has one writer, in the process that was started.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from relsim.data.records import ImageRecord
from relsim.distributed.cluster import Cluster, ray_package, translated
from relsim.distributed.pictures import ReadPart, read_part
from relsim.errors import FingerprintMismatchError
from relsim.fingerprint import Fingerprint

PREPARING_THREADS = 2
"""Threads that prepare pictures beside the model, in each actor."""

_READING_CPUS = 0.5
_SENT = "sent"

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Call(Protocol[T_co]):
    """How another process makes what works on a part. It is pickled: names and options, no model."""

    def load(self) -> Callable[[ReadPart], T_co]:
        """Load the model. What this raises ends the run."""


def ask(cluster: Cluster, question: Callable[..., T], *about: Any) -> T:
    """The answer of a worker to a function: there may be GPUs there, and so another precision, and none here."""
    ray = ray_package()
    with translated(ray):
        task = ray.remote(num_cpus=1, num_gpus=int(cluster.gpu), max_calls=1)(question)
        answer: T = ray.get(task.remote(*about))
    return answer


def require_same(name: str, found: Fingerprint, expected: Fingerprint) -> None:
    """Refuse a model that is another one on this worker. Raises `FingerprintMismatchError`."""
    if found != expected:
        raise FingerprintMismatchError(
            f"{name} is {found.to_dict()} on one worker and {expected.to_dict()} on another. Give every machine the "
            "same weights, and name --dtype"
        )


def pieces(records: Sequence[ImageRecord], size: int) -> list[Sequence[ImageRecord]]:
    """The records in parts of that many, in order."""
    return [records[start : start + size] for start in range(0, len(records), size)]


def work_on(parts: Sequence[Sequence[ImageRecord]], call: Call[T], cluster: Cluster) -> Iterator[T]:
    """One result for each part, in their order, as many at a time as there are workers.

    What a worker raises of relsim's errors comes as it is; what Ray raises is a `ClusterError`.
    """
    if not parts:
        return
    ray = ray_package()
    with translated(ray):
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context.execution_options.preserve_order = True
        data = (
            # One block a part: a block is what a task takes, and what is done again.
            ray.data.from_items([_row(part) for part in parts], override_num_blocks=len(parts))
            .map(_read, num_cpus=_READING_CPUS)
            .map(
                _ModelHolder,
                fn_constructor_args=(call,),
                compute=ray.data.ActorPoolStrategy(size=min(cluster.workers, len(parts))),
                num_cpus=1,
                num_gpus=int(cluster.gpu),
            )
        )
        for row in data.iter_rows():
            yield _value(row)


class _ModelHolder:
    """The model, in an actor of its own."""

    def __init__(self, call: Call[Any]) -> None:
        self._work = call.load()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return _row(self._work(_value(row)))


def _read(row: dict[str, Any]) -> dict[str, Any]:
    return _row(read_part(_value(row)))


def _row(value: Any) -> dict[str, Any]:
    """A row of a Ray dataset: bytes, since Ray would look into anything else for columns."""
    return {_SENT: pickle.dumps(value)}


def _value(row: Mapping[str, Any]) -> Any:
    return pickle.loads(row[_SENT])  # noqa: S301 - written by `_row` in a process of the same run
