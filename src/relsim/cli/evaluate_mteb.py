"""`relsim evaluate mteb`: a labelled collection as retrieval tasks of the benchmark suite MTEB."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relsim.cli import options, specs
from relsim.cli.output import note, print_json, print_rows
from relsim.encoders import DEFAULT_ENCODER
from relsim.errors import RelsimError

if TYPE_CHECKING:
    from relsim.encoders.base import AnyEncoder

_SHOWN = ("ndcg_at_10", "map_at_10", "recall_at_10", "hit_rate_at_1")


def mteb(
    collection: Annotated[list[str], typer.Argument(metavar="COLLECTION...", help=options.SOURCES_HELP)],
    encoder: specs.Encoders = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="The tasks are NAMEI2IRetrieval and NAMET2IRetrieval.")] = (
        "Collection"
    ),
    label: Annotated[
        str | None,
        typer.Option(metavar="FIELD", help="Pictures with an equal field are relevant. Default: relation, or group."),
    ] = None,
    image_folder: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the images of manifests are.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Run encoders in MTEB on retrieval tasks that are made of a labelled collection.

    Pictures find pictures of their label, and captions find pictures. Encoders without sentences run the first task
    alone. Needs the package mteb; nothing is downloaded, and no result is kept.
    """
    from relsim.data.dataset import ImageDataset
    from relsim.evaluation.encoder_specs import EncoderSpec
    from relsim.evaluation.mteb_tasks import collection_tasks

    if not name.isalnum():
        raise typer.BadParameter(f"{name!r} is not letters and digits", param_hint="--name")
    wanted = [EncoderSpec.parse(text) for text in encoder or [DEFAULT_ENCODER]]
    records = ImageDataset.open(collection, image_folder=image_folder).records
    options.check_label(records, label)
    tasks = collection_tasks(records, name, label=label)
    results = {spec.label: _run(specs.load_spec(spec)[0], spec.label, tasks) for spec in wanted}
    if not any(result["tasks"] for result in results.values()):
        raise RelsimError(f"none of these encoders has sentences, which {tasks[0].metadata.name} needs")
    if as_json:
        print_json({"schema": "relsim.mteb/1", "collection": collection, "methods": results})
        return
    rows = [
        [*(f"{scores[metric]:.3f}" for metric in _SHOWN), task, method]
        for method, result in results.items()
        for task, scores in result["tasks"].items()
    ]
    print_rows([*(metric.replace("_at_", "@") for metric in _SHOWN), "task", "encoder"], rows)


def _run(encoder: AnyEncoder, label: str, tasks: list[Any]) -> dict[str, Any]:
    """Scores by task, of those tasks that the encoder has sides for."""
    from mteb import evaluate

    from relsim.evaluation.mteb_encoder import MtebEncoder

    model = MtebEncoder(encoder, label)
    sides = set(model.mteb_model_meta.modalities)
    fit = [task for task in tasks if set(task.metadata.modalities) <= sides]
    for task in tasks:
        if task not in fit:
            note(f"relsim: {label} has no sentences, so {task.metadata.name} is passed over")
    found = evaluate(model, fit, cache=None, show_progress_bar=False, co2_tracker=False).task_results if fit else []
    return {
        "fingerprint": encoder.fingerprint.to_dict(),
        "tasks": {result.task_name: _plain(result.scores["test"][0]) for result in found},
    }


def _plain(scores: Any) -> dict[str, float]:
    return {name: float(value) for name, value in scores.items() if isinstance(value, (int, float))}
