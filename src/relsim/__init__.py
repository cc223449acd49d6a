"""Relational visual similarity: two images are alike when the relations among their parts correspond.

    from relsim import relsim
    model, preprocess = relsim(checkpoint_dir="thaoshibe/relsim-qwenvl25-lora")
    model(preprocess(first), preprocess(second))    # float, higher = more alike

Importing this package loads no network and no torch; the names below are looked up when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from relsim._version import __version__

if TYPE_CHECKING:
    from relsim.data.images import preprocess_image
    from relsim.errors import RelsimError
    from relsim.fingerprint import Fingerprint
    from relsim.metric import RelationalSimilarity, relsim
    from relsim.vectors.search import Searcher
    from relsim.vectors.table import VectorTable

__all__ = [
    "Fingerprint",
    "RelationalSimilarity",
    "RelsimError",
    "Searcher",
    "VectorTable",
    "__version__",
    "preprocess_image",
    "relsim",
]

_HOME = {
    "Fingerprint": "relsim.fingerprint",
    "RelationalSimilarity": "relsim.metric",
    "RelsimError": "relsim.errors",
    "Searcher": "relsim.vectors.search",
    "VectorTable": "relsim.vectors.table",
    "preprocess_image": "relsim.data.images",
    "relsim": "relsim.metric",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
