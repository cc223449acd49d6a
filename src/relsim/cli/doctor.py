"""`relsim doctor`: what this machine and this installation can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relsim.cli import options
from relsim.cli.output import emit, print_json

if TYPE_CHECKING:
    from relsim.environment import Environment

_GIB = 1024**3
_LABEL_WIDTH = 14


def doctor(*, as_json: options.AsJson = False) -> None:
    """Show versions, devices, caches and missing extras.

    For yourself, or to go into the report of a problem.
    """
    from relsim import environment

    found = environment.inspect(accelerators=True)
    device, precision, large = _choice()
    if as_json:
        document = {"schema": "relsim.doctor/1", **found.to_dict(), "device": device, "precision": precision}
        document["precision_of_large_models"] = large
        print_json(document)
        return
    _line("relsim", found.relsim)
    _line("python", f"{found.python}, {found.executable}")
    _line("system", found.platform)
    _line("processor", _processor(found))
    _line("memory", _memory(found))
    for line in _accelerators(found):
        _line("accelerator", line)
    if device is not None:
        beyond = "" if large == precision else f", large models in {large}"
        _line("computes on", f"{device} in {precision}{beyond}, unless --device and --dtype say otherwise")
    emit("\npackages")
    for name, version in found.packages.items():
        _line(f"  {name}", version or "not installed", width=26)
    emit("\ncaches" + (" (HF_HUB_OFFLINE is set: nothing is downloaded)" if found.offline else ""))
    for cache in found.caches:
        size = f"{cache.files:,} files, {cache.bytes / _GIB:.1f} GiB" if cache.exists else "empty"
        _line(f"  {cache.name}", f"{cache.path}, {size}", width=26)
    emit("\nextras" + ("" if found.extras else " are unknown: relsim runs without being installed"))
    for extra in found.extras:
        _line(f"  {extra.name}", "installed" if extra.installed else f"missing: {extra.command}", width=26)


def _choice() -> tuple[str | None, str | None, str | None]:
    """The device, and the precision that a small and a large model would get; None where torch cannot be imported."""
    try:
        from relsim.models.devices import MATTERS, choose_device, choose_dtype
    except (ImportError, OSError, RuntimeError):  # the line above has said what is wrong with torch
        return None, None, None
    device = choose_device()
    small, large = (str(choose_dtype(device, weights=weights)).removeprefix("torch.") for weights in (0, MATTERS))
    return str(device), small, large


def _line(label: str, text: str, width: int = _LABEL_WIDTH) -> None:
    emit(f"{label:<{width}}{text}")


def _processor(found: Environment) -> str:
    processor = found.processor
    flags = {"AMX": processor.amx, "AVX-512 bf16": processor.avx512_bf16}
    known = [f"{'has' if has else 'no'} {name}" for name, has in flags.items() if has is not None]
    return ", ".join([processor.model or "unknown", f"{processor.cores} cores", *known])


def _memory(found: Environment) -> str:
    total, available = found.memory.total, found.memory.available
    if total is None:
        return "unknown"
    free = "" if available is None else f", {available / _GIB:.1f} GiB available"
    return f"{total / _GIB:.1f} GiB{free}"


def _accelerators(found: Environment) -> list[str]:
    accelerators = found.accelerators
    if accelerators is None or (not accelerators.devices and not accelerators.problem):
        return ["none"]
    if accelerators.problem:
        return [accelerators.problem]
    return [
        f"cuda:{device.index} {device.name}, {device.memory / _GIB:.0f} GiB, capability {device.capability}"
        for device in accelerators.devices
    ]
