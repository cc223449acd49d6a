"""`relsim filter`: which images are interesting, by a filter that was trained on labels."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from relsim.cli import options, ray_engines
from relsim.cli.output import emit, image_progress, note, note_failed_rows, print_json
from relsim.errors import RelsimError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from relsim.captions.filtering import FilterResult, Outcome
    from relsim.captions.interesting import InterestingFilter
    from relsim.data.manifest import ManifestRow
    from relsim.data.records import ImageRecord
    from relsim.fingerprint import Fingerprint

EXIT_SOME_FAILED = 3
_VARIABLE = "RELSIM_FILTER"


def filter_(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCES", help=options.SOURCES_HELP),
    ],
    checkpoint: Annotated[
        str | None,
        typer.Option(
            "--checkpoint",
            "-c",
            metavar="DIR|ID",
            help=f"Filter: a folder that relsim train filter made, or an id on the Hub. Default: ${_VARIABLE}.",
            rich_help_panel=options.MODEL_PANEL,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Write a manifest (.jsonl), a row for each image; run again to go on.",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="P", min=0, max=1, help="Keep images from this probability on. Default: the checkpoint's, else 0.5."
        ),
    ] = None,
    kept_only: Annotated[bool, typer.Option("--kept-only", help="Write or print the kept images alone.")] = False,
    batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="Images that are judged together.")] = 16,
    base_model: options.BaseModel = None,
    device: options.Device = None,
    dtype: options.AnswerDtype = None,
    recipe: options.Recipe = None,
    image_folder: options.ImageFolder = None,
    engine: ray_engines.Engine = "local",
    ray_address: ray_engines.Address = None,
    ray_workers: ray_engines.Workers = None,
    as_json: options.AsJson = False,
) -> None:
    """Keep the interesting images.

    Prints path, tab, probability, tab, kept or dropped. With --out a run that was ended goes on where it was. Exits
    with 3 if some images could not be used. relsim train filter makes a filter from your labels.
    """
    from relsim.captions.interesting import InterestingFilter
    from relsim.data.dataset import ImageDataset

    where = ray_engines.Where(engine, ray_address, ray_workers)
    where.require_file(out, "kept.jsonl")
    given = _options(checkpoint, base_model, device, dtype, recipe)
    records = ImageDataset.open(sources, image_folder=image_folder, ids="stem").records
    if out is not None:
        options.check_target(out, sources, example="kept.jsonl")
    with ExitStack() as stack:
        interesting: InterestingFilter | ray_engines.Filtering = (
            stack.enter_context(ray_engines.filtering(given, where))
            if where.on_ray
            else InterestingFilter.load(**given)
        )
        limit = interesting.threshold if threshold is None else threshold
        judge: dict[str, Any] = {"threshold": limit, "batch_size": batch_size, "kept_only": kept_only}
        with image_progress(len(records), quiet=as_json or out is None, doing="filtering") as advance:
            result = (
                _to_file(records, interesting, out, advance, **judge)
                if out is not None
                else _to_terminal(records, cast("InterestingFilter", interesting), quiet=as_json, **judge)
            )
    if as_json:
        print_json(_document(result, interesting.fingerprint, limit, kept_only=kept_only))
    else:
        _report(result, out, limit)
    if result.failures:
        raise typer.Exit(EXIT_SOME_FAILED)


def _options(
    checkpoint: str | None, base_model: str | None, device: str | None, dtype: str | None, recipe: str | None
) -> dict[str, str]:
    """What `InterestingFilter.load` takes. Raises `RelsimError` where no filter is named."""
    named = checkpoint or os.environ.get(_VARIABLE)
    if not named:
        raise RelsimError(
            f"no filter is named, and none comes with relsim: pass --checkpoint or set {_VARIABLE}; "
            "relsim train filter makes one from your labels"
        )
    return options.with_environment(options.model_options(named, base_model, device, dtype, recipe), answers=True)


def _to_file(
    records: Sequence[ImageRecord],
    interesting: InterestingFilter | ray_engines.Filtering,
    out: Path,
    advance: Callable[[Outcome], None],
    **settings: Any,
) -> FilterResult:
    from relsim.captions.filtering import filter_to_file

    try:
        if isinstance(interesting, ray_engines.Filtering):
            return interesting.to_file(records, out, on_outcome=advance, **settings)
        return filter_to_file(records, interesting, out, on_outcome=advance, **settings)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("what was judged is kept, run it again to go on") from None


def _to_terminal(
    records: Sequence[ImageRecord], interesting: InterestingFilter, *, quiet: bool, kept_only: bool, **settings: Any
) -> FilterResult:
    from relsim.captions.filtering import FilterResult, filter_records, row_of

    rows: list[ManifestRow] = []
    for outcome in filter_records(records, interesting, **settings):
        rows.append(row_of(outcome))
        if not quiet:
            _print(rows[-1], kept_only=kept_only)
    return FilterResult(rows, 0)


def _print(row: ManifestRow, *, kept_only: bool) -> None:
    found = row.extra
    if found["score"] is not None and (found["kept"] or not kept_only):
        emit(f"{found['source']}\t{found['score']:.4g}\t{'kept' if found['kept'] else 'dropped'}")


def _document(result: FilterResult, fingerprint: Fingerprint, threshold: float, *, kept_only: bool) -> dict[str, Any]:
    return {
        "schema": "relsim.filter/1",
        "images": [_entry(row) for row in (result.kept if kept_only else result.rows)],
        "total": len(result.rows),
        "kept": len(result.kept),
        "failed": result.reasons,
        "threshold": threshold,
        "fingerprint": fingerprint.to_dict(),
    }


def _entry(row: ManifestRow) -> dict[str, Any]:
    own = {name: row.extra[name] for name in ("source", "status", "reason", "score", "kept")}
    return {"image_id": row.image_hash, **own}


def _report(result: FilterResult, out: Path | None, threshold: float) -> None:
    judged = len(result.rows) - len(result.failures)
    share = f" ({len(result.kept) / judged:.2%})" if judged else ""
    there = f"; {result.there:,} were there" if result.there else ""
    line = f"{len(result.kept):,} of {judged:,} kept{share} at {threshold:.4g}{there}"
    if out is None:
        note(line)
    else:
        emit(f"{out}: {line}")
    note_failed_rows(result.failures, result.reasons)
