"""Facts about this machine and this installation, for `relsim doctor` and for reports of a problem.

Nothing here imports torch, unless accelerators are asked for: versions and extras come from the metadata of what is
installed, the processor and memory from the system. A fact that the system does not tell is None, never a guess.
`inspect().to_dict()` is ready for JSON; its keys are the names of the fields below.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from relsim._version import __version__

DISTRIBUTION = "relsim"
REPORTED_PACKAGES = (
    "torch",
    "transformers",
    "safetensors",
    "huggingface_hub",
    "sentence-transformers",
    "tokenizers",
    "numpy",
    "pillow",
    "pyarrow",
)


@dataclass(frozen=True, slots=True)
class Processor:
    """The CPU. `cores` are those this process may use; the flags are None where the system does not list them."""

    model: str | None
    cores: int
    amx: bool | None
    avx512_bf16: bool | None


@dataclass(frozen=True, slots=True)
class Memory:
    """Main memory in bytes. A control group's limit counts as the total where it is lower."""

    total: int | None
    available: int | None


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One CUDA device: its index, name, memory in bytes and compute capability (`"9.0"`)."""

    index: int
    name: str
    memory: int
    capability: str


@dataclass(frozen=True, slots=True)
class Accelerators:
    """The CUDA devices that torch can use. `problem` says why torch could not be asked, and is None otherwise."""

    devices: tuple[Accelerator, ...]
    problem: str | None


@dataclass(frozen=True, slots=True)
class Cache:
    """A folder of downloads: what fills it, where it is, and how many files and bytes it holds (links count once)."""

    name: str
    path: str
    exists: bool
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Extra:
    """An optional set of packages. `missing` are requirements that are absent or of a wrong version."""

    name: str
    installed: bool
    missing: tuple[str, ...]
    command: str


@dataclass(frozen=True, slots=True)
class Environment:
    """Everything that `relsim doctor` shows.

    `packages` maps a package to its version, or to None if it is absent. `accelerators` is None if nobody asked.
    `offline` is true if HF_HUB_OFFLINE forbids downloads. `extras` is empty if relsim runs without being installed.
    """

    relsim: str
    python: str
    executable: str
    platform: str
    packages: dict[str, str | None]
    processor: Processor
    memory: Memory
    accelerators: Accelerators | None
    offline: bool
    caches: tuple[Cache, ...]
    extras: tuple[Extra, ...]

    def to_dict(self) -> dict[str, Any]:
        """Nested dictionaries, lists, strings, numbers, booleans and None: ready for JSON."""
        return asdict(self, dict_factory=_json_ready)


def inspect(*, accelerators: bool = False) -> Environment:
    """Look around. With `accelerators`, torch is imported and asked for CUDA devices, which takes seconds."""
    caches, offline = hub_caches()
    return Environment(
        relsim=__version__,
        python=platform.python_version(),
        executable=sys.executable,
        platform=platform.platform(),
        packages={name: version_of(name) for name in REPORTED_PACKAGES},
        processor=processor(),
        memory=memory(),
        accelerators=cuda_devices() if accelerators else None,
        offline=offline,
        caches=caches,
        extras=extras(),
    )


def version_of(package: str) -> str | None:
    """The installed version of a package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> Processor:
    """The CPU and the flags that Linux lists for it. `amx` means tiles that multiply bfloat16."""
    text = _read(cpuinfo)
    fields = dict(_fields(text)) if text is not None else {}
    flags = set(fields["flags"].split()) if "flags" in fields else None
    return Processor(
        model=fields.get("model name"),
        cores=usable_cores(),
        amx=None if flags is None else {"amx_tile", "amx_bf16"} <= flags,
        avx512_bf16=None if flags is None else "avx512_bf16" in flags,
    )


def memory(meminfo: Path = Path("/proc/meminfo"), limit: Path = Path("/sys/fs/cgroup/memory.max")) -> Memory:
    """Main memory, by Linux's own accounts; elsewhere only the total is known, or nothing."""
    fields = dict(_fields(_read(meminfo) or ""))
    total = _kibibytes(fields.get("MemTotal"))
    available = _kibibytes(fields.get("MemAvailable"))
    if total is None:
        with contextlib.suppress(AttributeError, OSError, ValueError):
            total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    allowed = (_read(limit) or "").strip()
    if total is not None and allowed.isdecimal():  # "max" stands for no limit
        total = min(total, int(allowed))
        available = None if available is None else min(available, total)
    return Memory(total, available)


def cuda_devices() -> Accelerators:
    """Import torch and ask it. A torch that cannot be imported or asked is a finding, not an error."""
    try:
        import torch

        devices = tuple(
            Accelerator(index, facts.name, facts.total_memory, f"{facts.major}.{facts.minor}")
            for index in range(torch.cuda.device_count())
            for facts in [torch.cuda.get_device_properties(index)]
        )
    except (ImportError, OSError, RuntimeError) as error:
        return Accelerators((), f"torch cannot be used: {error}")
    return Accelerators(devices, None)


def hub_caches() -> tuple[tuple[Cache, ...], bool]:
    """The caches of huggingface_hub, and whether it is forbidden to download.

    Its own constants are asked, because they alone know how HF_HOME, HF_HUB_CACHE and XDG_CACHE_HOME combine.
    """
    try:
        from huggingface_hub import constants
    except ImportError:
        return (), False
    hub = cache("hub", Path(constants.HF_HUB_CACHE))
    return (hub,), bool(constants.HF_HUB_OFFLINE)


def cache(name: str, path: Path) -> Cache:
    """Measure a folder by walking it. A file that several links lead to counts once; symbolic links do not count."""
    files = total = 0
    seen: set[tuple[int, int]] = set()
    for status in _regular_files(path):
        identity = (status.st_dev, status.st_ino)
        if identity not in seen:
            seen.add(identity)
            files += 1
            total += status.st_size
    return Cache(name, str(path), path.is_dir(), files, total)


def extras(distribution: str = DISTRIBUTION) -> tuple[Extra, ...]:
    """The optional sets of packages that an installed distribution declares, in its own order.

    Read from its metadata, so there is no second list to keep. Empty if it is not installed.
    """
    try:
        names = metadata.metadata(distribution).get_all("Provides-Extra") or []
    except metadata.PackageNotFoundError:
        return ()
    found = []
    for name in names:
        missing = tuple(dict.fromkeys(_missing(Requirement(f"{distribution}[{name}]"), frozenset())))
        found.append(Extra(name, not missing, missing, install_command(name, distribution)))
    return tuple(found)


def install_command(extra: str, distribution: str = DISTRIBUTION) -> str:
    """The command that installs an extra."""
    return f'pip install "{distribution}[{extra}]"'


def _missing(requirement: Requirement, above: frozenset[tuple[str, str]]) -> Iterator[str]:
    """Requirements below one extra that are not met; extras that ask for extras are followed, each once."""
    installed = version_of(requirement.name)
    if installed is None or not requirement.specifier.contains(installed, prereleases=True):
        yield _shown(requirement, installed)
        return
    for extra in sorted(requirement.extras):
        step = (canonicalize_name(requirement.name), extra)
        if step in above:
            continue
        for text in metadata.requires(requirement.name) or []:
            needed = Requirement(text)
            if _belongs_to(needed, extra):
                yield from _missing(needed, above | {step})


def _belongs_to(requirement: Requirement, extra: str) -> bool:
    """Whether a requirement applies on this machine because of this extra, and would not without it."""
    marker = requirement.marker
    return marker is not None and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""})


def _shown(requirement: Requirement, installed: str | None) -> str:
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    have = "" if installed is None else f" ({installed} is installed)"
    return f"{requirement.name}{extras}{requirement.specifier}{have}"


def _json_ready(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in items}


def usable_cores(limit: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Cores that this process may use: those that it may run on, or as many as its container is given time of."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = (_read(limit) or "").strip().partition(" ")  # in microseconds; "max" stands for no limit
    if quota.isdecimal() and period.isdecimal() and int(period) > 0:
        return max(1, min(cores, round(int(quota) / int(period))))
    return cores


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """The `name : value` lines of a file below /proc; of a repeated name, the last counts."""
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            yield name.strip(), value.strip()


def _kibibytes(text: str | None) -> int | None:
    """`"4056 kB"` in bytes; Linux writes kB and means 1,024."""
    if text is None or not text.endswith(" kB"):
        return None
    return int(text.removesuffix(" kB")) * 1024


def _regular_files(folder: Path) -> Iterator[os.stat_result]:
    """What the files below a folder are, skipping what may not be read or vanishes meanwhile."""
    for directory, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                path = Path(directory, name)
                if not path.is_symlink():
                    yield path.stat(follow_symlinks=False)
