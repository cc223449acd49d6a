"""`relsim data dedup`, `split`, `export` and `push`: what is made of a collection. None of them changes it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from relsim.cli import options
from relsim.cli.data import ImageFolder, Source, Workers, inventory_of, progress
from relsim.cli.output import emit, note, print_json
from relsim.data.identity import printable

_SHOWN = 10

Distance = Annotated[
    int,
    typer.Option(
        metavar="BITS",
        min=0,
        max=15,
        help="How many of 64 bits of their hashes pictures that look alike may differ in.",
    ),
]
Licence = Annotated[
    str | None,
    typer.Option(
        metavar="ID",
        help="Licence of the data, as the Hub writes it (mit, cc-by-4.0). Data of the catalog keeps its own.",
    ),
]


def dedup(
    source: Source,
    image_folder: ImageFolder = None,
    distance: Distance = 4,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Write the list of what to keep and drop: .tsv or .jsonl."),
    ] = None,
    kept: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a manifest (.jsonl) of the images that are kept.")
    ] = None,
    workers: Workers = None,
    as_json: options.AsJson = False,
) -> None:
    """Find images with the same bytes, and images that look the same. Nothing is deleted.

    In each cluster the image with the most pixels is kept. Without --out the first clusters are shown.
    """
    from relsim.data.curation.duplicates import find_duplicates, write_decisions, write_kept

    inventory = inventory_of(source, image_folder, workers, quiet=as_json)
    found = find_duplicates(inventory, distance=distance)
    if out is not None:
        write_decisions(out, found.decisions)
    count = None if kept is None else write_kept(kept, inventory, found)
    if as_json:
        print_json({"schema": "relsim.data_dedup/1", **found.to_dict()})
        return
    if out is None:
        for decision in found.decisions:
            if decision.cluster == _SHOWN:
                note(f"and {found.clusters - _SHOWN:,} more clusters; --out FILE writes all")
                break
            bits = f" ({decision.distance} bits)" if decision.reason == "near" else ""
            name = printable(decision.image_id)
            emit(f"{decision.cluster + 1}\t{decision.decision}\t{decision.reason}{bits}\t{name}")
    note(
        f"{found.images:,} images, {found.clusters:,} clusters (largest {found.largest:,}): "
        f"to drop {found.exact:,} with the bytes of another and {found.near:,} that look like another"
    )
    for path in filter(None, (out, kept)):
        emit(str(path))
    if count is not None:
        note(f"{count:,} images are kept")


def split(
    source: Source,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="New folder for a manifest of each part.")],
    image_folder: ImageFolder = None,
    parts: Annotated[
        str, typer.Option(metavar="NAME=SHARE,...", help="The parts and their shares, which add up to 1.")
    ] = "train=0.9,test=0.1",
    seed: Annotated[int, typer.Option(metavar="N", help="Another seed gives another split.")] = 0,
    together: Annotated[
        str,
        typer.Option(
            metavar="RULES",
            help="What keeps rows in one part, beside equal ids, URLs and bytes: any of group,caption,near, or none.",
        ),
    ] = "group,caption,near",
    distance: Distance = 4,
    workers: Workers = None,
    as_json: options.AsJson = False,
) -> None:
    """Divide a collection into parts between which nothing leaks.

    Seed groups, equal captions and pictures that look alike stay together. A row's part follows from the seed and from
    the ids of the rows that it belongs with, so rows that are added later move none of the others.
    """
    from relsim.data.curation import splits

    shares = splits.parse_shares(parts)
    rules = [] if together == "none" else [rule.strip() for rule in together.split(",")]
    made = splits.split(
        inventory_of(source, image_folder, workers, quiet=as_json),
        shares,
        seed=seed,
        together=rules,
        distance=distance,
    )
    splits.write_split(out, made)
    document = made.to_dict()
    if as_json:
        print_json({"schema": "relsim.data_split/1", "out": str(out), **document})
        return
    total = sum(map(len, made.parts.values()))
    for name, items in made.parts.items():
        emit(f"{out / name}.jsonl\t{len(items):,} rows\t{len(items) / total:.2%} (asked for {shares[name]:.2%})")
    note(
        f"{total:,} rows in {made.sets:,} sets that stay together, the largest of {made.largest:,}"
        + (f"; {made.left_out:,} rows without an image left out" if made.left_out else "")
    )
    if made.largest > min(shares.values()) * total:
        note("the largest set is larger than the smallest part; --together with fewer rules makes smaller sets")


def export(
    source: Source,
    to: Annotated[
        str,
        typer.Option(
            metavar="webdataset|datasets|fiftyone|folder",
            help="The form: that of a tool, or a plain folder with a manifest.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The new folder.")],
    image_folder: ImageFolder = None,
    only: Annotated[
        Path | None, typer.Option(metavar="LIST", help="Only the images of this list, such as one part of a split.")
    ] = None,
    split_name: Annotated[str, typer.Option("--split", metavar="NAME", help="What datasets calls the part.")] = "train",
    part_rows: Annotated[
        int, typer.Option(metavar="N", min=1, help="Images in one tar or Parquet file, at most.")
    ] = 1_000,
    licence: Licence = None,
    workers: Workers = None,
    as_json: options.AsJson = False,
) -> None:
    """Copy the images of a collection, with what is known of them, into a form that another tool reads."""
    from relsim.data.curation.exporting import export as write
    from relsim.data.lists import read_list

    wanted = None if only is None else [row.image_hash for row in read_list(only)]
    done = write(
        inventory_of(source, image_folder, workers, quiet=as_json),
        to,
        out,
        split=split_name,
        only=wanted,
        part_rows=part_rows,
        licence=licence,
        progress=progress(quiet=as_json, doing="writing"),
    )
    if as_json:
        print_json({"schema": "relsim.data_export/1", **done.to_dict()})
        return
    emit(done.out)
    left = f"; {done.left_out:,} ids without an image left out" if done.left_out else ""
    note(f"{done.images:,} images, {done.bytes / 1e6:,.1f} MB in {done.files:,} files, licence {done.licence}{left}")


def push(
    shards: Annotated[Path, typer.Argument(metavar="SHARDS", help="A shard folder, as relsim download makes it.")],
    repository: Annotated[
        str, typer.Argument(metavar="OWNER/NAME", help="A data set on the Hugging Face Hub, made if it is not there.")
    ],
    licence: Licence = None,
    private: Annotated[
        bool, typer.Option("--private", help="A data set that this makes is seen by its owner only.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Upload a shard folder to the Hugging Face Hub, with a card.

    Data of the catalog keeps its licence. The images belong to their owners: whoever publishes them answers for it.
    """
    from relsim.data.curation.pushing import push_shards

    done = push_shards(shards, repository, licence=licence, private=private)
    if as_json:
        print_json({"schema": "relsim.data_push/1", **done.to_dict()})
        return
    emit(done.commit)
    kept = "; the data comes of the catalog, whose licence is kept" if done.from_catalog else ""
    note(f"{done.rows:,} rows in {len(done.files):,} files, licence {done.licence}{kept}")
