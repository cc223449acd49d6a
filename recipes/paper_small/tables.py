"""The results of a run as Markdown tables: what stands in docs/paper_small.md."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

KINDS = ("conflict", "aligned", "control")
_SHARES = ("first", "same", "second")
METRICS = ("precision@1", "precision@10", "map")


def write_tables(folder: Path, encoders: Sequence[str]) -> str:
    """Write `tables.md` into the folder of a run; its text."""
    results = folder / "triplets-results"
    parts = {
        "Retrieval": _retrieval(_read(folder / "retrieval" / "retrieval.json")),
        "Judge": _judge(_read(folder / "judged.json"), _read(folder / "agreement.json")),
        "Calibration": _calibration(_read(folder / "calibration" / "calibration.json")),
        "Study": _study(_read(folder / "study-results.json")),
        "Triplets": _triplets({name: _read(results / f"{name}.json") for name in encoders}),
        "Pairs": _pairs(_read(folder / "pairs.json")),
        "MTEB": _mteb(_read(folder / "mteb.json")),
        "Steps": _steps(folder / "done"),
    }
    text = "\n".join(f"## {title}\n\n" + "\n".join(lines) + "\n" for title, lines in parts.items())
    (folder / "tables.md").write_text(text)
    return text


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for cells in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(cells)} |"


def _percent(value: Any) -> str:
    """A share with its interval, in percent."""
    return f"{100 * value['value']:.1f} ({100 * value['low']:.1f} to {100 * value['high']:.1f})"


def _plain(encoder: str) -> str:
    """An encoder's name as the other tables have it."""
    return {"relational": "relsim-mini"}.get(encoder, encoder.removeprefix("relational:checkpoint_dir="))


def _retrieval(run: Any) -> Iterator[str]:
    """Best first match on top, with what a blind guess would reach and the difference to the best."""
    first = METRICS[0]
    labels = [query["label"] for query in run["queries"]]
    yield (
        f"{len(labels):,} queries among {run['database']:,} pictures, {run['distractors']:,} of them distractors of "
        f"relations that no query shows; {len(set(labels))} relations are asked for."
    )
    yield ""
    found = {name: part["without_duplicates"]["metrics"] for name, part in run["methods"].items()}
    order = sorted(found, key=lambda name: -found[name][first]["value"])
    against = {name: _difference(run["comparisons"], order[0], name, first) for name in order}
    rows = [[name, *(_percent(found[name][metric]) for metric in METRICS), against[name]] for name in order]
    yield from _table(["encoder", *(f"{metric}, %" for metric in METRICS), f"{first} below the first (Holm's p)"], rows)


def _difference(comparisons: Any, best: str, name: str, metric: str) -> str:
    for one in comparisons:
        if one["metric"] == metric and {one["first"], one["second"]} == {best, name}:
            return f"{100 * abs(one['value']):.1f} ({one['p_holm']:.4f})"
    return ""


def _judge(told: Any, agreement: Any) -> Iterator[str]:
    rows = [
        [
            name,
            _score(part["mean"]),
            f"{told['summary'][name]['valid_pairs']} of {told['summary'][name]['total_pairs']}",
        ]
        for name, part in told["methods"].items()
    ]
    rows.sort(key=lambda row: -(told["methods"][row[0]]["mean"] or {"value": 0})["value"])
    yield from _table(["encoder", "mean score of the first match, 0 to 10", "pairs with a score"], rows)
    kappa, rank = agreement["weighted_kappa"], agreement["spearman"]
    yield ""
    yield (
        f"Against the truth (10 or 0) over {agreement['pairs']:,} pairs: weighted kappa {_plainly(kappa)}, Spearman's "
        f"correlation {_plainly(rank)}."
    )


def _calibration(told: Any) -> Iterator[str]:
    yield from _table(["pairs share", "mean score"], [[kind, _score(mean)] for kind, mean in told["means"].items()])
    yield ""
    rows = [[f"put right, {name}", _percent(one), str(one["count"])] for name, one in told["accuracy"].items() if one]
    yield from _table(["triplets", "%", "n"], rows)


def _study(told: Any) -> Iterator[str]:
    agreement = told["agreement"]
    yield (
        f"**Simulated**: {told['people']} people by a seeded rule, {told['answers']:,} answers to "
        f"{told['questions']:,} questions; Fleiss' kappa {agreement['fleiss_kappa']:.2f}, Krippendorff's alpha "
        f"{agreement['krippendorff_alpha']:.2f}."
    )
    yield ""
    rows = [
        [
            f"{pair['first']} : {pair['second']}",
            *(_percent(pair["shares"][name]) for name in _SHARES),
            str(pair["answers"]),
        ]
        for pair in told["pairs"]
        if pair["shares"]
    ]
    yield from _table(["pair", "first, %", "same, %", "second, %", "answers"], rows)


def _score(mean: Any) -> str:
    """A mean score with its interval."""
    return "" if mean is None else f"{mean['value']:.2f} ({mean['low']:.2f} to {mean['high']:.2f})"


def _plainly(value: Any) -> str:
    return "without meaning" if value is None else _score(value)


def _triplets(results: dict[str, Any]) -> Iterator[str]:
    rows = []
    for name, told in results.items():
        parts = (one for one in told["accuracy"] if one["family"] is None and one["relation"] is None)
        whole = {one["kind"]: one for one in parts}
        rows.append([name, *(_percent(whole[kind]) for kind in KINDS)])
    yield from _table(["encoder", *(f"{kind}, %" for kind in KINDS)], rows)


def _pairs(told: Any) -> Iterator[str]:
    names = list(told["encoders"])
    rows = []
    for method, part in told["methods"].items():
        spreads = [part["scores"][name]["all"] for name in names]
        # Adding nothing makes -0.00 of a rounded number 0.00.
        cells = [f"{round(spread['mean'], 2) + 0.0:.2f} ± {spread['sd']:.2f}" for spread in spreads]
        rows.append([method, *cells, str(part["copies"])])
    yield from _table(["what came out", *(_plain(name) for name in names), "copies"], rows)


def _mteb(told: Any) -> Iterator[str]:
    tasks = sorted({task for part in told["methods"].values() for task in part["tasks"]})
    rows = [
        [
            _plain(name),
            *(f"{part['tasks'][task]['ndcg_at_10']:.3f}" if task in part["tasks"] else "" for task in tasks),
        ]
        for name, part in told["methods"].items()
    ]
    yield from _table(["encoder", *(f"{task}, nDCG@10" for task in tasks)], rows)


def _steps(folder: Path) -> Iterator[str]:
    notes = [(path.stem, _read(path)) for path in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)]
    totals = [sum(note[key] for _, note in notes) for key in ("seconds", "cpu")]
    load = max(note["load"] for _, note in notes)
    yield f"{totals[0]:,.0f} s on the clock, {totals[1]:,.0f} s of processor time; load up to {load:.1f}."
    yield ""
    rows = [[name, f"{note['seconds']:.0f}", f"{note['cpu']:.0f}"] for name, note in notes]
    yield from _table(["step", "seconds", "processor seconds"], rows)
