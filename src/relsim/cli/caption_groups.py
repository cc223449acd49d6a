"""`relsim caption groups`: one caption for each group of images, asked of a model behind an endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relsim.cli import asking, options
from relsim.cli.output import emit, image_progress, note, note_some, print_json

if TYPE_CHECKING:
    from relsim.captions.groups import GroupCaption
    from relsim.endpoint.client import Endpoint

EXIT_SOME_FAILED = 3


def caption_groups(
    seed_groups: Annotated[
        Path,
        typer.Argument(
            metavar="SEED_GROUPS", help="List of groups, in either published form (docs/formats.md): JSON or JSONL."
        ),
    ],
    endpoint: Annotated[
        str, typer.Option("--endpoint", metavar="URL", help="OpenAI-compatible address; it usually ends in /v1.")
    ],
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="The model, by the endpoint's name for it.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of results, made or continued.")],
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where the images are: folders group_N, one folder, or a shard folder. Default: beside the list.",
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Ask about the first N groups only.")] = None,
    max_side: asking.MaxSide = 768,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A field of the request, as JSON or text; null leaves it out. Already set: temperature=0, "
            "max_tokens=256.",
        ),
    ] = None,
    key_variable: asking.KeyVariable = "OPENAI_API_KEY",
    concurrency: asking.Concurrency = 4,
    per_minute: asking.PerMinute = None,
    timeout: asking.Timeout = 120.0,
    tries: asking.Tries = 6,
    replies: Annotated[Path | None, asking.kept_in("replies/ in --out")] = None,
    ask_again: asking.AskAgain = False,
    price_in: asking.PriceIn = None,
    price_out: asking.PriceOut = None,
    as_json: options.AsJson = False,
) -> None:
    """Ask a vision-language model for one caption a group.

    All images of a group go to an OpenAI-compatible endpoint, which states the logic that they share. Answers are kept,
    so that the same command goes on where it was interrupted and asks nothing twice. Writes captions.jsonl,
    seed_groups.jsonl to train on, review.tsv for a person, and report.json. Exits with 3 if some groups have no
    caption.
    """
    from relsim.captions.group_files import report_of, write_files
    from relsim.captions.groups import GROUP_PROMPT
    from relsim.data.seed_groups import read_seed_groups

    prices = asking.prices_of(price_in, price_out)
    groups = read_seed_groups(seed_groups, image_folder=images)[:limit]
    asked = asking.open_endpoint(
        endpoint,
        model,
        settings=asking.settings_of(setting or [], {"temperature": 0, "max_tokens": asking.MAX_TOKENS}),
        limits={"concurrency": concurrency, "per_minute": per_minute, "timeout": timeout, "tries": tries},
        key_variable=key_variable,
        replies=replies or out / "replies",
        ask_again=ask_again,
    )
    with asking.alone(out):
        outcomes = _ask(groups, asked, images or _beside(seed_groups), max_side, quiet=as_json)
        report = report_of(outcomes, asked, prompt=GROUP_PROMPT, max_side=max_side, prices=prices)
        write_files(out, outcomes, report)
    if as_json:
        print_json(report)
    else:
        _tell(outcomes, report, out)
    if any(outcome.caption is None for outcome in outcomes):
        raise typer.Exit(EXIT_SOME_FAILED)


def _ask(
    groups: Sequence[Any], endpoint: Endpoint, images: Path | None, max_side: int, *, quiet: bool
) -> list[GroupCaption]:
    """All outcomes in the order of the groups."""
    from relsim.captions.groups import caption_groups

    with image_progress(len(groups), quiet=quiet, doing="asking", unit="groups") as advance:
        found = {}
        for place, outcome in caption_groups(groups, endpoint, image_folder=images, max_side=max_side):
            advance(outcome)
            found[place] = outcome
    return [found[place] for place in range(len(groups))]


def _beside(seed_groups: Path) -> Path | None:
    """The folder of images beside the list: `images/`, or its own if that has folders of groups."""
    own = seed_groups.parent
    if (own / "images").is_dir():
        return own / "images"
    return own if any(path.is_dir() for path in own.glob("group_*")) else None


def _tell(outcomes: Sequence[GroupCaption], report: dict[str, Any], out: Path) -> None:
    captioned = [outcome for outcome in outcomes if outcome.caption is not None]
    leaks = [outcome for outcome in captioned if outcome.verdict is not None and not outcome.verdict.ok]
    usage = report["usage_now"]
    cost = f", cost {usage['cost']:.4f}" if usage["cost"] is not None else ""
    emit(f"{out}: {len(captioned):,} captions of {len(outcomes):,} groups, {len(leaks):,} not anonymous")
    emit(
        f"asked {report['asked_now']:,} now: {usage['input_tokens']:,} tokens in, "
        f"{usage['output_tokens']:,} out{cost}; read them in {out / 'review.tsv'}"
    )
    failed = [outcome for outcome in outcomes if outcome.caption is None]
    if failed:
        note(f"{len(failed):,} without a caption:")
    lines = [f"group {outcome.group.index}: {outcome.reason} ({outcome.status})" for outcome in failed]
    note_some(lines, rest="captions.jsonl has all")
