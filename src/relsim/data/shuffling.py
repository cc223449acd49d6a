"""Random numbers that follow from two numbers alone, for ever: seeded orders that any later version repeats."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def random_numbers(seed: int, number: int, length: int) -> NDArray[np.uint64]:
    """So many random whole numbers from 0 to 2**64 - 1; other `number`s of one seed give independent ones.

    The raw stream of a bit generator is fixed for ever by NumPy's policy; `Generator.permutation` is not (NEP 19).
    """
    import numpy as np

    key = np.array([seed, number], np.uint64)  # a list with a number from 2**63 on would become floats
    return np.random.Philox(key=key).random_raw(length)


def permutation(seed: int, number: int, length: int) -> NDArray[np.int64]:
    """The numbers from 0 to `length` - 1 in a random order."""
    import numpy as np

    return np.argsort(random_numbers(seed, number, length), kind="stable").astype(np.int64)
