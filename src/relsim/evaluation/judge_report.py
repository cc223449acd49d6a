"""What was judged, as the published document with more beside it.

Published keys, names and meaning: `config`, `summary` by method (mean over pairs with a score), and `detailed_results`,
a list of pairs by method. The others are ours: see docs/formats.md, `relsim.judge/1`.

Intervals are of means over queries, since pairs of one query are not independent: a query counts with the mean over its
pairs. They are 95 % bootstrap intervals of `relsim.evaluation.statistics`.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from relsim.data.identity import printable
from relsim.endpoint.client import usage_of
from relsim.endpoint.replies import Prices, Reply, Usage
from relsim.errors import RelsimError
from relsim.evaluation.comparisons import Comparison, compare
from relsim.evaluation.judge import BOTH_ORDERS, Judge, JudgedPair, Order, Rating
from relsim.evaluation.judge_prompts import JudgePrompt
from relsim.evaluation.judge_replies import ScoreStatus
from relsim.evaluation.statistics import bootstrap_mean, holm, wilson
from relsim.files import flush, temporary_beside
from relsim.fingerprint import Fingerprint

SCHEMA = "relsim.judge/1"


@dataclass(frozen=True, slots=True)
class Asking:
    """How a run asked: who, what, in which orders, how often; `seed` decides the order of questions and resamples."""

    judge: Judge
    prompt: JudgePrompt
    orders: Sequence[Order]
    repeats: int
    seed: int
    max_side: int

    @property
    def fingerprint(self) -> Fingerprint:
        """What a score depends on; equal fingerprints make scores that may be compared."""
        settings = dict(self.judge.settings)
        facts: dict[str, str | int | float | None] = {
            "endpoint": self.judge.address,
            "model": self.judge.model,
            "prompt": self.prompt.digest,
            "temperature": settings.pop("temperature", None),
            "seed": settings.pop("seed", None),
            "settings": json.dumps(settings, sort_keys=True),
            "orders": len(self.orders),
            "repeats": self.repeats,
            "max_side": self.max_side,
        }
        return Fingerprint.of(facts)


def report_of(
    judged: Sequence[JudgedPair],
    asking: Asking,
    *,
    path: str,
    top_k: int,
    prices: Prices | None = None,
    earlier: Reply | None = None,
) -> dict[str, Any]:
    """The document. `earlier` is an answer that was asked for now beside those of the pairs, which have it as kept."""
    methods: dict[str, list[JudgedPair]] = {}
    for item in judged:
        methods.setdefault(item.pair.method, []).append(item)
    return {
        "schema": SCHEMA,
        "config": {"json_path": path, "top_k": top_k, "methods": list(methods)},
        "summary": {method: _summary(items) for method, items in methods.items()},
        "methods": {method: _method(items, asking.seed) for method, items in methods.items()},
        "comparisons": [item.to_json() for item in compare_methods(methods, seed=asking.seed)],
        "order_bias": _estimate(judged, order_gap, asking.seed),
        "repeat_spread": _estimate(judged, repeat_spread, asking.seed),
        "seed": asking.seed,
        "prompt": {"name": asking.prompt.name, "text": asking.prompt.text},
        "fingerprint": asking.fingerprint.to_dict(),
        **_cost(judged, prices, earlier),
        "detailed_results": {method: [_row(item) for item in items] for method, items in methods.items()},
    }


def write_report(path: Path, report: Mapping[str, Any]) -> None:
    """Write the document, whole or not at all. Raises `RelsimError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_beside(path) as temporary:
            # A file name that is no text is half a surrogate pair, which JSON writes as an escape.
            temporary.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
            flush(temporary)
            temporary.replace(path)
            flush(path.parent)
    except OSError as error:
        raise RelsimError(f"{path} cannot be written: {(error.strerror or str(error)).lower()}") from error


def by_query(judged: Sequence[JudgedPair], value: Callable[[JudgedPair], float | None]) -> dict[str, float]:
    """The mean of a value over the pairs of each query that have it; queries in their order."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for item in judged:
        number = value(item)
        if number is not None:
            found[item.pair.query_id].append(number)
    return {query: fmean(numbers) for query, numbers in found.items()}


def order_gap(item: JudgedPair) -> float | None:
    """The mean score with the query first less that with the match first, where both orders have one."""
    first, second = (item.by_order.get(order) for order in BOTH_ORDERS)
    return fmean(first) - fmean(second) if first and second else None


def repeat_spread(item: JudgedPair) -> float | None:
    """The sample standard deviation between repeats, averaged over orders that have two scores or more."""
    spreads = [stdev(scores) for scores in item.by_order.values() if len(scores) > 1]
    return fmean(spreads) if spreads else None


def compare_methods(methods: Mapping[str, Sequence[JudgedPair]], *, seed: int = 0) -> list[Comparison]:
    """Every two methods on the queries that have a score by both, where there are any, with Holm's correction."""
    scores = {method: by_query(items, lambda item: item.score) for method, items in methods.items()}
    found: list[Comparison] = []
    for first, second in combinations(scores, 2):
        shared = [query for query in scores[first] if query in scores[second]]
        if shared:
            both = {name: {"score": [scores[name][query] for query in shared]} for name in (first, second)}
            found += compare(both, seed=seed)
    adjusted = holm([item.p for item in found])
    return [replace(item, p_holm=p) for item, p in zip(found, adjusted, strict=True)]


def _summary(items: Sequence[JudgedPair]) -> dict[str, Any]:
    scores = [item.score for item in items if item.score is not None]
    return {
        "total_pairs": len(items),
        "valid_pairs": len(scores),
        "average_score": fmean(scores) if scores else None,
        "min_score": min(scores, default=None),
        "max_score": max(scores, default=None),
    }


def _method(items: Sequence[JudgedPair], seed: int) -> dict[str, Any]:
    statuses = Counter(item.verdict.status.value for item in items)
    ratings = Counter(rating.verdict.status.value for item in items for rating in item.ratings)
    return {
        "mean": _estimate(items, lambda item: item.score, seed),
        "valid": wilson(statuses[ScoreStatus.OK.value], len(items)).to_json(),
        "statuses": dict(statuses.most_common()),
        "ratings": dict(ratings.most_common()),
        "order_bias": _estimate(items, order_gap, seed),
        "repeat_spread": _estimate(items, repeat_spread, seed),
    }


def _estimate(
    items: Sequence[JudgedPair], value: Callable[[JudgedPair], float | None], seed: int
) -> dict[str, float | int] | None:
    numbers = list(by_query(items, value).values())
    return bootstrap_mean(numbers, seed=seed).to_json() if numbers else None


def _cost(judged: Sequence[JudgedPair], prices: Prices | None, earlier: Reply | None) -> dict[str, Any]:
    """Answers and tokens, each question counted once however many pairs share it."""
    replies = {rating.reply.key: rating.reply for item in judged for rating in item.ratings if rating.reply}
    ever = sum((reply.usage for reply in replies.values()), start=Usage())
    if earlier is not None:
        replies[earlier.key] = earlier
    now = usage_of(replies.values())
    return {
        "served_by": sorted({reply.model for reply in replies.values() if reply.model}),
        "asked_now": sum(not reply.kept and reply.status.answered for reply in replies.values()),
        "usage_now": now.to_json(prices),
        "usage_ever": ever.to_json(prices),
    }


def _row(item: JudgedPair) -> dict[str, Any]:
    pair, verdict = item.pair, item.verdict
    told = next(_responses(item.ratings))
    return {
        "query_id": pair.query_id,
        "query_image": pair.query.source,
        "retrieved_image": pair.match.source,
        "method": pair.method,
        "rank": pair.rank,
        "response": told,
        "score": item.score,
        "retrieved_id": pair.match.image_id,
        "status": verdict.status.value,
        "reason": _printable(verdict.reason),
        "ratings": [
            {
                "order": rating.order,
                "repeat": rating.repeat,
                "status": rating.verdict.status.value,
                "score": rating.verdict.score,
                "reason": _printable(rating.verdict.reason),
                "response": response,
                "reply": rating.reply.key if rating.reply is not None else None,
            }
            for rating, response in zip(item.ratings, _responses(item.ratings), strict=True)
        ],
    }


def _responses(ratings: Sequence[Rating]) -> Iterator[str]:
    """What the model said, or the error in its place as published."""
    for rating in ratings:
        text = rating.reply.text if rating.reply is not None else None
        yield text if text is not None else f"Error: {_printable(rating.verdict.reason)}"


def _printable(reason: str | None) -> str | None:
    return None if reason is None else printable(reason)
