"""Strings out of a numpy object array, without building any object that its pickle asks for.

numpy stores an object array as a pickle, and a pickle may call any function. Here the few names that such a
pickle needs are replaced by a record that does nothing but keep its state, and every other name is refused; what
is left is lists, tuples and strings.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from typing import IO, Any

from numpy.lib import format as npy_format

# numpy 1 has `core`, numpy 2 has `_core`; `encode` is how old pickle protocols write bytes.
_KNOWN = frozenset(
    {
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("_codecs", "encode"),
    }
)
_STATE_SIZE = 5


class _Record:
    """Takes any arguments and any state, and does nothing with them."""

    def __init__(self, *_arguments: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Unpickler(pickle.Unpickler):
    """Knows no name but those, and maps them to `_Record`."""

    def find_class(self, module_name: str, global_name: str, /) -> Callable[..., Any]:
        if (module_name, global_name) not in _KNOWN:
            raise pickle.UnpicklingError(f"{module_name}.{global_name} is not text")
        return _Record

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError(f"{pid!r} is not text")


def read_object_strings(stream: IO[bytes]) -> tuple[str, ...]:
    """The strings of a `.npy` stream that holds an object array; an entry that is None counts as an empty string.

    Raises ValueError if the stream is damaged or holds anything but text.
    """
    version = npy_format.read_magic(stream)
    read_header = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}.get(version)
    if read_header is None:
        raise ValueError(f"format {version} of numpy arrays is not known to hold text")
    shape, _, dtype = read_header(stream)
    if not dtype.hasobject:
        raise ValueError(f"an array of type {dtype} is damaged")
    try:
        content = _Unpickler(stream).load()
    except Exception as error:  # a damaged or hostile pickle can raise nearly anything
        raise ValueError(f"an object array cannot be read: {error}") from error
    state = content.state if isinstance(content, _Record) else None
    values = state[-1] if isinstance(state, tuple) and len(state) == _STATE_SIZE else None
    if not isinstance(values, list) or len(values) != math.prod(shape):
        raise ValueError("an object array is not of the kind that numpy writes")
    strings = tuple("" if value is None else value for value in values)
    if not all(type(value) is str for value in strings):
        raise ValueError("an object array holds something else than text")
    return strings
