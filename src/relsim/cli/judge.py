"""`relsim judge`: a vision-language model rates how far retrieved images share the logic of their queries."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from relsim.cli import asking, judging, options
from relsim.cli.output import emit, print_json, print_rows


def judge(
    pairs: Annotated[
        Path,
        typer.Argument(
            metavar="RETRIEVED|PAIRS",
            help="retrieved_images.json of a retrieval run, or a list of pairs (.jsonl with a, b and method).",
        ),
    ],
    model: judging.Model,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The document that is written, as JSON.")],
    endpoint: judging.Address = None,
    images: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE", help="Where the images are, by id: a folder, shards or a manifest. Repeatable."),
    ] = None,
    image_folder: options.ImageFolder = None,
    method: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Judge this method only. Repeatable.")
    ] = None,
    top_k: Annotated[int, typer.Option(metavar="K", min=1, help="Judge the first K matches of each query.")] = 1,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Judge the first N queries of each method only.")
    ] = None,
    prompt: judging.PromptName = "published",
    temperature: judging.Temperature = 0.0,
    one_order: judging.OneOrder = False,
    repeats: judging.Repeats = 1,
    seed: judging.Seed = 0,
    max_side: asking.MaxSide = 768,
    setting: judging.Setting = None,
    api_version: judging.ApiVersion = None,
    key_variable: asking.KeyVariable = "OPENAI_API_KEY",
    concurrency: asking.Concurrency = 4,
    per_minute: asking.PerMinute = None,
    timeout: asking.Timeout = 120.0,
    tries: asking.Tries = 6,
    replies: Annotated[Path | None, asking.kept_in("beside --out")] = None,
    ask_again: asking.AskAgain = False,
    price_in: asking.PriceIn = None,
    price_out: asking.PriceOut = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    as_json: options.AsJson = False,
) -> None:
    """Ask a vision-language model how far two images share one logic.

    Each pair is rated from 0 to 10, in both orders, by a model that is never told which method found it. An answer
    without a certain score is counted by its status and never guessed at. Answers are kept, so that the same command
    goes on where it was interrupted and asks nothing twice. Exits with 3 if some pairs have no score.
    """
    from relsim.evaluation.judge_pairs import read_pairs
    from relsim.evaluation.judge_report import report_of, write_report

    prices = asking.prices_of(price_in, price_out)
    given = judging.Given(
        model=model,
        endpoint=endpoint,
        api_version=api_version,
        prompt=prompt,
        temperature=temperature,
        one_order=one_order,
        repeats=repeats,
        seed=seed,
        max_side=max_side,
        setting=setting or [],
        limits={"concurrency": concurrency, "per_minute": per_minute, "timeout": timeout, "tries": tries},
        key_variable=key_variable,
        ask_again=ask_again,
        device=device,
        dtype=dtype,
    )
    found = read_pairs(
        pairs, images=images or [], image_folder=image_folder, methods=method or [], top_k=top_k, limit=limit
    )
    judged, how, earlier = judging.ask_judge(found, given, replies or judging.replies_of(out), quiet=as_json)
    report = report_of(judged, how, path=str(pairs), top_k=top_k, prices=prices, earlier=earlier)
    write_report(out, report)
    if as_json:
        print_json(report)
    else:
        judging.tell(judged, report, out)
    if any(item.score is None for item in judged):
        raise typer.Exit(judging.EXIT_SOME_FAILED)


def agreement(
    judged: Annotated[Path, typer.Argument(metavar="JUDGED", help="A document of relsim judge, or a published one.")],
    human: Annotated[
        Path,
        typer.Argument(metavar="HUMAN", help="Ratings of people: CSV or JSON with query_id, retrieved_id and score."),
    ],
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Which resamples are drawn.")] = 0,
    as_json: options.AsJson = False,
) -> None:
    """Measure how far a judge agrees with people."""
    from relsim.evaluation.judge_agreement import agreement as measure

    found = measure(judged, human, seed=seed)
    if as_json:
        print_json(found)
        return
    rows = []
    for name in ("weighted_kappa", "spearman", "mean_absolute_difference", "mean_difference"):
        item = found[name]
        rows.append([*judging.measured(item), name.replace("_", " ")])
    print_rows(["value", "95 % interval", "n", "measure"], rows)
    emit(f"{found['pairs']:,} pairs of {found['queries']:,} queries, {found['ratings']:,} ratings of people")
    if found["human_only"] or found["without_score"]:
        emit(
            f"left out: {found['human_only']:,} pairs that were not judged, {found['without_score']:,} without a score"
        )
