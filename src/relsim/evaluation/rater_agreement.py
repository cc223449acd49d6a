"""How far people who choose among names agree, beyond chance: Fleiss' kappa and Krippendorff's alpha for nominal data.

Both take counts (questions, categories): how many people gave each answer to each question. 1 is full agreement, 0 what
chance gives, and below 0 is less than that. None where it is not defined, because all answers are the same category or
no question has two answers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Counts = Sequence[Sequence[int]] | NDArray[np.int64]


def fleiss_kappa(counts: Counts) -> float | None:
    """Fleiss' kappa (J. L. Fleiss, Psychological Bulletin 76, 1971), for questions with equally many answers each.

    kappa = (P - E) / (1 - E): P is the mean share of agreeing pairs of answers to a question, E the sum of squared
    shares of the categories. Raises `ValueError` for numbers of answers that differ, or fewer than two.
    """
    table = _checked(counts)
    if not len(table):
        return None
    people = int(table[0].sum())
    if people < 2 or (table.sum(axis=1) != people).any():
        raise ValueError("Fleiss' kappa needs the same number of answers, at least 2, to every question")
    agreeing = (table * (table - 1)).sum(axis=1) / (people * (people - 1))
    shares = table.sum(axis=0) / table.sum()
    expected = float((shares**2).sum())
    return None if expected == 1 else (float(agreeing.mean()) - expected) / (1 - expected)


def krippendorff_alpha(counts: Counts) -> float | None:
    """Krippendorff's alpha for nominal data (K. Krippendorff, Content Analysis, 3rd edition 2013, section 12.3).

    alpha = 1 - D_o / D_e over pairs of answers to the same question: D_o the share that disagrees, each question's
    pairs weighted by 1 / (answers - 1), D_e what pairs of all these answers would. Any number of answers a question;
    those with fewer than two count nowhere.
    """
    table = _checked(counts)
    table = table[table.sum(axis=1) >= 2]
    if not len(table):
        return None
    people = table.sum(axis=1)
    disagreeing = people**2 - (table**2).sum(axis=1)
    total = float(people.sum())
    observed = float((disagreeing / (people - 1)).sum()) / total
    categories = table.sum(axis=0)
    expected = (total**2 - float((categories**2).sum())) / (total * (total - 1))
    return None if expected == 0 else 1 - observed / expected


def _checked(counts: Counts) -> NDArray[np.float64]:
    table = np.asarray(counts, np.float64)
    if table.size and (table.ndim != 2 or (table < 0).any()):
        raise ValueError(f"counts of shape {table.shape} are not questions by categories, from 0 up")
    return table if table.size else np.empty((0, 0))
