"""`relsim evaluate pairs`: how alike are what went into a generator and what came out?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relsim.cli import options, specs
from relsim.cli.output import image_progress, note, note_some, print_json, print_rows
from relsim.encoders import DEFAULT_ENCODER

if TYPE_CHECKING:
    from relsim.encoders.base import AnyEncoder, AnyPairwise
    from relsim.evaluation.encoder_specs import EncoderSpec
    from relsim.evaluation.generator_pairs import Pair, ScoredPairs, Spread

EXIT_SOME_FAILED = 3


def pairs(
    place: Annotated[
        Path,
        typer.Argument(
            metavar="PAIRS",
            help="A folder with the subfolder input and one for each method, or a list (.jsonl, .csv) with input, "
            "output and method.",
        ),
    ],
    encoder: specs.Encoders = None,
    distance: Annotated[
        int, typer.Option(metavar="BITS", min=0, max=15, help="Perceptual hashes this near make an output a copy.")
    ] = 4,
    workers: options.Workers = None,
    as_json: options.AsJson = False,
) -> None:
    """Score the inputs and outputs of generators, method by method: mean and sample standard deviation.

    A score is a cosine similarity; lpips gives distances, where less is more alike. Outputs that are copies of their
    inputs score 1 (distance 0) and are no analogies: they are counted and listed. Exits with 3 if some pictures could
    not be used.
    """
    from relsim.encoders.registry import PAIRWISE
    from relsim.evaluation.encoder_specs import EncoderSpec
    from relsim.evaluation.exclusions import picture_hashes
    from relsim.evaluation.generator_pairs import pictures_of, read_pairs, score_pairs

    wanted = [EncoderSpec.parse(text) for text in encoder or [DEFAULT_ENCODER]]
    names = [spec.label for spec in wanted]
    if len(set(names)) < len(names):
        raise typer.BadParameter("an encoder is named twice; results are told apart by their names")
    found = read_pairs(place)
    pictures = pictures_of(found)
    hashes = picture_hashes(pictures, workers=workers)
    steps = sum(len(found) if spec.name in PAIRWISE else len(pictures) for spec in wanted)
    with image_progress(steps, quiet=as_json) as advance:
        scored = score_pairs(
            found, _loaded(wanted), hashes=hashes, distance=distance, workers=workers, on_outcome=advance
        )
    if as_json:
        print_json(_document(place, scored, distance))
    else:
        _report(scored, names)
    if scored.left_out:
        raise typer.Exit(EXIT_SOME_FAILED)


def _loaded(wanted: list[EncoderSpec]) -> Iterator[tuple[str, AnyEncoder | AnyPairwise]]:
    for spec in wanted:
        yield spec.label, specs.load_any(spec)


def _document(place: Path, scored: ScoredPairs, distance: int) -> dict[str, Any]:
    reasons = {copy.pair: copy for copy in scored.copies}
    return {
        "schema": "relsim.pairs/1",
        "pairs": str(place),
        "distance": distance,
        "methods": {
            method: {
                "pairs": sum(pair.method == method for pair in scored.pairs),
                "copies": sum(copy.pair.method == method for copy in scored.copies),
                "scores": {
                    name: {
                        "all": _plain(scored.spread(name, method)),
                        "without_copies": _plain(scored.spread(name, method, copies=False)),
                    }
                    for name in scored.scores
                },
            }
            for method in scored.methods
        },
        "measures": dict(scored.measures),
        "encoders": {name: fingerprint.to_dict() for name, fingerprint in scored.fingerprints.items()},
        "results": [
            {
                **_named(pair),
                "copy": reasons[pair].reason if pair in reasons else None,
                "bits": reasons[pair].bits if pair in reasons else None,
                "scores": {name: float(values[row]) for name, values in scored.scores.items()},
            }
            for row, pair in enumerate(scored.pairs)
        ],
        "left_out": [_named(pair) for pair in scored.left_out],
        "failures": [
            {"source": failure.record.source, "status": failure.status.value, "reason": failure.reason}
            for failure in scored.failures
        ],
    }


def _named(pair: Pair) -> dict[str, str]:
    return {"name": pair.name, "method": pair.method, "input": pair.input, "output": pair.output}


def _plain(spread: Spread | None) -> dict[str, float | int | None] | None:
    return None if spread is None else {"mean": spread.mean, "sd": spread.deviation, "count": spread.count}


def _report(scored: ScoredPairs, names: list[str]) -> None:
    rows = []
    for method in scored.methods:
        copies = sum(copy.pair.method == method for copy in scored.copies)
        count = sum(pair.method == method for pair in scored.pairs)
        cells = [_cell(scored.spread(name, method)) for name in names]
        rows.append([*cells, f"{count:,}", f"{copies:,}", method])
    heads = [f"{name} (distance)" if scored.measures[name] == "distance" else name for name in names]
    print_rows([*heads, "pairs", "copies", "method"], rows)
    note("mean ± sample standard deviation (n - 1)")
    if "distance" in scored.measures.values():
        note("a distance is the smaller the more alike; all others are cosine similarities")
    if scored.copies:
        what = (
            "1 output is a copy of its input"
            if len(scored.copies) == 1
            else f"{len(scored.copies):,} outputs are copies"
        )
        note(f"relsim: {what}; copies score 1 (distance 0) and are no analogies:")
        how = ["the same bytes" if copy.reason == "exact" else f"{copy.bits} bits apart" for copy in scored.copies]
        told = zip(scored.copies, how, strict=True)
        note_some([f"{copy.pair.output} ({copy.pair.method}): {text}" for copy, text in told])
    if scored.left_out:
        note(f"{len(scored.left_out):,} pairs left out: a picture of theirs could not be used")
    note_some([f"{item.record.source}: {item.reason} ({item.status.value})" for item in scored.failures])


def _cell(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    return f"{spread.mean:.3f}" if spread.deviation is None else f"{spread.mean:.3f} ± {spread.deviation:.3f}"
