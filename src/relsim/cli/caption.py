"""`relsim caption`: what pictures have in common with others that work alike, in a sentence each."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from relsim.cli import asking, options, ray_engines
from relsim.cli.output import emit, image_progress, note, note_failed_rows, print_json
from relsim.errors import RelsimError
from relsim.models.embedded import DEFAULT_CAPTIONER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from relsim.captions.caption_file import CaptionResult
    from relsim.captions.stream import CaptionWriter, Outcome, Plan
    from relsim.data.manifest import ManifestRow
    from relsim.data.records import ImageRecord
    from relsim.fingerprint import Fingerprint

EXIT_SOME_FAILED = 3
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
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Write a manifest (.jsonl), a row for each image and run; run again to go on. A .json gets the "
            "published {path: caption} at the end, with the manifest beside it.",
        ),
    ] = None,
    greedy: Annotated[
        bool, typer.Option("--greedy/--sample", help="Take the most probable token each time, or draw one.")
    ] = False,
    runs: Annotated[int, typer.Option(metavar="N", help="Captions for each image, each from a seed of its own.")] = 1,
    until_anonymous: Annotated[
        int, typer.Option(metavar="N", help="Draw a caption that names things again, at most N times.")
    ] = 0,
    temperature: Annotated[float, typer.Option(metavar="T", help="Of drawn captions: above 0; lower is safer.")] = 0.7,
    top_p: Annotated[
        float, typer.Option(metavar="P", help="Of drawn captions: draw among the likeliest tokens of that share.")
    ] = 0.9,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed draws the same captions.")] = 0,
    max_new_tokens: Annotated[int, typer.Option(metavar="N", help="Longest caption, in tokens.")] = 128,
    batch_size: Annotated[int, typer.Option(metavar="N", help="Captions that are written together.")] = 16,
    checkpoint: Checkpoint = None,
    base_model: options.BaseModel = None,
    device: options.Device = None,
    dtype: options.AnswerDtype = None,
    recipe: options.Recipe = None,
    decode: options.Decode = "exact",
    image_folder: options.ImageFolder = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Ask an OpenAI-compatible address, such as vLLM's, in place of a model here; it usually ends in /v1. "
            "Recipe and question are those of --checkpoint, else the published ones.",
            rich_help_panel=asking.PANEL,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The model, by the endpoint's name for it.", rich_help_panel=asking.PANEL),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A further field of the request, as JSON or text, such as top_k=50; null leaves it out.",
            rich_help_panel=asking.PANEL,
        ),
    ] = None,
    key_variable: asking.KeyVariable = "OPENAI_API_KEY",
    concurrency: asking.Concurrency = 4,
    per_minute: asking.PerMinute = None,
    timeout: asking.Timeout = 120.0,
    tries: asking.Tries = 6,
    replies: Annotated[Path | None, asking.kept_in("not beyond the end of the command")] = None,
    engine: ray_engines.Engine = "local",
    ray_address: ray_engines.Address = None,
    ray_workers: ray_engines.Workers = None,
    as_json: options.AsJson = False,
) -> None:
    """Write an anonymous caption for each image.

    A caption states the image's logic, with placeholders for what it shows. It is drawn as published; --greedy takes
    the likeliest. Prints path, tab, caption. With --out a run that was ended goes on where it was. Exits with 3 if
    some images could not be used. Captions of whole groups: relsim caption groups --help; a folder that has this name
    is ./groups.
    """
    from relsim.captions.captioner import Captioner
    from relsim.captions.stream import Plan
    from relsim.cli.caption_endpoint import endpoint_captioner
    from relsim.data.dataset import ImageDataset
    from relsim.models.generation import Sampling

    try:
        sampling = Sampling(greedy, max_new_tokens, temperature, top_p, seed)
        plan = Plan(sampling, runs, until_anonymous, batch_size)
    except ValueError as error:
        raise RelsimError(str(error)) from error
    where = ray_engines.Where(engine, ray_address, ray_workers)
    where.require_file(out, "captions.jsonl")
    if where.on_ray and endpoint is not None:
        raise RelsimError("an endpoint is asked from one process, --concurrency at a time; leave --engine ray away")
    records = ImageDataset.open(sources, image_folder=image_folder).records
    if out is not None:
        _check_target(out, sources, runs)
    with ExitStack() as stack:
        if endpoint is None:
            if model is not None or setting:
                raise RelsimError("--model and --set are for an endpoint; name it with --endpoint URL")
            given = _options(checkpoint, base_model, device, dtype, recipe, decode)
            captioner: CaptionWriter | ray_engines.Captioning = (
                stack.enter_context(ray_engines.captioning(given, plan, where))
                if where.on_ray
                else Captioner.load(**given)
            )
        else:
            drafted = None if decode == "exact" else decode
            local = {"--base-model": base_model, "--device": device, "--dtype": dtype, "--decode": drafted}
            _check_endpoint(model, local)
            captioner = endpoint_captioner(
                endpoint,
                str(model),
                settings=asking.settings_of(setting or [], {}, keep_null=True),
                limits={"concurrency": concurrency, "per_minute": per_minute, "timeout": timeout, "tries": tries},
                key_variable=key_variable,
                replies=replies or Path(stack.enter_context(TemporaryDirectory(prefix="relsim-replies-"))),
                checkpoint=checkpoint,
                recipe=recipe,
            )
        started = time.monotonic()
        with image_progress(len(records), quiet=as_json or out is None, doing="captioning") as advance:
            result = (
                _to_file(records, captioner, plan, out, advance)
                if out is not None
                else _to_terminal(records, cast("CaptionWriter", captioner), plan, quiet=as_json)  # Ray has a file
            )
    seconds = time.monotonic() - started
    if as_json:
        print_json(_document(result, captioner.fingerprint, plan, seconds))
    else:
        _report(result, out, seconds)
    if result.failures:
        raise typer.Exit(EXIT_SOME_FAILED)


def _options(
    checkpoint: str | None,
    base_model: str | None,
    device: str | None,
    dtype: str | None,
    recipe: str | None,
    decode: str,
) -> dict[str, Any]:
    """What `Captioner.load` takes: the captioner that is named, else the environment's, else the embedded one."""
    named = checkpoint or os.environ.get(_VARIABLE) or DEFAULT_CAPTIONER
    given = options.model_options(named, base_model, device, dtype, recipe, decode)
    return options.with_environment(given, answers=True)


def _check_endpoint(model: str | None, local: Mapping[str, str | None]) -> None:
    if model is None:
        raise RelsimError("an endpoint needs the name of its model: --model NAME")
    for name, value in local.items():
        if value is not None:
            raise RelsimError(f"{name} is for a model that runs here; leave it away beside --endpoint")


def _check_target(out: Path, sources: Sequence[str], runs: int) -> None:
    """Refuse what would be refused at the end, before anything is loaded."""
    from relsim.captions.caption_file import check_published, rows_of
    from relsim.errors import SourceError

    for path in {out, rows_of(out)}:
        options.check_target(path, sources, example="captions.jsonl")
    if out.suffix not in (".jsonl", ".json"):
        raise SourceError(f"{out} is neither a .jsonl file, one row a caption, nor a .json file in the published form")
    if out.suffix == ".json":
        check_published(out, runs)


def _to_file(
    records: Sequence[ImageRecord],
    captioner: CaptionWriter | ray_engines.Captioning,
    plan: Plan,
    out: Path,
    advance: Callable[[Outcome], None],
) -> CaptionResult:
    from relsim.captions.caption_file import caption_to_file
    from relsim.data.records import Failure

    def count(outcome: Outcome) -> None:
        if isinstance(outcome, Failure) or outcome.run == 0:
            advance(outcome)

    try:
        if isinstance(captioner, ray_engines.Captioning):
            return captioner.to_file(records, out, on_outcome=count)
        return caption_to_file(records, captioner, plan, out, on_outcome=count)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("what was written is kept, run it again to go on") from None


def _to_terminal(records: Sequence[ImageRecord], captioner: CaptionWriter, plan: Plan, *, quiet: bool) -> CaptionResult:
    from relsim.captions.caption_file import CaptionResult, row_of
    from relsim.captions.stream import caption_records

    rows: list[ManifestRow] = []
    for outcome in caption_records(records, captioner, plan):
        rows.append(row_of(outcome))
        if not quiet:
            _print(rows[-1])
    return CaptionResult(rows)


def _print(row: ManifestRow) -> None:
    """A caption as a line of its own; whatever would break the line is shown as its escape."""
    from relsim.data.identity import printable

    if row.caption is not None:
        emit(f"{row.extra['source']}\t{printable(row.caption)}")


def _document(result: CaptionResult, fingerprint: Fingerprint, plan: Plan, seconds: float) -> dict[str, Any]:
    leaks = result.leaks
    return {
        "schema": "relsim.captions/2",
        "captions": [_entry(row) for row in result.rows],
        "sampling": asdict(plan.sampling),
        "runs": plan.runs,
        "until_anonymous": plan.until_anonymous,
        "there": result.there,
        "failed": result.reasons,
        "leak_rate": None if leaks is None else leaks.to_json(),
        "seconds": round(seconds, 3),
        "captions_per_second": round(result.written / seconds, 3) if seconds else None,
        "fingerprint": fingerprint.to_dict(),
    }


def _entry(row: ManifestRow) -> dict[str, Any]:
    from relsim.captions.caption_file import OWN

    return {"image_id": row.image_hash, "caption": row.caption, **{name: row.extra[name] for name in OWN}}


def _report(result: CaptionResult, out: Path | None, seconds: float) -> None:
    """Tell of captions and of failures."""
    leaks, count = result.leaks, len(result.captions)
    parts = [f"{count:,} {'caption' if count == 1 else 'captions'}"]
    if leaks is not None:
        parts.append(f"{leaks.value:.1%} not anonymous (95 %: {leaks.low:.1%} to {leaks.high:.1%})")
    if result.written and seconds:
        parts.append(f"{result.written / seconds:.1f} captions/s")
    if result.there:
        parts.append(f"{result.there:,} were there")
    line = "; ".join(parts)
    if out is None:
        note(line)
    else:
        emit(f"{out}: {line}")
    note_failed_rows(result.failures, result.reasons)
