"""Baselines that live in packages of their own, which need torchvision: importing them, and telling their weights."""

from __future__ import annotations

from importlib import import_module, metadata
from typing import Any

from relsim.errors import MissingExtraError, first_line
from relsim.models.digest import digest_tensors

EXTRA = "baselines"


def import_baseline(package: str, purpose: str) -> tuple[Any, str]:
    """The module of a package and its version.

    Raises `MissingExtraError` where it, or something that it needs, cannot be imported; the message has the reason.
    """
    try:
        module = import_module(package)
    except Exception as error:  # torchvision of another torch's build raises RuntimeError on import
        lacking = getattr(error, "name", None)
        if isinstance(error, ModuleNotFoundError) and lacking in (package, None):
            raise MissingExtraError(package, EXTRA, purpose) from error
        reason = first_line(error)
        raise MissingExtraError(
            package, EXTRA, f"{package} is there and cannot be imported ({reason}); {purpose}"
        ) from error
    try:
        return module, metadata.version(package)
    except metadata.PackageNotFoundError:
        return module, "unknown"


def weights_of(model: Any) -> str:
    """Digest of all tensors of a network, every value read."""
    return digest_tensors({name: tensor.detach().cpu() for name, tensor in model.state_dict().items()})
