"""`relsim demo`: score, embed and search a folder of images, step by step, with the command for each step."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relsim.cli import options
from relsim.cli.output import image_progress, print_hits

if TYPE_CHECKING:
    from relsim.encoders.base import AnyEncoder
    from relsim.vectors.table import VectorTable

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
    """Score, embed and search a folder of images, showing the command for each step."""
    given = options.model_options(checkpoint, base_model, device, dtype, recipe)
    flags = " ".join(
        f"--{name.removesuffix('_dir').replace('_', '-')} {shlex.quote(str(value))}" for name, value in given.items()
    )
    with tempfile.TemporaryDirectory(prefix="relsim-demo-") as temporary:
        _run(images, out or Path(temporary), given, flags)
        if out is None:
            typer.echo("\nThe tables were temporary; --out DIR keeps them.")


def _run(images: Path, out: Path, given: dict[str, str], flags: str) -> None:
    from relsim.data.images import read_image
    from relsim.data.sources import list_images
    from relsim.encoders.descriptors import DescriptorEncoder
    from relsim.errors import SourceError

    records = list_images([images])
    if len(records) < 3:
        raise SourceError(f"{images} holds {len(records)} images; the demo needs at least three")
    model = options.load_model(given)

    first, second = records[0], records[1]
    _step("1. Score two images", f"relsim score {_quote(first.source, second.source)} {flags}")
    value = model(read_image(first).image, read_image(second).image)
    typer.echo(f"{value:.4f}   {first.image_id}  {second.image_id}")

    relational, looks = out / "relational", out / "looks"
    _step(
        "2. Embed the folder: how each image works", f"relsim embed {_quote(images)} --out {_quote(relational)} {flags}"
    )
    one = _table(relational, images, model.encoder, {"encoder": options.DEFAULT_ENCODER, **given})
    _step(
        "3. Embed it again: how each image looks",
        f"relsim embed {_quote(images)} --out {_quote(looks)} --encoder descriptors",
    )
    other = _table(looks, images, DescriptorEncoder(), {"encoder": "descriptors"})
    _searches(one, other, first.image_id)


def _searches(one: VectorTable, other: VectorTable, image_id: str) -> None:
    from relsim.vectors.query import Query, search_table, search_two_axes

    _step("4. Search by an image of the table", f"relsim search {_quote(one.path, image_id)}")
    print_hits(search_table(one, Query.parse(image_id, one), _SHOWN, _load))
    _step("5. Search by a sentence", f"relsim search {_quote(one.path, _SENTENCE)}")
    print_hits(search_table(one, Query.parse(_SENTENCE, one), _SHOWN, _load))
    _step(
        "6. Same logic, different look",
        f"relsim search {_quote(one.path, image_id)} --attributes {_quote(other.path)} --weight 1",
    )
    query = Query.parse(image_id, one)
    print_hits(search_two_axes(one, other, query, _SHOWN, _load, weight=1.0))


def _load(origin: Mapping[str, Any]) -> AnyEncoder:
    return options.encoder_of(origin, {})


def _table(path: Path, images: Path, encoder: AnyEncoder, origin: dict[str, str]) -> VectorTable:
    from relsim.data.sources import list_images
    from relsim.vectors.build import fill_table
    from relsim.vectors.table import VectorTable

    records = list_images([images], same_id="refuse")
    with VectorTable.open_or_create(path, encoder.fingerprint, encoder.dimension, origin=origin) as table:
        with image_progress(len(records)) as advance:
            summary = fill_table(table, records, encoder, on_outcome=advance)
        failed = "".join(f", {count} {reason}" for reason, count in summary.reasons.items())
        typer.echo(f"{len(table)} rows of {table.dimension} numbers{failed}; fingerprint {table.fingerprint}")
        return table


def _step(title: str, command: str) -> None:
    typer.echo(f"\n{title}\n$ {command.strip()}")


def _quote(*values: object) -> str:
    return shlex.join(str(value) for value in values)
