"""`relsim download`: the images of a list into shards or files, with an account of every row."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from relsim.cli import options, ray_engines
from relsim.cli.download_progress import download_progress
from relsim.cli.output import emit, note, print_json

if TYPE_CHECKING:
    from relsim.data.download import Summary
    from relsim.data.manifest import BadLine, ManifestRow

EXIT_SOME_FAILED = 3
LIMITS_PANEL, POLICY_PANEL, LAYOUT_PANEL = "Limits", "Policy", "What is kept"
_SHOWN_BAD_LINES = 5
_MB, _BAR = 1e6, 30


def download(
    source: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="A collection (relsim data list), or a list: .jsonl, .json.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the download, new or to be continued.")
    ],
    retry: Annotated[
        str | None,
        typer.Option(metavar="STATUSES", help="Try rows of these statuses again, such as dead,timeout; keep the rest."),
    ] = None,
    copy: Annotated[
        Path | None, typer.Option("--from", metavar="PATH", help="A local copy of the collection's list.")
    ] = None,
    layout: Annotated[
        Literal["shards", "files"],
        typer.Option(
            metavar="shards|files",
            help="Parquet with the original bytes, or one file an image and a table of statuses.",
            rich_help_panel=LAYOUT_PANEL,
        ),
    ] = "shards",
    reencode: Annotated[
        Literal["png"] | None,
        typer.Option(
            metavar="png", help="With files: RGB as PNG, as the published code stores.", rich_help_panel=LAYOUT_PANEL
        ),
    ] = None,
    placeholders: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Further rules for placeholder pictures.", rich_help_panel=LAYOUT_PANEL),
    ] = None,
    keep_placeholders: Annotated[
        bool, typer.Option("--keep-placeholders", help="Keep them as images.", rich_help_panel=LAYOUT_PANEL)
    ] = False,
    same_bytes: Annotated[
        int,
        typer.Option(
            metavar="N", min=2, help="Flag rows whose very bytes are under N ids or more.", rich_help_panel=LAYOUT_PANEL
        ),
    ] = 5,
    part_rows: Annotated[
        int, typer.Option(metavar="N", min=1, help="Rows of a part, in a new folder.", rich_help_panel=LAYOUT_PANEL)
    ] = 1_000,
    workers: Annotated[
        int, typer.Option(metavar="N", min=1, help="Requests at a time.", rich_help_panel=LIMITS_PANEL)
    ] = 64,
    per_host: Annotated[
        int, typer.Option(metavar="N", min=1, help="Requests at a time to one host.", rich_help_panel=LIMITS_PANEL)
    ] = 8,
    decoders: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Processes that decode. Default: one per core.", rich_help_panel=LIMITS_PANEL
        ),
    ] = None,
    connect_timeout: Annotated[
        float, typer.Option(metavar="S", help="Seconds to connect in.", rich_help_panel=LIMITS_PANEL)
    ] = 10.0,
    read_timeout: Annotated[
        float, typer.Option(metavar="S", help="Seconds that a server may be silent.", rich_help_panel=LIMITS_PANEL)
    ] = 20.0,
    total_timeout: Annotated[
        float, typer.Option(metavar="S", help="Seconds for an attempt, all of it.", rich_help_panel=LIMITS_PANEL)
    ] = 120.0,
    retries: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="Further attempts where that may help (5xx, resets).", rich_help_panel=LIMITS_PANEL
        ),
    ] = 3,
    longest_wait: Annotated[
        float,
        typer.Option(
            metavar="S",
            min=0,
            help="Longest wait that a server may ask for (Retry-After); one that asks for more gets no retries.",
            rich_help_panel=LIMITS_PANEL,
        ),
    ] = 60.0,
    patience: Annotated[
        float,
        typer.Option(
            metavar="S",
            min=0,
            help="Seconds of such waits for one host, all together.",
            rich_help_panel=LIMITS_PANEL,
        ),
    ] = 300.0,
    max_mb: Annotated[
        float, typer.Option("--max-mb", metavar="MB", help="Largest body, in MiB.", rich_help_panel=LIMITS_PANEL)
    ] = 64.0,
    max_pixels: Annotated[
        int, typer.Option(metavar="N", min=1, help="Largest picture, in pixels.", rich_help_panel=LIMITS_PANEL)
    ] = 64_000_000,
    user_agent: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="What to call ourselves. Default: relsim and its version.",
            rich_help_panel=POLICY_PANEL,
        ),
    ] = None,
    ignore_robots: Annotated[
        bool,
        typer.Option(
            "--ignore-robots",
            help="Keep images whose server says noai or noindex in X-Robots-Tag.",
            rich_help_panel=POLICY_PANEL,
        ),
    ] = False,
    allow_private: Annotated[
        bool,
        typer.Option(
            "--allow-private", help="Fetch from private and local addresses, too.", rich_help_panel=POLICY_PANEL
        ),
    ] = False,
    allow_network: Annotated[
        list[str] | None,
        typer.Option(metavar="NET", help="Fetch from this network, such as 10.1.0.0/16.", rich_help_panel=POLICY_PANEL),
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Certificates of a private authority, in PEM.", rich_help_panel=POLICY_PANEL),
    ] = None,
    engine: ray_engines.Engine = "local",
    ray_address: ray_engines.Address = None,
    ray_workers: ray_engines.Workers = None,
    as_json: options.AsJson = False,
) -> None:
    """Download the images of a list; run again to go on.

    Every row of the list gets a row with a status, a reason, the server's code and the time. Nothing is done twice:
    what is finished is kept, --retry tries chosen statuses again. Exits with 3 if some images could not be had.
    """
    from relsim.data.download import DownloadOptions, parse_statuses
    from relsim.data.download import download as run
    from relsim.data.download.options import MIB, USER_AGENT

    options.check_local(out)
    where = ray_engines.Where(engine, ray_address, ray_workers)
    given = DownloadOptions(
        layout=layout,
        reencode=reencode,
        workers=workers,
        per_host=per_host,
        decoders=decoders,
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        total_timeout=total_timeout,
        retries=retries,
        longest_wait=longest_wait,
        patience=patience,
        max_bytes=int(max_mb * MIB),
        max_pixels=max_pixels,
        user_agent=user_agent or USER_AGENT,
        ignore_robots=ignore_robots,
        allow_private=allow_private,
        allow_networks=tuple(allow_network or ()),
        ca_file=ca_file,
        placeholders=placeholders,
        keep_placeholders=keep_placeholders,
        same_bytes=same_bytes,
        part_rows=part_rows,
        retry=parse_statuses(retry) if retry is not None else frozenset(),
    )
    rows = _rows(source, copy)
    name = source if not Path(source).exists() else Path(source).name
    with ray_engines.downloading(where) as fetch, download_progress() as watcher:
        summary = run(rows, out, given, name=name, watcher=watcher, fetch=fetch)
    if as_json:
        print_json(summary.to_dict())
    else:
        _report(summary)
    if summary.ok < summary.rows:
        raise typer.Exit(EXIT_SOME_FAILED)


def _rows(source: str, copy: Path | None) -> list[ManifestRow]:
    """The rows of the list; bad lines are told and passed over."""
    from relsim.data.catalog import load_named
    from relsim.data.remote import is_remote
    from relsim.data.remote_sources import copy_of
    from relsim.data.seed_groups import names_folders
    from relsim.errors import SourceError

    bad: list[BadLine] = []
    with copy_of(source) if is_remote(source) else nullcontext(source) as name:
        rows = load_named(name, local=copy, on_bad_line=bad.append)
    for line in bad[:_SHOWN_BAD_LINES]:
        note(f"relsim: passed over {line}")
    if len(bad) > _SHOWN_BAD_LINES:
        note(f"relsim: passed over {len(bad) - _SHOWN_BAD_LINES:,} more lines")
    if names_folders(rows, copy or source):
        raise SourceError(
            f"{source} holds seed groups in the form with index_group: it names folders of images and no addresses, so "
            "there is nothing to download; take the form with image_urls (relsim download seed-groups), or use the "
            "folders as they are (relsim data stats FOLDER, relsim embed FOLDER)"
        )
    if not rows:
        raise SourceError(f"{source} has no rows, so there is nothing to download")
    return rows


def _report(summary: Summary) -> None:
    run = summary.run.to_dict()
    speed = ""
    if run["rows"]:
        rates = f"{run['rows_per_second']:,.1f} rows/s, {run['megabytes_per_second']:,.1f} MB/s"
        speed = f"; {run['rows']:,} rows in {run['seconds']:,.1f} s ({rates})"
    share = summary.ok / summary.rows
    size = f"{summary.bytes / _MB:,.1f} MB"
    emit(f"{summary.folder}: {summary.ok:,} of {summary.rows:,} images ({share:.1%}), {size}{speed}")
    width = max(len(name) for name in summary.statuses)
    digits = len(f"{summary.rows:,}")
    for name, rows in summary.statuses.items():
        bar = "#" * round(_BAR * rows / summary.rows)
        emit(f"  {name:<{width}}  {rows:>{digits},}  {rows / summary.rows:>6.1%}  {bar}".rstrip())
    if summary.duplicates:
        rows = sum(group.ids for group in summary.duplicates)
        note(f"{rows:,} ids share their bytes with many others, in {len(summary.duplicates):,} groups (summary.json)")
    if summary.may_come_back:
        note(f"try again what may have come back: --retry {','.join(summary.may_come_back)}")
