"""`relsim demo`: what relsim does, step by step, with the command for each step; `relsim demo world` draws pictures."""

from __future__ import annotations

import contextlib
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from relsim.cli import options
from relsim.cli.embed import embed
from relsim.cli.output import emit, image_progress
from relsim.cli.score import score
from relsim.cli.search import search
from relsim.errors import RelsimError

if TYPE_CHECKING:
    from relsim.demo.chapters import Chapter

FOLDER = "relsim-demo"
_SENTENCE = "{Objects} arranged in a ring around an empty {Center}"
_SHOWN = 5

SplitName = Literal["train", "validation", "held-out-objects", "held-out-relations", "held-out-styles"]


def demo(
    context: typer.Context,
    images: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Score, embed and search this folder of at least three images instead."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help=f"A new folder for pictures, tables and report. Default: {FOLDER}; with --images a temporary one.",
        ),
    ] = None,
    checkpoint: options.Checkpoint = None,
    base_model: options.BaseModel = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    recipe: options.Recipe = None,
) -> None:
    """Show what relsim does, and write a report.

    The pictures' relations are known, so what is scored, captioned, found and measured can be checked. Every step is
    shown with its command. It takes about a minute, needs no network, and uses the checkpoints that come with relsim;
    --checkpoint and its like belong to --images.
    """
    if context.invoked_subcommand is not None:
        return
    given = options.model_options(checkpoint, base_model, device, dtype, recipe)
    if images is None:
        _tell(out, given)
    else:
        _own_images(images, out, given)


def world(
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="A new folder for pictures, manifest and triplets."),
    ] = None,
    count: Annotated[int, typer.Option(metavar="N", min=0, help="Single scenes; relations take turns.")] = 200,
    triplets: Annotated[
        int, typer.Option(metavar="N", min=0, help="Triplets of each kind: conflict, aligned and control.")
    ] = 0,
    split: Annotated[
        SplitName,
        typer.Option(
            metavar="NAME",
            help="train, validation, held-out-objects, held-out-relations or held-out-styles: what is shown.",
        ),
    ] = "validation",
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="The same seed draws the same pictures.")] = 0,
    size: Annotated[int, typer.Option(metavar="PIXELS", min=28, max=4096, help="Side of a picture.")] = 224,
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw a contact sheet of every relation (.png), beside --out or alone."),
    ] = None,
    workers: Annotated[int | None, typer.Option(metavar="N", min=1, help="Processes. Default: one per core.")] = None,
) -> None:
    """Draw pictures whose relation and captions are known.

    Writes a folder of images with a manifest, for embed, train and evaluate.
    """
    from relsim.world.gallery import write_gallery, write_sheet
    from relsim.world.looks import Split

    if out is None and sheet is None:
        raise RelsimError("nowhere to draw to; name a new folder (--out DIR), a contact sheet (--sheet FILE), or both")
    part = Split(split)
    if out is not None:
        made = write_gallery(out, split=part, count=count, triplets=triplets, seed=seed, size=size, workers=workers)
        also = f", {made.triplets:,} triplets" if made.triplets else ""
        emit(f"{made.manifest}: {made.scenes:,} pictures{also}")
    if sheet is not None:
        write_sheet(sheet, split=part, seed=seed)
        emit(str(sheet))


def _tell(out: Path | None, given: dict[str, str]) -> None:
    """The story on the drawn world, by the embedded checkpoints."""
    refused = [options.flag(name) for name in given if name not in ("device", "dtype")]
    if refused:
        raise RelsimError(
            f"{', '.join(refused)}: the drawn world is shown by the embedded checkpoints; "
            "to try another one, name a folder of images with --images"
        )
    folder = out or free_folder(Path(FOLDER))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RelsimError(f"{folder} exists already; remove it or name another folder with --out")
    from relsim.cli.demo_output import print_result
    from relsim.demo.chapters import tell
    from relsim.demo.report import REPORT, write_report
    from relsim.demo.workshop import Workshop

    told = []
    for step in tell(Workshop(folder, machine=given, watch=image_progress), begins=_begin):
        print_result(step.result)
        told.append(step)
    report = folder / REPORT
    write_report(report, told)
    emit(f"\nThe report, with pictures: {report.resolve()}")


def _begin(chapter: Chapter) -> None:
    _step(f"{chapter.number}. {chapter.title}", *chapter.commands)


def free_folder(folder: Path) -> Path:
    """The folder's name, or the first of name-2, name-3, … that is free."""
    number = 1
    chosen = folder
    while chosen.exists():
        number += 1
        chosen = folder.with_name(f"{folder.name}-{number}")
    return chosen


def _own_images(images: Path, out: Path | None, given: dict[str, str]) -> None:
    """Score, embed and search a folder. Each step calls the very verb that it shows."""
    from relsim.data.sources import list_images
    from relsim.errors import SourceError

    records = list_images([images])
    if len(records) < 3:
        raise SourceError(f"{images} holds {len(records)} images; the demo needs at least three")
    with tempfile.TemporaryDirectory(prefix="relsim-demo-") as temporary:
        _run(images, out or Path(temporary), [record.source for record in records[:2]], given)
    if out is None:
        emit("\nThe tables were temporary; --out DIR keeps them.")


def _run(images: Path, out: Path, pair: list[str], given: dict[str, str]) -> None:
    chosen = options.with_environment(given)
    flags = [text for name, value in chosen.items() for text in (options.flag(name), value)]
    model: dict[str, Any] = {name.removesuffix("_dir"): value for name, value in chosen.items()}
    how, looks = out / "relational", out / "looks"

    _step("1. Score two images", ("score", *pair, *flags))
    score(pair, **model)

    _step("2. Embed the folder: how each image works", ("embed", images, "--out", how, *flags))
    with contextlib.suppress(typer.Exit):  # some images could not be used, and were named
        embed([str(images)], how, **model)

    _step("3. Embed it again: how each image looks", ("embed", images, "--out", looks, "--encoder", "descriptors"))
    with contextlib.suppress(typer.Exit):
        embed([str(images)], looks, encoder="descriptors")

    query = _first_id(how)
    _step("4. Search by an image of the table", ("search", how, query, "--top-k", _SHOWN))
    search(how, query, _SHOWN)

    _step("5. Search by a sentence", ("search", how, _SENTENCE, "--top-k", _SHOWN))
    search(how, _SENTENCE, _SHOWN)

    axes = ("--attributes", looks, "--weight", 1)
    _step("6. Same logic, different look", ("search", how, query, *axes, "--top-k", _SHOWN))
    search(how, query, _SHOWN, attributes=looks, weight=1.0)


def _first_id(table: Path) -> str:
    from relsim.errors import SearchError
    from relsim.vectors.table import VectorTable

    ids = VectorTable.open(table).ids
    if not ids:
        raise SearchError(f"{table} holds no vector to search by: none of the images could be used")
    return ids[0]


def _step(title: str, *commands: tuple[object, ...]) -> None:
    emit(f"\n{title}")
    for command in commands:
        emit(f"$ relsim {shlex.join(str(word) for word in command)}")
