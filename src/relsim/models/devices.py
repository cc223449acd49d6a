"""Where to compute and in which precision, chosen from what the machine offers and overridable by name.

CUDA computes in bf16. A CPU computes in bf16 only where it has matrix units for it (Intel AMX); elsewhere bf16 is
slower than fp32 and less exact, so fp32 is taken.
"""

from __future__ import annotations

import torch

from relsim.errors import DeviceError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """The named device, or CUDA where there is one, else the CPU. Raises `DeviceError` for one that is absent."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"{name!r} is no device; examples are cpu, cuda, cuda:1") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DeviceError("no CUDA device is visible to torch on this machine; use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(f"there is no {device}; this machine has {torch.cuda.device_count()} CUDA device(s)")
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"relsim computes on cpu or cuda, not on {device.type}")
    return device


def choose_dtype(device: torch.device, name: str | torch.dtype | None = None) -> torch.dtype:
    """The named precision, or the one that this device is best at."""
    if isinstance(name, torch.dtype):
        name = str(name).removeprefix("torch.")
    if name is not None:
        if name not in DTYPES:
            raise DeviceError(f"unknown precision {name!r}; known are {', '.join(DTYPES)}")
        if name == "float16" and device.type == "cpu":
            raise DeviceError("float16 is for CUDA; a CPU computes in float32 or bfloat16")
        return DTYPES[name]
    if device.type == "cuda" or has_amx():
        return torch.bfloat16
    return torch.float32


def has_amx() -> bool:
    """Whether the CPU has matrix units for bf16 that torch can use."""
    return bool(torch.cpu._is_amx_tile_supported())  # noqa: SLF001 - torch has no public name for it
