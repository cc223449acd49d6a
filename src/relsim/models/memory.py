"""What happens when a batch does not fit into memory: from then on a run goes through its batches in halves.

A half that does not fit either is an error with advice: a third and a fourth try would only hide that the size was
chosen for another machine. A picture that does not fit even alone cannot be halved and is an error of its own.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from relsim.errors import MemoryShortageError

logger = logging.getLogger(__name__)

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

# torch has a class for devices alone (`torch.OutOfMemoryError`, whose text holds the first of these): on a CPU, and for
# the buffers of cuBLAS, it raises a plain RuntimeError.
_SIGNS = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is the want of memory, on a device or on the CPU, and not another fault."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)
    )


class Halving:
    """How the batches of one run go through a model: whole, or once one did not fit, all in two halves.

    `setting` names what makes batches smaller, for the error's advice.
    """

    def __init__(self, setting: str) -> None:
        self._setting = setting
        self.halved = False

    def run(self, batch: Sequence[ItemT], model: Callable[[Sequence[ItemT]], ResultT]) -> list[ResultT]:
        """What `model` makes of the batch, or of each of its halves, in order.

        Raises `MemoryShortageError` where the half, or a batch of one picture, does not fit.
        """
        if not self.halved or len(batch) == 1:
            found = _tried(batch, model)
            if not isinstance(found, _Shortage):
                return [found]
            if len(batch) == 1:
                raise self._error(found, 1, "this picture alone")
            self.halved = True
            logger.warning(
                "a batch of %d pictures does not fit into memory (%s); batches are half as large from here on",
                len(batch),
                found.text,
            )
        middle = (len(batch) + 1) // 2
        results: list[ResultT] = []
        for half in (batch[:middle], batch[middle:]):
            found = _tried(half, model)
            if isinstance(found, _Shortage):
                raise self._error(found, len(batch), f"half a batch, {len(half)} of {len(batch)} pictures,")
            results.append(found)
        return results

    def _error(self, shortage: _Shortage, pictures: int, what: str) -> MemoryShortageError:
        advice = "smaller pictures (a fixed recipe such as squash448)" if pictures == 1 else self._setting
        return MemoryShortageError(
            f"{what} does not fit into memory ({shortage.text}); what helps: {advice}, bfloat16 as the precision, "
            "or fewer programs beside this one",
            pictures,
        )


class _Shortage:
    """That memory ran out, in the first line of the allocator's words."""

    def __init__(self, text: str) -> None:
        self.text = text


def _tried(batch: Sequence[ItemT], model: Callable[[Sequence[ItemT]], ResultT]) -> ResultT | _Shortage:
    """The result, or that memory ran out. The exception ends here: its frames would keep the failed pass's tensors."""
    try:
        return model(batch)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        lines = str(error).strip().splitlines()
        shortage = _Shortage(lines[0] if lines else type(error).__name__)
    _give_back()
    return shortage


def _give_back() -> None:
    """Return what torch has cached on a device, so that pieces of the failed batch do not stand in the way."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
