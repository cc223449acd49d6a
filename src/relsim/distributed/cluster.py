"""Where Ray runs: a cluster that is there, or one of this machine's processes that ends with the work."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

from relsim.distributed.pictures import PIXEL_BYTES
from relsim.environment import usable_cores
from relsim.errors import ClusterError, MissingExtraError, RelsimError

_QUIET = {
    # Nothing of what is run here is told to anybody.
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray's processes write to stderr by themselves, which is the place of a command's one clear line.
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    # What was read for nobody, since its process died, is told by relsim.
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
    # What Ray will do in a later version, told at every start in this one.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running Ray: how many workers hold the model, whether each has a GPU, and how many tasks read beside them."""

    workers: int
    gpu: bool
    readers: int = 1


@contextlib.contextmanager
def running(
    address: str | None = None,
    *,
    workers: int | None = None,
    gpus: bool = True,
    object_store_bytes: int | None = None,
) -> Iterator[Cluster]:
    """Ray at `address` (`auto`, `10.0.0.1:6379`, `ray://…`), or one on this machine that stops at the end.

    `workers` is how many hold the model: by default one for each GPU, or, without GPUs or for work that wants none
    (`gpus=False`), one for each core but one. A Ray of this machine keeps a place for reading beside them;
    `object_store_bytes` is its memory for what is on its way, else Ray's own choice. What Ray raises becomes a
    `ClusterError`, as does a Ray that has too little for so many; errors of relsim's own come as they are.
    """
    ray = ray_package()
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    # Ray's threads print news of its workers (that one has died) to stdout, which is the place of results.
    with contextlib.redirect_stdout(sys.stderr), translated(ray):
        try:
            if address is None:
                places = max(usable_cores(), (workers or 1) + 1)  # cores without a model read for those that have one
                own = {"num_cpus": places, "object_store_memory": object_store_bytes}
                ray.init(address="local", include_dashboard=False, **own, **quiet)
            else:
                ray.init(address=address, **quiet)
        except Exception as error:  # Ray raises anything, also bare Exceptions
            where = "could be started on this machine" if address is None else f"can be reached at {address}"
            raise ClusterError(
                f"no Ray {where}: {_first_line(error)}. Start one with `ray start --head`, give its address, and set "
                "RAY_AUTH_MODE=token where it asks for a token (docs/scale.md)"
            ) from error
        try:
            there = ray.cluster_resources()
            yield _with_places(there if gpus else {**there, "GPU": 0.0}, workers)
        finally:
            ray.shutdown()


def _with_places(resources: Mapping[str, float], workers: int | None) -> Cluster:
    """The cluster with so many workers. One that has no place for them would wait for ever: a `ClusterError`."""
    gpus, cores = int(resources.get("GPU", 0)), int(resources.get("CPU", 1))
    count = workers or gpus or max(1, cores - 1)
    if count >= cores or (gpus and count > gpus):
        gpu = f" and {gpus:,} GPUs, one for each worker" if gpus else ""
        raise ClusterError(
            f"Ray has {cores:,} cores{gpu}, which is too little for {count:,} workers and one core that reads. Ask for "
            "fewer workers, or start Ray with more (--num-cpus; they need not be real ones)"
        )
    # Parts of the largest size fit into Ray's memory, else it goes to the disk: those that are read, two that wait for
    # each worker, and two at it.
    room = resources.get("object_store_memory", math.inf) / PIXEL_BYTES - 4 * count
    return Cluster(count, gpu=gpus > 0, readers=max(1, int(min(cores - count, room))))


def ray_package() -> ModuleType:
    """The package ray. Raises `MissingExtraError`."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        return import_module("ray")
    except ImportError as error:
        raise MissingExtraError("ray[data]", "ray", "work on several processes or machines") from error


@contextlib.contextmanager
def translated(ray: ModuleType) -> Iterator[None]:
    """Turn what Ray raises into `ClusterError`, or into the error of relsim that a worker raised."""
    try:
        yield
    except RelsimError as error:
        # Ray raises an object that is of the worker's class as well, and whose text is the worker's traceback.
        raise (_own(error) or error) from None
    except ray.exceptions.RayError as error:
        raise (_own(error) or ClusterError(_told(ray, error))) from error


def is_loss(ray: ModuleType, error: BaseException) -> bool:
    """Whether a process, a machine or what it held was lost, which may be otherwise another time."""
    kinds = ("RayActorError", "WorkerCrashedError", "NodeDiedError", "OutOfMemoryError", "ObjectLostError")
    return isinstance(_innermost(error), tuple(getattr(ray.exceptions, kind) for kind in kinds))


def _told(ray: ModuleType, error: BaseException) -> str:
    if is_loss(ray, error):
        return f"the workers failed: {_first_line(_innermost(error))}. Finished parts are kept; run it again to go on"
    found = _innermost(error)
    if isinstance(found, ray.exceptions.RayTaskError) or type(found) is ray.exceptions.RayError:
        # An exception that could not be sent; the worker's traceback ends with its text.
        said = _ANSI.sub("", getattr(error, "traceback_str", str(error))).strip().rpartition("\n")[2]
    else:
        said = f"{type(found).__name__}: {_first_line(found)}" if str(found).strip() else type(found).__name__
    return f"a worker failed: {said.rstrip('.')}. Finished parts are kept"


def _innermost(error: BaseException) -> BaseException:
    """What happened in the worker, without what Ray has wrapped around it."""
    while type(error).__module__.startswith("ray.") and isinstance(cause := getattr(error, "cause", None), Exception):
        error = cause
    return error


def _own(error: BaseException | None) -> RelsimError | None:
    """The error of relsim that a worker raised, however deep Ray has wrapped it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, RelsimError) and type(error).__module__ == RelsimError.__module__:
            return error
        error = getattr(error, "cause", None) or error.__cause__
    return None


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in _ANSI.sub("", str(error)).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
