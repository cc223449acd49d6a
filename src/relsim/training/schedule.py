"""The learning rate of a step, as a factor of the highest: transformers' formulas, without a state of their own.

A warm-up rises from 0 in equal steps; then the rate is constant, falls in a line to 0, or as half a cosine.
"""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["cosine", "linear", "constant"]


def rate(schedule: Schedule, step: int, steps: int, warmup: int) -> float:
    """Factor of the learning rate for a step, counted from 0, of a run of `steps`."""
    if step < warmup:
        return step / max(1, warmup)
    if schedule == "constant":
        return 1.0
    done = (step - warmup) / max(1, steps - warmup)
    if schedule == "linear":
        return max(0.0, 1 - done)
    return max(0.0, 0.5 * (1 + math.cos(math.pi * done)))
