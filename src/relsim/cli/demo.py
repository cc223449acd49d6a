"""`relsim demo`: score, embed and search a folder of images, step by step, with the command for each step.

Each step calls the very verb that it shows.
"""

from __future__ import annotations

import contextlib
import shlex
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from relsim.cli import options
from relsim.cli.embed import embed
from relsim.cli.output import emit
from relsim.cli.score import score
from relsim.cli.search import search

_SENTENCE = "{Objects} arranged in a ring around an empty {Center}"
_SHOWN = 5


def demo(
    images: Annotated[Path, typer.Option("--images", metavar="DIR", help="A folder of images, at least three.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Where the tables go. Default: a temporary folder."),
    ] = None,
    checkpoint: options.Checkpoint = None,
    base_model: options.BaseModel = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    recipe: options.Recipe = None,
) -> None:
    """Score, embed and search a folder, showing each command."""
    from relsim.data.sources import list_images
    from relsim.errors import SourceError

    records = list_images([images])
    if len(records) < 3:
        raise SourceError(f"{images} holds {len(records)} images; the demo needs at least three")
    given = options.with_environment(options.model_options(checkpoint, base_model, device, dtype, recipe))
    with tempfile.TemporaryDirectory(prefix="relsim-demo-") as temporary:
        _run(images, out or Path(temporary), [record.source for record in records[:2]], given)
    if out is None:
        emit("\nThe tables were temporary; --out DIR keeps them.")


def _run(images: Path, out: Path, pair: list[str], given: dict[str, str]) -> None:
    flags = [text for name, value in given.items() for text in (options.flag(name), value)]
    model: dict[str, Any] = {name.removesuffix("_dir"): value for name, value in given.items()}
    how, looks = out / "relational", out / "looks"

    _step("1. Score two images", "score", *pair, *flags)
    score(pair, **model)

    _step("2. Embed the folder: how each image works", "embed", images, "--out", how, *flags)
    with contextlib.suppress(typer.Exit):  # some images could not be used, and were named
        embed([str(images)], how, **model)

    _step("3. Embed it again: how each image looks", "embed", images, "--out", looks, "--encoder", "descriptors")
    with contextlib.suppress(typer.Exit):
        embed([str(images)], looks, encoder="descriptors")

    query = _first_id(how)
    _step("4. Search by an image of the table", "search", how, query, "--top-k", _SHOWN)
    search(how, query, _SHOWN)

    _step("5. Search by a sentence", "search", how, _SENTENCE, "--top-k", _SHOWN)
    search(how, _SENTENCE, _SHOWN)

    axes = ("--attributes", looks, "--weight", 1)
    _step("6. Same logic, different look", "search", how, query, *axes, "--top-k", _SHOWN)
    search(how, query, _SHOWN, attributes=looks, weight=1.0)


def _first_id(table: Path) -> str:
    from relsim.errors import SearchError
    from relsim.vectors.table import VectorTable

    ids = VectorTable.open(table).ids
    if not ids:
        raise SearchError(f"{table} holds no vector to search by: none of the images could be used")
    return ids[0]


def _step(title: str, *command: object) -> None:
    emit(f"\n{title}\n$ relsim {shlex.join(str(word) for word in command)}")
