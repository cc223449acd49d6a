"""`relsim search`: the nearest images of a table, for an id, an image or a sentence; on one axis or two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from relsim.cli import options, specs
from relsim.cli.output import note, print_hits, print_json
from relsim.encoders import DEFAULT_ENCODER

if TYPE_CHECKING:
    from relsim.encoders.base import AnyEncoder
    from relsim.vectors.index_search import VectorIndex
    from relsim.vectors.query import Found
    from relsim.vectors.table import VectorTable

AXES_PANEL = "Two axes"


def search(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="A table that `relsim embed` made.")],
    query: Annotated[str, typer.Argument(metavar="QUERY", help="An id in the table, an image file, or a sentence.")],
    top_k: Annotated[int, typer.Option("--top-k", "-k", metavar="K", min=1, help="Matches to show.")] = 10,
    kind: Annotated[
        Literal["id", "image", "text"] | None,
        typer.Option("--as", metavar="id|image|text", help="What QUERY is, where it could be several things."),
    ] = None,
    attributes: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE", help="A second table of the same images: the axis of looks.", rich_help_panel=AXES_PANEL
        ),
    ] = None,
    weight: Annotated[
        float | None,
        typer.Option(metavar="W", help="Rank by relation minus W times look.", rich_help_panel=AXES_PANEL),
    ] = None,
    ceiling: Annotated[
        float | None,
        typer.Option(metavar="C", help="Leave out images whose look is more alike than C.", rich_help_panel=AXES_PANEL),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Look at every row, also where the table has an index.")
    ] = False,
    index_kind: Annotated[
        Literal["hnsw", "binary"] | None,
        typer.Option(
            "--index",
            metavar="hnsw|binary",
            help="The index to search by. Default: the one that holds for most of the table, if any.",
        ),
    ] = None,
    checkpoint: options.Checkpoint = None,
    base_model: options.BaseModel = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    recipe: options.Recipe = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[:OPTION=VALUE,...]",
            help="The encoder that made the table, named again with other options, such as a model that has moved.",
            rich_help_panel=options.MODEL_PANEL,
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Find the images of a table that are most alike to a query.

    An image or a sentence is embedded with the model that made the table; name it again only if it has moved. With
    --attributes, images can be asked to share the logic and not the look.
    """
    from relsim.evaluation.encoder_specs import EncoderSpec
    from relsim.vectors.query import Query, search_table, search_two_axes
    from relsim.vectors.table import VectorTable

    if attributes is None and (weight, ceiling) != (None, None):
        raise typer.BadParameter("--weight and --ceiling compare with looks: name a second table with --attributes")
    if index_kind is not None and (exact or attributes is not None):
        raise typer.BadParameter("--exact, and a search on two axes, look at every row", param_hint="--index")
    given = options.model_options(checkpoint, base_model, device, dtype, recipe)
    opened = VectorTable.open(table)
    asked = Query.parse(query, opened, kind)

    spec = None if encoder is None else EncoderSpec.parse(encoder)

    def load(origin: Mapping[str, Any]) -> AnyEncoder:
        if spec is not None and spec.name == origin.get("encoder", DEFAULT_ENCODER):
            return specs.load_spec(spec, given)[0]
        return options.encoder_of(origin, given)

    looks = None if attributes is None else VectorTable.open(attributes)
    if looks is None:
        index, why_not = (None, None) if exact else _index(opened, index_kind)
        found = search_table(opened, asked, top_k, load, index=index)
        if why_not is not None:
            found = replace(found, path=replace(found.path, why=why_not))
    else:
        found = search_two_axes(opened, looks, asked, top_k, load, weight=weight or 0.0, ceiling=ceiling)
    for line in (*found.notes, *_path_notes(found, opened)):
        note(f"relsim: {line}")
    if as_json:
        print_json(
            {
                "schema": "relsim.search/1",
                "table": str(table),
                "query": {"kind": asked.kind.value, "value": query},
                "top_k": top_k,
                "two_axes": _two_axes(looks, weight, ceiling),
                "path": found.path.to_json(),
                "hits": [asdict(hit) for hit in found.hits],
                "fingerprint": opened.fingerprint.to_dict(),
            }
        )
    else:
        print_hits(found)


def _index(table: VectorTable, kind: str | None) -> tuple[VectorIndex | None, str | None]:
    """The index of the table to search by, or why the one that is there cannot be used; one that is named must be."""
    from relsim.vectors.index_search import VectorIndex, find_index

    return find_index(table) if kind is None else (VectorIndex.open(table, kind), None)


def _path_notes(found: Found, table: VectorTable) -> list[str]:
    """What to say of the path that a search took, where there was a choice."""
    from relsim.vectors.index_search import has_index

    path = found.path
    if path.recall is not None:
        told = f"searched by the index {path.kind} (recall@{path.recall.k} {path.recall.value:.4f} when it was built)"
        return [f"{told}; --exact looks at every row", *([path.why] if path.why else [])]
    return [path.why] if path.why and has_index(table) else []


def _two_axes(looks: VectorTable | None, weight: float | None, ceiling: float | None) -> dict[str, Any] | None:
    """What the second axis was and how it counted, None for a search on one."""
    if looks is None:
        return None
    return {
        "table": str(looks.path),
        "weight": weight or 0.0,
        "ceiling": ceiling,
        "fingerprint": looks.fingerprint.to_dict(),
    }
