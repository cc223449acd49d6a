"""`relsim evaluate retrieval`: several encoders, the same queries, one collection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relsim.cli import options, specs
from relsim.cli.output import image_progress, print_json
from relsim.cli.retrieval_report import captions, report
from relsim.encoders import DEFAULT_ENCODER
from relsim.errors import RelsimError

if TYPE_CHECKING:
    from relsim.data.records import ImageRecord
    from relsim.evaluation.retrieval_tables import Filled
    from relsim.vectors.view import TableView

EXIT_SOME_FAILED = 3
_TABLES = "tables"


def retrieval(
    collection: Annotated[
        list[str] | None, typer.Argument(metavar="[COLLECTION]...", help=options.SOURCES_HELP)
    ] = None,
    encoder: specs.Encoders = None,
    table: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=TABLE",
            help="A table that `relsim embed` made, as one more encoder; again for more. Without COLLECTION, its "
            "pictures are the collection.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of results and tables.")] = Path(
        "retrieval"
    ),
    queries: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Ask N pictures, drawn by --seed. Default: all.")
    ] = None,
    query_from: Annotated[
        Path | None,
        typer.Option(metavar="LIST", help="Ask the pictures of a manifest (.jsonl), or of a text file of ids."),
    ] = None,
    distractors: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE", help="Pictures that are there to be found only; again for more."),
    ] = None,
    top_k: Annotated[int, typer.Option("--top-k", "-k", metavar="K", min=1, help="Matches of each query.")] = 10,
    distance: Annotated[
        int, typer.Option(metavar="BITS", min=0, max=15, help="Perceptual hashes this near make duplicates.")
    ] = 4,
    label: Annotated[
        str | None,
        typer.Option(metavar="FIELD", help="Pictures with an equal field are relevant. Default: relation, or group."),
    ] = None,
    rerank: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[:OPTION=VALUE,...]",
            help="A measure of pairs, such as lpips, that ranks each encoder's candidates anew, as one more method.",
        ),
    ] = None,
    rerank_depth: Annotated[
        int, typer.Option(metavar="N", min=1, help="Candidates that it ranks; --top-k at least.")
    ] = 50,
    reference: Annotated[
        str | None,
        typer.Option(metavar="LABEL", help="Compare each method with this one alone. Default: every two."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Which pictures are asked, and all intervals.")] = 0,
    image_folder: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the images of manifests are.")] = None,
    workers: options.Workers = None,
    as_json: options.AsJson = False,
) -> None:
    """Ask several encoders the same queries over one collection, and compare what they find.

    Pictures are embedded once and kept in DIR. Writes retrieved_images.json, the published form, and retrieval.json,
    which holds all. Neither the query nor its duplicates are found; figures with duplicates stand beside. Exits with 3
    if some pictures or queries could not be used.
    """
    from relsim.evaluation.encoder_specs import EncoderSpec
    from relsim.evaluation.exclusions import picture_hashes
    from relsim.evaluation.reranking import SecondLook
    from relsim.evaluation.retrieval import run_retrieval
    from relsim.evaluation.retrieval_choice import RetrievalSettings
    from relsim.evaluation.retrieval_files import read_query_ids, summary_form, write_run
    from relsim.evaluation.retrieval_tables import HASHES, apart, fill_queries, fill_tables, records_of_tables

    looks_again = None if rerank is None else specs.load_measure(EncoderSpec.parse(rerank))
    wanted = [EncoderSpec.parse(text) for text in encoder or ([] if table else [DEFAULT_ENCODER])]
    given = _tables(table or [], [spec.label for spec in wanted])
    _check_reference(reference, [*(spec.label for spec in wanted), *given], rerank)
    asked = None if query_from is None else read_query_ids(query_from)
    if collection:
        pictures = _records(collection, image_folder)
    elif given:
        pictures = records_of_tables(given.values())
    else:
        raise RelsimError(f"name a collection, or a table by --table NAME=TABLE; a collection is {_LIKE}")
    others = apart(pictures, _records(distractors, image_folder) if distractors else [])
    everything = [*pictures, *others]
    options.check_label(everything, label)
    _make(out)

    def progress(doing: str) -> Callable[[str, int], AbstractContextManager[Callable[[Any], None]]]:
        return lambda name, total: image_progress(total, quiet=as_json, doing=f"{doing} {name}".strip())

    try:
        with progress("hashing")("", len(everything)) as advance:
            hashes = picture_hashes(everything, out / HASHES, workers=workers, on_hashed=advance)
        filled = fill_tables(
            out / _TABLES,
            everything,
            wanted,
            specs.load_spec,
            hashes=hashes,
            workers=workers,
            progress=progress("embedding"),
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt("finished parts are kept, run it again to go on") from None
    tables: dict[str, TableView] = {**{name: one.table for name, one in filled.items()}, **given}
    settings = RetrievalSettings(queries, asked, top_k, seed, distance, label, reference=reference)

    def ask(name: str) -> Callable[[Sequence[ImageRecord]], TableView]:
        def fill(records: Sequence[ImageRecord]) -> TableView:
            loaded = options.encoder_of(tables[name].origin, {})
            tables[name].require_fingerprint(loaded.fingerprint)
            return fill_queries(
                out / _TABLES, name, loaded, records, hashes=hashes, workers=workers, progress=progress("embedding")
            )

        return fill

    count = min(len(pictures), queries or len(pictures)) * len(tables) if rerank else 0
    with progress("measuring")("", count) as measured:
        second = None
        if looks_again is not None:
            second = SecondLook(rerank or "", looks_again, rerank_depth, workers, measured)
        run = run_retrieval(
            pictures,
            tables,
            distractors=others,
            hashes=hashes,
            settings=settings,
            sources={"collection": collection or [], "distractors": distractors or [], "query_from": _text(query_from)},
            ask={name: ask(name) for name in tables},
            second=second,
        )
    write_run(out, run)
    if as_json:
        summary = {**summary_form(run), "schema": "relsim.retrieval_summary/1"}
        print_json({**summary, "tables": _documents(tables, filled), "out": str(out)})
    else:
        report(run, filled, out)
    if run.unusable or run.left_out:
        raise typer.Exit(EXIT_SOME_FAILED)


def _check_reference(reference: str | None, labels: Sequence[str], rerank: str | None) -> None:
    """Before pictures are embedded for nothing. Raises `BadParameter`."""
    known = [*labels, *(f"{label}+{rerank}" for label in labels if rerank)]
    if reference is None:
        return
    if reference not in known:
        raise typer.BadParameter(f"no method {reference}; there are {', '.join(known)}", param_hint="--reference")
    if len(known) == 1:
        raise typer.BadParameter("there is no other method to compare it with", param_hint="--reference")


_LIKE = "image files, folders, shard folders, patterns, manifests (.jsonl), or - for a list on stdin"


def _records(sources: Sequence[str], image_folder: Path | None) -> list[ImageRecord]:
    """Ids may not depend on what else is listed, because tables are kept by them."""
    from relsim.data.dataset import ImageDataset

    return ImageDataset.open(sources, image_folder=image_folder, same_id="refuse").records


def _tables(given: Sequence[str], taken: Sequence[str]) -> dict[str, TableView]:
    from relsim.vectors.table import VectorTable

    found: dict[str, TableView] = {}
    names = list(taken)
    for text in given:
        name, sign, path = text.partition("=")
        if not (name and sign and path):
            raise typer.BadParameter(f"{text!r} is not NAME=TABLE", param_hint="--table")
        names.append(name)
        found[name] = VectorTable.open(path)
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise typer.BadParameter(f"{repeated} names two encoders; results are told apart by their names")
    return found


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RelsimError(f"the folder {folder} cannot be made: {(error.strerror or str(error)).lower()}") from error


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _documents(tables: Mapping[str, TableView], filled: Mapping[str, Filled]) -> dict[str, Any]:
    """Where the vectors are, and how many pictures were embedded for this run."""
    return {
        name: {
            "path": str(table.path),
            "embedded": filled[name].summary.embedded if name in filled else 0,
            "changed": filled[name].changed if name in filled else 0,
            "captions": captions(table),
        }
        for name, table in tables.items()
    }
