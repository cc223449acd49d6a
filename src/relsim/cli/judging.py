"""What `relsim judge` and `relsim judge calibrate` share: options, whom to ask, and asking with a bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relsim.cli import asking
from relsim.cli.output import emit, image_progress, note, note_some, print_rows

if TYPE_CHECKING:
    from relsim.evaluation.judge import Judge, JudgedPair
    from relsim.evaluation.judge_pairs import JudgePair
    from relsim.evaluation.judge_prompts import JudgePrompt
    from relsim.evaluation.judge_report import Asking

EXIT_SOME_FAILED = 3
_LOCAL = "local:"

Model = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="NAME|local:DIR",
        help="The model, by the endpoint's name for it, or the folder of a chat model for images that runs here.",
    ),
]
Address = Annotated[
    str | None,
    typer.Option("--endpoint", metavar="URL", help="OpenAI-compatible address; it usually ends in /v1."),
]
ApiVersion = Annotated[
    str | None,
    typer.Option(
        metavar="DATE",
        help="For Azure: --endpoint is the resource, --model the deployment.",
        rich_help_panel=asking.PANEL,
    ),
]
PromptName = Annotated[
    str, typer.Option("--prompt", metavar="published|strict|FILE", help="What is asked: a number, JSON, or your own.")
]
Temperature = Annotated[float, typer.Option(metavar="T", min=0, help="0 takes the most probable answer.")]
OneOrder = Annotated[bool, typer.Option("--one-order", help="Show the query first only. Default: both orders.")]
Repeats = Annotated[int, typer.Option(metavar="N", min=1, help="Ask everything so many times.")]
Seed = Annotated[int, typer.Option(metavar="N", min=0, help="The order of questions, and the resamples.")]
Setting = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A field of the request, as JSON or text; null leaves it out. Already set: max_tokens=256.",
    ),
]


@dataclass(frozen=True, slots=True)
class Given:
    """Options of asking, as they were given."""

    model: str
    endpoint: str | None
    api_version: str | None
    prompt: str
    temperature: float
    one_order: bool
    repeats: int
    seed: int
    max_side: int
    setting: Sequence[str]
    limits: dict[str, Any]
    key_variable: str
    ask_again: bool
    device: str | None
    dtype: str | None


def find_prompt(name: str) -> JudgePrompt:
    """A prompt by its name, or of a file. Raises `RelsimError`."""
    from relsim.errors import RelsimError
    from relsim.evaluation.judge_prompts import PROMPTS, prompt_of_file

    if name in PROMPTS:
        return PROMPTS[name]
    if not Path(name).is_file():
        raise RelsimError(f"--prompt {name} is neither {' nor '.join(PROMPTS)} nor a file")
    return prompt_of_file(Path(name))


def open_judge(given: Given, prompt: JudgePrompt, replies: Path) -> Judge:
    """The endpoint or the model on this machine. Raises `RelsimError`."""
    from relsim.errors import RelsimError
    from relsim.evaluation.judge_replies import is_scoreless

    own = {"temperature": given.temperature, "max_tokens": asking.MAX_TOKENS}
    if not given.model.startswith(_LOCAL):
        if given.endpoint is None:
            raise RelsimError("name the --endpoint of the model, or a model on this machine as --model local:DIR")
        if given.device is not None or given.dtype is not None:
            raise RelsimError("--device and --dtype are for a model on this machine (--model local:DIR)")
        return asking.open_endpoint(
            given.endpoint,
            given.model,
            settings=asking.settings_of(given.setting, own | prompt.settings),
            limits=given.limits,
            key_variable=given.key_variable,
            replies=replies,
            ask_again=given.ask_again and is_scoreless,
            api_version=given.api_version,
        )
    if given.endpoint is not None or given.api_version is not None:
        raise RelsimError("a model on this machine (--model local:DIR) takes no --endpoint and no --api-version")
    from relsim.endpoint.cache import ReplyCache
    from relsim.evaluation.judge_local import LocalJudge

    return LocalJudge(
        given.model.removeprefix(_LOCAL),
        settings=asking.settings_of(given.setting, own),
        cache=ReplyCache(replies),
        ask_again=given.ask_again and is_scoreless,
        device=given.device,
        dtype=given.dtype,
    )


def ask_judge(
    pairs: Sequence[JudgePair], given: Given, replies: Path, *, quiet: bool
) -> tuple[list[JudgedPair], Asking, Any]:
    """All pairs judged, how they were asked, and the answer that the first question took, if one was asked before."""
    from relsim.endpoint.client import Endpoint
    from relsim.evaluation.judge import BOTH_ORDERS, count_questions, judge_pairs, settle_json
    from relsim.evaluation.judge_report import Asking

    prompt = find_prompt(given.prompt)
    orders = BOTH_ORDERS[:1] if given.one_order else BOTH_ORDERS
    with asking.alone(replies):
        judge, earlier = open_judge(given, prompt, replies), None
        if isinstance(judge, Endpoint):
            judge, earlier = settle_json(judge, pairs, prompt, max_side=given.max_side)
        total = count_questions(pairs, orders=orders, repeats=given.repeats)
        with image_progress(total, quiet=quiet, doing="judging", unit="questions") as advance:
            judged = judge_pairs(
                pairs,
                judge,
                prompt,
                orders=orders,
                repeats=given.repeats,
                seed=given.seed,
                max_side=given.max_side,
                on_reply=advance,
            )
    return judged, Asking(judge, prompt, orders, given.repeats, given.seed, given.max_side), earlier


def replies_of(out: Path) -> Path:
    """Where answers are kept beside a document: `judged.json` has `judged.replies/`."""
    return out.with_name(f"{out.name.removesuffix('.json')}.replies")


def tell(judged: Sequence[JudgedPair], report: dict[str, Any], out: Path) -> None:
    """The table of methods, what was asked, and the pairs without a score."""
    rows = [["score", "95 % interval", "scored", "order bias", "method"]]
    for name, method in report["methods"].items():
        valid = report["summary"][name]
        scored = f"{valid['valid_pairs']:,}/{valid['total_pairs']:,}"
        rows.append([*_cells(method["mean"]), scored, _signed(method["order_bias"]), name])
    print_rows(rows[0], rows[1:])
    for item in report["comparisons"]:
        low, high = f"{item['low']:+.2f}", f"{item['high']:+.2f}"
        emit(
            f"{item['first']} less {item['second']}: {item['value']:+.2f} ({low} to {high}, "
            f"{item['count']:,} queries), p = {item['p_holm']:.4f}"
        )
    usage = report["usage_now"]
    cost = f", cost {usage['cost']:.4f}" if usage["cost"] is not None else ""
    emit(
        f"{out}: asked {report['asked_now']:,} now, {usage['input_tokens']:,} tokens in, "
        f"{usage['output_tokens']:,} out{cost}"
    )
    failed = [item for item in judged if item.score is None]
    if failed:
        note(f"{len(failed):,} of {len(judged):,} pairs without a score:")
    told = [(item.pair.query_id, item.pair.match.image_id, item.verdict) for item in failed]
    lines = [f"{query}, {match}: {verdict.reason} ({verdict.status.value})" for query, match, verdict in told]
    note_some(lines, rest=f"{out} has all")


def measured(item: dict[str, Any] | None) -> list[str]:
    """Cells of a measure: its value, its interval and what it counts; dashes where it has no meaning."""
    if item is None:
        return ["-", "-", "-"]
    return [f"{item['value']:.3f}", f"{item['low']:.3f} to {item['high']:.3f}", f"{item['count']:,}"]


def _cells(mean: dict[str, float] | None) -> list[str]:
    return ["-", "-"] if mean is None else [f"{mean['value']:.2f}", f"{mean['low']:.2f} to {mean['high']:.2f}"]


def _signed(estimate: dict[str, float] | None) -> str:
    return "-" if estimate is None else f"{estimate['value']:+.2f}"
