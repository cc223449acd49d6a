"""Parts of a collection on Ray: read on CPU workers, worked on by actors that hold the model, given back in order.

A part is a list of records, cut by the caller so that its batches are those of a single process. Parts are taken and
sent as they are needed, never all at once. A worker that dies is replaced and its part done again; see
`relsim.distributed.ledger` for a picture that kills its worker each time. Who stores the results, and what is left out
since it is there, is the caller's matter: every stage has one writer, in the process that was started.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any, TypeVar

from relsim.data.records import ImageRecord
from relsim.distributed.cluster import Cluster, ray_package, translated
from relsim.distributed.ledger import Ledger
from relsim.distributed.pictures import read_part
from relsim.distributed.pool import Call, Pool, Read
from relsim.errors import FingerprintMismatchError
from relsim.fingerprint import Fingerprint

PREPARING_THREADS = 2
"""Threads that prepare pictures beside the model, in each actor."""

_AHEAD = 4
"""Parts for each place of the cluster that may be finished, or under way, before an earlier one is."""

T = TypeVar("T")


def ask(cluster: Cluster, question: Callable[..., T], *about: Any) -> T:
    """The answer of a worker to a function: there may be GPUs there, and so another precision, and none here."""
    ray = ray_package()
    with translated(ray):
        task = ray.remote(num_cpus=1, num_gpus=int(cluster.gpu), max_calls=1, max_retries=1)(question)
        answer: T = ray.get(task.remote(*about))
    return answer


def require_same(name: str, found: Fingerprint, expected: Fingerprint) -> None:
    """Refuse a model that is another one on this worker. Raises `FingerprintMismatchError`."""
    if found != expected:
        raise FingerprintMismatchError(
            f"{name} is {found.to_dict()} on one worker and {expected.to_dict()} on another. Give every machine the "
            "same weights, and name --dtype"
        )


def pieces(records: Sequence[ImageRecord], size: int) -> Iterator[Sequence[ImageRecord]]:
    """The records in parts of that many, in order."""
    return (records[start : start + size] for start in range(0, len(records), size))


def work_on(
    parts: Iterable[Sequence[ImageRecord]], call: Call[T], cluster: Cluster, *, read: Read = read_part
) -> Iterator[T]:
    """One result for each part, in their order, as many at a time as there are workers.

    A picture that kills its worker arrives there as a failure. What a worker raises of relsim's errors comes as it is;
    anything else that a worker or Ray raises is a `ClusterError`.
    """
    with translated(ray_package()):
        ledger: Ledger[T] = Ledger(parts, ahead=_AHEAD * (cluster.workers + cluster.readers), workers=cluster.workers)
        with closing(Pool(ledger, call, cluster, read)) as pool:
            while pool.go_on():
                yield from ledger.results()
