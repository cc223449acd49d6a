"""`relsim caption`: what pictures have in common with others that work alike, in a sentence each."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relsim.cli import options
from relsim.cli.output import emit, image_progress, note, print_json
from relsim.models.embedded import DEFAULT_CAPTIONER

if TYPE_CHECKING:
    from relsim.captions.captioner import Captioner
    from relsim.captions.stream import Outcome
    from relsim.data.manifest import ManifestRow
    from relsim.models.generation import Sampling

EXIT_SOME_FAILED = 3
_SHOWN_FAILURES = 5
_VARIABLE = "RELSIM_CAPTIONER"

Checkpoint = Annotated[
    str | None,
    typer.Option(
        "--checkpoint",
        "-c",
        metavar="DIR|ID",
        help=f"Captioner: a folder, or an id on the Hugging Face Hub. Default: ${_VARIABLE}, else {DEFAULT_CAPTIONER}.",
        rich_help_panel=options.MODEL_PANEL,
    ),
]


def caption(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCES", help=options.SOURCES_HELP),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write a manifest (.jsonl) with the captions.")
    ] = None,
    greedy: Annotated[  # noqa: FBT002 - typer makes a flag of it
        bool, typer.Option("--greedy/--sample", help="Take the most probable token each time, or draw one.")
    ] = True,
    temperature: Annotated[float, typer.Option(metavar="T", help="With --sample: above 0; lower is safer.")] = 0.7,
    top_p: Annotated[
        float, typer.Option(metavar="P", help="With --sample: draw among the likeliest tokens of that share.")
    ] = 0.9,
    seed: Annotated[int, typer.Option(metavar="N", help="With --sample: the same seed draws the same captions.")] = 0,
    max_new_tokens: Annotated[int, typer.Option(metavar="N", help="Longest caption, in tokens.")] = 128,
    checkpoint: Checkpoint = None,
    base_model: options.BaseModel = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    recipe: options.Recipe = None,
    image_folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the images of a manifest are.")
    ] = None,
    as_json: options.AsJson = False,  # noqa: FBT002 - typer makes a flag of it
) -> None:
    """Write an anonymous caption for each image.

    A caption states the image's logic, with placeholders for what it shows. Prints path, tab, caption. Exits with 3 if
    some images could not be used. Captions of whole groups: relsim caption groups --help; a folder that has this name
    is ./groups.
    """
    from relsim.captions.captioner import Captioner
    from relsim.data.dataset import ImageDataset
    from relsim.errors import RelsimError
    from relsim.models.generation import Sampling

    try:
        sampling = Sampling(greedy, max_new_tokens, temperature, top_p, seed)
    except ValueError as error:
        raise RelsimError(str(error)) from error
    records = ImageDataset.open(sources, image_folder=image_folder).records
    if out is not None and out.is_dir():
        raise RelsimError(f"{out} is a folder; --out names a file, such as captions.jsonl")
    captioner = Captioner.load(**_options(checkpoint, base_model, device, dtype, recipe))
    outcomes: list[Outcome] = []
    for outcome in _caption(captioner, records, sampling, quiet=as_json or out is None):
        outcomes.append(outcome)
        if not as_json and out is None:
            _print(outcome)
    if out is not None:
        from relsim.data.manifest import write_manifest

        write_manifest(out, map(_row, outcomes))
    if as_json:
        print_json(_document(outcomes, captioner, sampling))
    failed = _report(outcomes, out, as_json=as_json)
    if failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def _options(
    checkpoint: str | None, base_model: str | None, device: str | None, dtype: str | None, recipe: str | None
) -> dict[str, Any]:
    """What `Captioner.load` takes: the captioner that is named, else the environment's, else the embedded one."""
    named = checkpoint or os.environ.get(_VARIABLE) or DEFAULT_CAPTIONER
    return options.with_environment(options.model_options(named, base_model, device, dtype, recipe))


def _caption(captioner: Captioner, records: Sequence[Any], sampling: Sampling, *, quiet: bool) -> Iterator[Outcome]:
    from relsim.captions.stream import caption_records

    with image_progress(len(records), quiet=quiet, doing="captioning") as advance:
        for outcome in caption_records(records, captioner, sampling):
            advance(outcome)
            yield outcome


def _print(outcome: Outcome) -> None:
    """A caption as a line of its own; whatever would break the line is shown as its escape."""
    from relsim.data.identity import printable
    from relsim.data.records import Failure

    if not isinstance(outcome, Failure):
        emit(f"{printable(outcome.record.source)}\t{printable(outcome.caption.text.strip())}")


def _row(outcome: Outcome) -> ManifestRow:
    """A row of the manifest: published fields, the image's own others, and `status` and `reason` where it failed."""
    from relsim.data.identity import printable
    from relsim.data.manifest import ManifestRow
    from relsim.data.records import Failure, Status

    record = outcome.record
    kept = {name: value for name, value in record.fields.items() if name not in ("url_link", "caption")}
    extra = {**kept, "source": printable(record.source)}
    link = record.fields.get("url_link")
    if isinstance(outcome, Failure):
        failure = {"status": outcome.status.value, "reason": outcome.reason}
        return ManifestRow(record.image_id, link, None, {**extra, **failure})
    return ManifestRow(record.image_id, link, outcome.caption.text.strip(), {**extra, "status": Status.OK.value})


def _document(outcomes: Sequence[Outcome], captioner: Captioner, sampling: Sampling) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "schema": "relsim.captions/1",
        "captions": [_entry(outcome) for outcome in outcomes],
        "sampling": asdict(sampling),
        "fingerprint": captioner.fingerprint.to_dict(),
    }


def _entry(outcome: Outcome) -> dict[str, Any]:
    from relsim.data.records import Failure, Status

    named = {"image_id": outcome.record.image_id, "source": outcome.record.source}
    if isinstance(outcome, Failure):
        return {**named, "status": outcome.status.value, "reason": outcome.reason, "caption": None}
    return {**named, "status": Status.OK.value, "reason": None, "caption": outcome.caption.text.strip()}


def _report(outcomes: Sequence[Outcome], out: Path | None, *, as_json: bool) -> int:
    """Tell of the file and of failures; gives the number of these."""
    from relsim.data.records import Failure

    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    if as_json:
        return len(failures)
    if out is not None:
        emit(f"{out}: {len(outcomes) - len(failures):,} captions")
    if failures:
        reasons = Counter(failure.status.value for failure in failures).most_common()
        note(f"{len(failures):,} failed: " + ", ".join(f"{count:,} {reason}" for reason, count in reasons))
    for failure in failures[:_SHOWN_FAILURES]:
        note(f"  {failure.record.image_id}: {failure.reason} ({failure.status.value})")
    if len(failures) > _SHOWN_FAILURES:
        note(f"  ... and {len(failures) - _SHOWN_FAILURES:,} more; --json lists all")
    return len(failures)
