"""`relsim curate`: from images to anonymous captions that a metric is trained on, in stages that are done once."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from relsim.cli import asking, options
from relsim.cli.output import emit, image_progress, note, print_json
from relsim.errors import MissingExtraError, RelsimError
from relsim.models.embedded import DEFAULT_CAPTIONER, NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from relsim.curation.groups import Asking
    from relsim.curation.pipeline import Curated
    from relsim.endpoint.client import Endpoint
    from relsim.training.config import TrainingConfig

EXIT_SOME_FAILED = 3
_CAPTIONER = "RELSIM_CAPTIONER"
_FILTER, _TRAINING = "Filter", "Captioner"


def curate(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCES", help=options.SOURCES_HELP)],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the stages; run again to go on in it.")
    ],
    image_folder: options.ImageFolder = None,
    dedup: Annotated[
        Literal["exact", "near", "none"],
        typer.Option(
            metavar="exact|near|none", help="Drop images with the bytes of another, also those that look like another."
        ),
    ] = "near",
    filter_: Annotated[
        str | None,
        typer.Option(
            "--filter",
            metavar="DIR|ID",
            help="Keep the images that this filter finds interesting; relsim train filter makes one.",
            rich_help_panel=_FILTER,
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            min=0,
            max=1,
            help="Keep images from this probability on. Default: the filter's own.",
            rich_help_panel=_FILTER,
        ),
    ] = None,
    captioner: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|ID",
            help=f"Captioner. Default: ${_CAPTIONER}, else {DEFAULT_CAPTIONER}.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    groups: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Train a captioner on these seed groups, and use it.", rich_help_panel=_TRAINING
        ),
    ] = None,
    group_images: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the images of the seed groups are.", rich_help_panel=_TRAINING),
    ] = None,
    captioner_config: Annotated[
        Path | None,
        typer.Option(
            metavar="YAML",
            help="Settings of that training, its base model too, as relsim train captioner takes them. Default: as "
            "published.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Ask a model for captions of seed groups that have none; OpenAI-compatible, usually ends in /v1.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="That model, by the endpoint's name for it.", rich_help_panel=_TRAINING),
    ] = None,
    caption_groups: Annotated[
        bool, typer.Option("--caption-groups", help="Ask about all seed groups.", rich_help_panel=_TRAINING)
    ] = False,
    keep_leaks: Annotated[
        bool,
        typer.Option(
            "--keep-leaks", help="Train also on captions of seed groups that name things.", rich_help_panel=_TRAINING
        ),
    ] = False,
    key_variable: asking.KeyVariable = "OPENAI_API_KEY",
    runs: Annotated[int, typer.Option(metavar="N", help="Captions for each image, each from a seed of its own.")] = 1,
    until_anonymous: Annotated[
        int, typer.Option(metavar="N", help="Draw a caption that names things again, at most N times.")
    ] = 0,
    held_out: Annotated[
        float, typer.Option(metavar="SHARE", min=0, max=1, help="Share of the images that is held out; 0 for none.")
    ] = 0.05,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of what is drawn and of what is held out.")] = 0,
    batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="Images that go through a model together.")] = 16,
    base_model: options.BaseModel = None,
    device: options.Device = None,
    dtype: options.AnswerDtype = None,
    as_json: options.AsJson = False,
) -> None:
    """Make a data set of anonymous captions of images.

    Images are read, duplicates dropped, interesting ones kept (--filter), a captioner is trained (--groups), each image
    captioned, captions that name things rejected, and the rest divided into train.jsonl and held_out.jsonl for
    relsim train metric. Each stage is a folder of its own, with what it kept and rejected and why; report.html shows
    all. Run again to go on: what is done is passed over, what other settings ask for is made again. Exits with 3 if
    some images could not be used.
    """
    try:
        from relsim.curation.options import Curation
        from relsim.curation.pipeline import curate as run_curation
    except ImportError as error:
        raise MissingExtraError(error.name or "pydantic", "train", "curation") from error
    from relsim.cli.train import show_line

    if captioner is not None and groups:
        raise RelsimError("--captioner names a captioner and --groups trains one; keep one of them")
    if not groups and (group_images is not None or captioner_config is not None):
        raise RelsimError("--group-images and --captioner-config belong to --groups, which is not given")
    if (endpoint is None) != (model is None) or (caption_groups and endpoint is None):
        raise RelsimError("asking for captions of seed groups needs both --endpoint and --model")
    if not groups and (endpoint is not None or keep_leaks):
        raise RelsimError("--endpoint, --model and --keep-leaks belong to --groups, which is not given")
    machine = {"device": device, "dtype": dtype}
    wanted = Curation(
        image_folder=None if image_folder is None else Path(image_folder),
        dedup=dedup,
        filter=None if filter_ is None else _model(filter_, base_model, machine),
        threshold=threshold,
        training=_training(groups, group_images, captioner_config, base_model, out) if groups else None,
        asking=_asking(endpoint, model, key_variable, every=caption_groups),
        keep_leaks=keep_leaks,
        captioner=_model(captioner or os.environ.get(_CAPTIONER) or DEFAULT_CAPTIONER, base_model, machine),
        runs=runs,
        until_anonymous=until_anonymous,
        held_out=held_out,
        seed=seed,
        batch_size=batch_size,
    )

    def watch(doing: str, total: int) -> AbstractContextManager[Callable[[Any], None]]:
        return image_progress(total, quiet=as_json, doing=doing)

    try:
        done = run_curation(sources, out, wanted, watch=watch, tell=note, watcher=None if as_json else show_line)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("what was done is kept, run it again to go on") from None
    if as_json:
        print_json(done.report)
    else:
        _report(done)
    if done.unreadable:
        raise typer.Exit(EXIT_SOME_FAILED)


def _asking(address: str | None, model: str | None, key_variable: str, *, every: bool) -> Asking | None:
    from relsim.curation.groups import Asking

    if address is None or model is None:
        return None
    settings = asking.settings_of([], {"temperature": 0, "max_tokens": asking.MAX_TOKENS})

    def opened(replies: Path) -> Endpoint:
        return asking.open_endpoint(
            address,
            model,
            settings=settings,
            limits={},
            key_variable=key_variable,
            replies=replies,
            ask_again=False,
        )

    return Asking(model=model, opened=opened, settings=settings, every=every)


def _model(named: str, base_model: str | None, machine: dict[str, str | None]) -> dict[str, str]:
    """Options of a checkpoint. An embedded one is whole, so that no base model is any of its business."""
    base = None if named in NAMES else base_model
    given = options.model_options(named, base, machine["device"], machine["dtype"], None)
    return options.with_environment(given, answers=True)


def _training(
    groups: list[Path], images: Path | None, config: Path | None, base_model: str | None, out: Path
) -> TrainingConfig:
    from relsim.cli.train import read_settings

    flags: dict[str, Any] = {
        "run.out": str(out),
        "run.epochs": None,
        "data.manifests": [str(path) for path in groups],
        "data.image_folder": images and str(images),
        "model.base": base_model if config is None else None,
    }
    return read_settings("caption", config, flags, [])


def _report(done: Curated) -> None:
    for part, count in done.report["dataset"]["parts"].items():
        emit(f"{done.dataset / part}.jsonl\tcaptions {count['captions']:,}, images {count['images']:,}")
        if not count["captions"]:
            note(f"{part}.jsonl is empty, as chance may have it with few images; another share or seed changes that")
    emit(str(done.out / "report.html"))
