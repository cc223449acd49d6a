"""`relsim judge calibrate`: is a judge one of relations, or one of looks?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from relsim.cli import asking, judging, options
from relsim.cli.output import emit, print_json, print_rows

JUDGED, CALIBRATION = "judged.json", "calibration.json"


def calibrate(
    model: judging.Model,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of results, made or continued.")],
    endpoint: judging.Address = None,
    count: Annotated[int, typer.Option(metavar="N", min=1, help="Pairs of each of the four kinds.")] = 50,
    size: Annotated[int, typer.Option(metavar="PIXELS", min=28, help="Side of the drawn pictures.")] = 224,
    prompt: judging.PromptName = "published",
    temperature: judging.Temperature = 0.0,
    one_order: judging.OneOrder = False,
    repeats: judging.Repeats = 1,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Which pictures are drawn, the order of questions, and resamples.")
    ] = 0,
    setting: judging.Setting = None,
    api_version: judging.ApiVersion = None,
    key_variable: asking.KeyVariable = "OPENAI_API_KEY",
    concurrency: asking.Concurrency = 4,
    per_minute: asking.PerMinute = None,
    timeout: asking.Timeout = 120.0,
    tries: asking.Tries = 6,
    ask_again: asking.AskAgain = False,
    price_in: asking.PriceIn = None,
    price_out: asking.PriceOut = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    as_json: options.AsJson = False,
) -> None:
    """Let a judge rate drawn pairs whose truth is known.

    Pairs share a relation and no look, a look and no relation, both, or neither. Tells how well the scores separate
    them. Exits with 3 if some pairs have no score.
    """
    from relsim.evaluation.judge_calibration import SCHEMA, calibration
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
        max_side=max(size, 28),
        setting=setting or [],
        limits={"concurrency": concurrency, "per_minute": per_minute, "timeout": timeout, "tries": tries},
        key_variable=key_variable,
        ask_again=ask_again,
        device=device,
        dtype=dtype,
    )
    judging.find_prompt(prompt)
    world = _drawn(out, count, size, seed)
    judged, how, earlier = judging.ask_judge(_pairs(world), given, out / "replies", quiet=as_json)
    report = report_of(judged, how, path=str(world), top_k=1, prices=prices, earlier=earlier)
    figures = {
        "schema": SCHEMA,
        "world": str(world),
        "pairs": len(judged),
        "means": {kind: method["mean"] for kind, method in report["methods"].items()},
        **calibration(judged, seed=seed),
        "order_bias": report["order_bias"],
        "fingerprint": report["fingerprint"],
    }
    write_report(out / JUDGED, report)
    write_report(out / CALIBRATION, figures)
    if as_json:
        print_json(figures)
    else:
        judging.tell(judged, report | {"comparisons": []}, out / JUDGED)
        _tell(figures)
    if any(item.score is None for item in judged):
        raise typer.Exit(judging.EXIT_SOME_FAILED)


def _drawn(out: Path, count: int, size: int, seed: int) -> Path:
    """The folder of drawn pictures that these numbers make, drawn where it is missing."""
    from relsim.errors import RelsimError
    from relsim.world.gallery import write_gallery

    folder = out / f"world-{count}-{size}-{seed}"
    if not folder.exists():
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RelsimError(f"{out} cannot be made: {(error.strerror or str(error)).lower()}") from error
        write_gallery(folder, count=0, triplets=count, size=size, seed=seed)
    return folder


def _pairs(world: Path) -> list[Any]:
    from relsim.data.dataset import ImageDataset
    from relsim.evaluation.judge_calibration import calibration_pairs
    from relsim.evaluation.triplets import read_triplets
    from relsim.world.gallery import MANIFEST, TRIPLETS

    records = {record.image_id: record for record in ImageDataset.open([world / MANIFEST]).records}
    return calibration_pairs(read_triplets(world / TRIPLETS), records)


def _tell(figures: dict[str, Any]) -> None:
    rows = []
    for part, told in (("accuracy", "triplets put right"), ("auc", "area under the curve")):
        for name, item in figures[part].items():
            rows.append([*judging.measured(item), f"{told}, {name}"])
    print_rows(["value", "95 % interval", "n", "measure"], rows)
    conflict = figures["accuracy"]["conflict"]
    if conflict is not None and conflict["high"] < 0.5:
        emit("this judge goes by looks: where relation and look point apart, it follows the look")
