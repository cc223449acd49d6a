"""`relsim caption groups`: one caption for each group of images, asked of a model behind an endpoint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relsim.cli import options
from relsim.cli.output import emit, image_progress, note, print_json

if TYPE_CHECKING:
    from relsim.captions.groups import GroupCaption
    from relsim.endpoint.client import Endpoint

EXIT_SOME_FAILED = 3
_SHOWN = 5
_ASKING, _COST = "Asking", "Cost"


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
    max_side: Annotated[
        int, typer.Option(metavar="PIXELS", min=28, help="Send pictures with their longer side at most this long.")
    ] = 768,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A field of the request, as JSON or text; null leaves it out. Already set: temperature=0, "
            "max_tokens=256.",
        ),
    ] = None,
    key_variable: Annotated[
        str,
        typer.Option(metavar="NAME", help="Environment variable that holds the key.", rich_help_panel=_ASKING),
    ] = "OPENAI_API_KEY",
    concurrency: Annotated[
        int, typer.Option(metavar="N", min=1, help="Questions under way at once.", rich_help_panel=_ASKING)
    ] = 4,
    per_minute: Annotated[
        float | None, typer.Option(metavar="N", help="Questions a minute at most.", rich_help_panel=_ASKING)
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="Longest wait for one answer.", rich_help_panel=_ASKING)
    ] = 120.0,
    tries: Annotated[
        int, typer.Option(metavar="N", min=1, help="Tries for each question.", rich_help_panel=_ASKING)
    ] = 6,
    replies: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where answers are kept. Default: replies/ in --out.", rich_help_panel=_ASKING
        ),
    ] = None,
    ask_again: Annotated[  # noqa: FBT002 - typer makes a flag of it
        bool,
        typer.Option("--ask-again", help="Ask anew where the kept answer is of no use.", rich_help_panel=_ASKING),
    ] = False,
    price_in: Annotated[
        float | None, typer.Option(metavar="PRICE", help="Price of a million input tokens.", rich_help_panel=_COST)
    ] = None,
    price_out: Annotated[
        float | None, typer.Option(metavar="PRICE", help="Price of a million output tokens.", rich_help_panel=_COST)
    ] = None,
    as_json: options.AsJson = False,  # noqa: FBT002 - typer makes a flag of it
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
    from relsim.endpoint.replies import Prices
    from relsim.errors import RelsimError

    if (price_in is None) != (price_out is None):
        raise RelsimError("a cost needs both prices: --price-in and --price-out")
    prices = Prices(price_in, price_out) if price_in is not None and price_out is not None else None
    groups = read_seed_groups(seed_groups, image_folder=images)[:limit]
    asked = _endpoint(
        endpoint,
        model,
        settings=_settings(setting or []),
        limits={"concurrency": concurrency, "per_minute": per_minute, "timeout": timeout, "tries": tries},
        key_variable=key_variable,
        replies=replies or out / "replies",
        ask_again=ask_again,
    )
    outcomes = _ask(groups, asked, out, images or _beside(seed_groups), max_side, quiet=as_json)
    report = report_of(outcomes, asked, prompt=GROUP_PROMPT, max_side=max_side, prices=prices)
    write_files(out, outcomes, report)
    if as_json:
        print_json(report)
    else:
        _tell(outcomes, report, out)
    if any(outcome.caption is None for outcome in outcomes):
        raise typer.Exit(EXIT_SOME_FAILED)


def _endpoint(
    address: str,
    model: str,
    *,
    settings: dict[str, Any],
    limits: dict[str, Any],
    key_variable: str,
    replies: Path,
    ask_again: bool,
) -> Endpoint:
    from relsim.endpoint.cache import ReplyCache
    from relsim.endpoint.client import Endpoint, key_of_environment
    from relsim.endpoint.pace import Policy
    from relsim.errors import RelsimError

    try:
        policy = Policy(**limits)
    except ValueError as error:
        raise RelsimError(str(error)) from error
    return Endpoint(
        address,
        model,
        key=key_of_environment(key_variable),
        settings=settings,
        cache=ReplyCache(replies),
        policy=policy,
        ask_again=ask_again,
    )


def _settings(given: Sequence[str]) -> dict[str, Any]:
    """Fields of the request: temperature 0, at most 256 tokens, and what is given."""
    from relsim.errors import RelsimError

    settings: dict[str, Any] = {"temperature": 0, "max_tokens": 256}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise RelsimError(f"--set {text!r} is not of the form NAME=VALUE, such as seed=1")
        try:
            settings[name] = json.loads(value)
        except ValueError:
            settings[name] = value
    return {name: value for name, value in settings.items() if value is not None}


def _ask(
    groups: Sequence[Any], endpoint: Endpoint, out: Path, images: Path | None, max_side: int, *, quiet: bool
) -> list[GroupCaption]:
    """All outcomes in the order of the groups, with the folder of results locked meanwhile."""
    from relsim.captions.groups import caption_groups
    from relsim.errors import RelsimError
    from relsim.files import FileInUseError, exclusive_lock

    try:
        out.mkdir(parents=True, exist_ok=True)
        bar = image_progress(len(groups), quiet=quiet, doing="asking", unit="groups")
        with exclusive_lock(out / ".lock"), bar as advance:
            found = {}
            for place, outcome in caption_groups(groups, endpoint, image_folder=images, max_side=max_side):
                advance(outcome)
                found[place] = outcome
            return [found[place] for place in range(len(groups))]
    except FileInUseError as error:
        raise RelsimError(f"another process is asking for {out}; let it finish, or name another folder") from error
    except OSError as error:
        raise RelsimError(f"{out} cannot be written: {(error.strerror or str(error)).lower()}") from error


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
    for outcome in failed[:_SHOWN]:
        note(f"  group {outcome.group.index}: {outcome.reason} ({outcome.status})")
    if len(failed) > _SHOWN:
        note(f"  ... and {len(failed) - _SHOWN:,} more; captions.jsonl has all")
