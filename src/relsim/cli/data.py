"""`relsim data`: the catalog, and what can be asked of a collection. What is made of one is in data_curation.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relsim.cli import options
from relsim.cli.data_statistics import print_statistics, shown_size
from relsim.cli.output import emit, image_progress, note, print_json, print_rows
from relsim.data.identity import printable

if TYPE_CHECKING:
    from relsim.data.curation.inventory import Inventory, Progress
    from relsim.data.manifest import BadLine

EXIT_FAULTS = 1
_SHOWN_BAD_LINES = 5

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A shard folder, the folder of a download, a folder of images, a list (.jsonl, .json, .parquet), "
        "or a name of the catalog.",
    ),
]
ImageFolder = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Where the images of a list are; without it a list is read alone.")
]
Workers = Annotated[int | None, typer.Option(metavar="N", min=1, help="Decoding threads. Default: one per core.")]


def list_(as_json: options.AsJson = False) -> None:
    """List the published collections.

    Their names can be given to relsim download and to every verb here.
    """
    from relsim.data.catalog import CATALOG, CITATION, LICENCE, LICENCE_TERMS, find

    if as_json:
        entries = [
            {"name": entry.name, "about": entry.about, "images": entry.images, "parts": list(entry.parts)}
            for entry in CATALOG
        ]
        print_json({"schema": "relsim.data_list/1", "licence": LICENCE, "citation": CITATION, "collections": entries})
        return
    rows = []
    for entry in CATALOG:
        rows.append([entry.name, f"{entry.images:,}", entry.about])
        parts = [find(f"{entry.name}/{part}") for part in entry.parts]
        rows += [[part.name, f"{part.images:,}", "the part alone"] for part in parts]
    width = max(len(row[0]) for row in rows)
    print_rows([" " * width, "images", ""], [[row[0].ljust(width), *row[1:]] for row in rows])
    emit("")
    emit(f"Licence: {LICENCE}, {LICENCE_TERMS}")
    emit(f"Cite: {CITATION}")


def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name of the catalog; relsim data list shows them.")],
    local: Annotated[
        Path | None, typer.Option("--from", metavar="PATH", help="A folder with the published lists, or one of them.")
    ] = None,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Get the lists, if they are not here, and compare their checksums.")
    ] = False,
    accept: Annotated[
        bool, typer.Option("--accept", help="Take the lists as they are now: their checksums are recorded anew.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Show a published collection: what it is, where it comes from, its licence and how to cite it.

    With --from, --fetch or --accept its lists are read, and compared with what they were at their first use.
    """
    from relsim.data.catalog import CITATION, LICENCE, LICENCE_TERMS, find, locate
    from relsim.data.lists import read_list

    entry = find(name)
    located = locate(entry, local=local, accept=accept) if fetch or accept or local is not None else []
    files: list[dict[str, Any]] = [
        {
            "name": item.path.name,
            "path": str(item.path),
            "origin": item.checksum.origin,
            "rows": len(read_list(item.path, on_bad_line=report_bad_lines(item.path))),
            "bytes": item.checksum.bytes,
            "sha256": item.checksum.sha256,
            "recorded": item.checksum.recorded,
            "first_use": item.first_use,
        }
        for item in located
    ]
    lists = [
        {"name": file.name, "entries": file.rows, "repository": file.repository, "address": file.address}
        for file in entry.files
    ]
    about = {"name": entry.name, "about": entry.about, "images": entry.images}
    if as_json:
        terms = {"licence": LICENCE, "terms": LICENCE_TERMS, "citation": CITATION}
        print_json({"schema": "relsim.data_show/1", **about, **terms, "lists": lists, "files": files})
        return
    emit(f"{entry.name}: {entry.images:,} images; {entry.about}")
    for file in entry.files:
        places = [f"Hub data set {file.repository}" if file.repository else "", file.address or ""]
        emit(f"  {file.name}: {file.rows:,} entries; {' or '.join(filter(None, places))}")
    for found in files:
        since = "recorded now" if found["first_use"] else f"as on {found['recorded']}"
        emit(f"  {found['path']}: {found['rows']:,} rows, SHA-256 {found['sha256']} ({since}; {found['origin']})")
    emit(f"Licence: {LICENCE}, {LICENCE_TERMS}")
    emit(f"Cite: {CITATION}")
    if not files:
        emit(f"To get it: relsim download {entry.name} --out {entry.name.replace('/', '-')}")


def stats(
    source: Source,
    image_folder: ImageFolder = None,
    workers: Workers = None,
    as_json: options.AsJson = False,
) -> None:
    """Count what is in a collection: rows by status, sizes, formats, captions, hosts, repeats.

    Of captions it also tells how many are anonymous, what the others name, and which say nearly the same.
    """
    from relsim.captions.summary import CaptionSummary
    from relsim.data.curation.statistics import captions_of, statistics_of

    inventory = inventory_of(source, image_folder, workers, quiet=as_json)
    facts, summary = statistics_of(inventory), CaptionSummary.of(captions_of(inventory.items))
    if as_json:
        anonymity = None if summary is None else summary.to_dict()
        print_json({"schema": "relsim.data_stats/1", **facts.to_dict(), "anonymity": anonymity})
    else:
        print_statistics(facts, summary)


def verify(
    source: Source,
    image_folder: ImageFolder = None,
    workers: Workers = None,
    as_json: options.AsJson = False,
) -> None:
    """Read every image again: is it what was recorded, and can it be decoded?

    Exits with 1 and the rows that are not.
    """
    from relsim.data.curation import verification

    found = verification.verify(source, image_folder=image_folder, workers=workers, progress=progress(quiet=as_json))
    if as_json:
        print_json({"schema": "relsim.data_verify/1", **found.to_dict()})
    else:
        for fault in found.faults:
            where = [] if fault.row is None else [f"row {fault.row}", fault.image_id or ""]
            emit("\t".join(map(printable, [fault.source, *where, fault.problem])))
        without = ", ".join(f"{count:,} {name}" for name, count in found.without_image.items())
        compared = f"{found.compared:,} compared with their digest"
        note(
            f"{found.name}: {found.images:,} images of {found.rows:,} rows read ({shown_size(found.bytes)}), {compared}"
            + (f"; without an image: {without}" if without else "")
        )
        note(f"{len(found.faults):,} faults" if found.faults else "no faults")
    if found.faults:
        raise typer.Exit(EXIT_FAULTS)


def diff(
    first: Annotated[str, typer.Argument(metavar="FIRST", help="One copy: anything that SOURCE may be elsewhere.")],
    second: Annotated[str, typer.Argument(metavar="SECOND", help="The other copy.")],
    workers: Workers = None,
    as_json: options.AsJson = False,
) -> None:
    """Compare two copies of a collection: which images differ, and why.

    Prints a line for each difference: image, kind, what the first says, what the second says, and why, separated by
    tabs: reasons of failures, and of other bytes whether it is the same picture.
    """
    from relsim.data.curation.differences import compare

    one, other = (inventory_of(name, None, workers, quiet=as_json) for name in (first, second))
    found = compare(one, other)
    if as_json:
        print_json({"schema": "relsim.data_diff/1", **found.to_dict()})
        return
    for difference in found.differences:
        said = (difference.first, difference.second, difference.why)
        cells = [difference.image_id, difference.kind, *(text or "-" for text in said)]
        emit("\t".join(map(printable, cells)))
    counts = ", ".join(f"{count:,} {kind}" for kind, count in found.counts.items())
    note(f"{found.shared:,} images on both sides, {found.equal:,} equal" + (f"; {counts}" if counts else ""))


def inventory_of(source: str, image_folder: Path | None, workers: int | None, *, quiet: bool) -> Inventory:
    """The inventory of a source, with a bar while images are read and bad lines told on stderr."""
    from relsim.data.curation.inventory import take_inventory

    return take_inventory(
        source,
        image_folder=image_folder,
        workers=workers,
        progress=progress(quiet=quiet),
        on_bad_line=report_bad_lines(source),
    )


def progress(*, quiet: bool, doing: str = "reading") -> Progress:
    """What `take_inventory` and its like take as a bar."""

    @contextmanager
    def bar(total: int) -> Iterator[Callable[[Any], None]]:
        with image_progress(total, quiet=quiet, doing=doing) as advance:
            yield advance

    return bar


def report_bad_lines(source: str | Path) -> Callable[[BadLine], None]:
    """A function that tells the first bad lines of a list on stderr, and that there are more."""
    count = 0

    def report(line: BadLine) -> None:
        nonlocal count
        count += 1
        if count <= _SHOWN_BAD_LINES:
            note(f"{source}: {line}; passed over")
        elif count == _SHOWN_BAD_LINES + 1:
            note(f"{source}: and more; a bad line is passed over and the rest is read")

    return report
