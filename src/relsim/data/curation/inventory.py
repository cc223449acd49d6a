"""A collection row by row, as everything in this package sees it: what is known of each image, without its pixels.

A source is one of:

- a name of the catalog, or a list of images (`.jsonl`, `.json`, `.parquet`): rows without a status, because nothing has
  been fetched; with an image folder, the images are read;
- a shard folder: all its rows, with what the download recorded;
- the folder of a download with `--layout files`: the same, from its `status` table;
- a folder with `manifest.jsonl` in it: the rows of that list, and the images in `images/` or beside it, which are read;
- any other folder: its images, which are read.

Reading an image means decoding it whole, for its size, its format, its SHA-256 and its perceptual hash.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from relsim.data.catalog import NAMES, load
from relsim.data.cleaning import caption_to_use, url_to_use
from relsim.data.identity import printable
from relsim.data.images import DEFAULT_LIMITS, Limits, read_bytes
from relsim.data.lists import SUFFIXES, read_list
from relsim.data.manifest import BadLine, ManifestRow
from relsim.data.records import Failure, ImageRecord, Status
from relsim.data.shard_address import address, is_shard_folder
from relsim.data.sources import IMAGE_SUFFIXES, list_images
from relsim.environment import usable_cores
from relsim.errors import ImageError, SourceError

Kind = Literal["list", "shards", "files", "folder"]
Progress: TypeAlias = Callable[[int], AbstractContextManager[Callable[[Any], None]]]
"""`progress(total)` is a context that gives a function to call with each outcome."""

MANIFEST = "manifest.jsonl"
_STATUS_TABLE = "status"
_READ_AHEAD = 4  # images per thread that are being read or wait


@dataclass(frozen=True, slots=True)
class Item:
    """One row: what the list says of it and what is known of its image; what is not known is None.

    `status` is None where nobody has tried to get the image. `size` is in bytes. `source` is where the bytes lie: a
    path, or the address of a row of a shard. The other fields are those of `relsim.data.shard_rows.ShardRow`.
    """

    image_id: str
    row: int
    url: str | None = None
    caption: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    status: Status | None = None
    reason: str | None = None
    http_code: int | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None
    sha256: str | None = None
    phash: str | None = None
    size: int | None = None
    source: str | None = None

    @property
    def has_image(self) -> bool:
        """Whether its image is there."""
        return self.status is Status.OK

    @property
    def clean_caption(self) -> str | None:
        """The caption without stray quotes, where the list has it cleaned; else the caption."""
        return caption_to_use(self.caption, self.extra)

    @property
    def clean_url(self) -> str | None:
        """The URL without `&amp;`, where the list has it cleaned; else the URL."""
        return url_to_use(self.url, self.extra)

    @property
    def group(self) -> str | None:
        """The number or name of the group that the list puts it in."""
        value = self.extra.get("group")
        return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else None

    @property
    def manifest_row(self) -> ManifestRow:
        """The row of the list."""
        return ManifestRow(self.image_id, self.url, self.caption, self.extra)


@dataclass(frozen=True, slots=True)
class Inventory:
    """All rows of a collection, in the order of the list.

    `name` is what the caller named; `path` its folder or file, None for a name of the catalog. `origin` is what is
    known of the list that a download came of (`name`, `sha256`, …). `stored_bytes` is what its files take on the disk,
    where that was counted.
    """

    name: str
    kind: Kind
    items: tuple[Item, ...]
    path: Path | None = None
    origin: Mapping[str, Any] | None = None
    stored_bytes: int | None = None

    def by_id(self) -> dict[str, Item]:
        """One item for each id, in order: of several the first that has an image, else the first."""
        found: dict[str, Item] = {}
        for item in self.items:
            known = found.get(item.image_id)
            if known is None or (item.has_image and not known.has_image):
                found[item.image_id] = item
        return found


def take_inventory(
    source: str | os.PathLike[str],
    *,
    image_folder: str | os.PathLike[str] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    workers: int | None = None,
    progress: Progress | None = None,
    on_bad_line: Callable[[BadLine], None] | None = None,
) -> Inventory:
    """Look at every row of a collection. Images in files are read by `workers` threads (default: one per core).

    Raises SourceError for a source that cannot be listed; an image that cannot be read is an item with a status.
    """
    text = os.fspath(source)
    path = Path(text)
    if text in NAMES:
        rows = load(text, on_bad_line=on_bad_line)
        return Inventory(text, "list", tuple(_listed(rows)), origin={"name": text})
    if path.is_dir():
        return _of_folder(path, image_folder, limits, workers, progress, on_bad_line)
    if path.suffix.lower() not in SUFFIXES:
        raise SourceError(
            f"{printable(text) or 'an empty name'} is not a collection; name a shard folder, a folder of images, "
            f"a list (*.jsonl, *.json, *.parquet), or one of {', '.join(NAMES)}"
        )
    if image_folder is None:
        return Inventory(text, "list", tuple(_listed(read_list(text, on_bad_line=on_bad_line))), path)
    items = _measured_list(path, image_folder, limits, workers, progress, on_bad_line)
    return Inventory(text, "folder", tuple(items), path)


def read_ahead(
    items: Iterable[Any], work: Callable[[Any], Any], *, workers: int | None = None
) -> Iterator[tuple[Any, Any]]:
    """Pairs of an item and `work(item)`, in order; threads work ahead, a few items each."""
    workers = workers or min(16, usable_cores())
    pending: deque[tuple[Any, Future[Any]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="images") as pool:
        try:
            for item in items:
                pending.append((item, pool.submit(work, item)))
                if len(pending) >= _READ_AHEAD * workers:
                    done, future = pending.popleft()
                    yield done, future.result()
            while pending:
                done, future = pending.popleft()
                yield done, future.result()
        finally:
            for _, future in pending:
                future.cancel()


def _listed(rows: Iterable[ManifestRow]) -> Iterator[Item]:
    for number, row in enumerate(rows):
        yield Item(row.image_hash, number, row.url_link, row.caption, row.extra)


def _of_folder(
    path: Path,
    image_folder: str | os.PathLike[str] | None,
    limits: Limits,
    workers: int | None,
    progress: Progress | None,
    on_bad_line: Callable[[BadLine], None] | None,
) -> Inventory:
    if is_shard_folder(path):
        return _of_shards(path)
    if (path / _STATUS_TABLE / "part-00000.parquet").exists():
        return _of_files(path)
    if (path / MANIFEST).is_file():
        images = path / "images" if (path / "images").is_dir() else path
        items = _measured_list(path / MANIFEST, image_folder or images, limits, workers, progress, on_bad_line)
        return Inventory(str(path), "folder", tuple(items), path)
    return Inventory(str(path), "folder", tuple(_measured(list_images([path]), limits, workers, progress)), path)


def _of_shards(path: Path) -> Inventory:
    from relsim.data.shards import ShardFolder, part_rows

    folder = ShardFolder.open(path)
    items = [
        _of_row(row, address(str(folder.path / part.name), number) if row.sha256 else None)
        for part in folder.contents.parts
        for number, row in enumerate(part_rows(folder.path / part.name))
    ]
    items.sort(key=lambda item: item.row)
    stored = sum(part.bytes for part in folder.contents.parts)
    return Inventory(str(path), "shards", tuple(items), folder.path, folder.contents.origin, stored)


def _of_files(path: Path) -> Inventory:
    import pyarrow.parquet as pq

    from relsim.data.download.status_table import FILE, table_rows
    from relsim.data.shard_contents import parts_in, read_contents, reading

    items: list[Item] = []
    for part in parts_in(path / _STATUS_TABLE):
        with reading(part):
            names = pq.read_table(part, columns=[FILE], use_threads=False)[FILE].to_pylist()
        items += [
            _of_row(row, None if name is None else str(path / name))
            for name, row in zip(names, table_rows(part), strict=True)
        ]
    items.sort(key=lambda item: item.row)
    contents = read_contents(path)
    return Inventory(str(path), "files", tuple(items), path, None if contents is None else contents.origin)


def _of_row(row: Any, source: str | None) -> Item:
    return Item(
        image_id=row.image_hash,
        row=row.row,
        url=row.url_link,
        caption=row.caption,
        extra=row.extra,
        status=row.status,
        reason=row.reason,
        http_code=row.http_code,
        width=row.width,
        height=row.height,
        format=row.format,
        sha256=row.sha256,
        phash=row.phash,
        source=source,
    )


def _measured_list(
    path: Path,
    image_folder: str | os.PathLike[str],
    limits: Limits,
    workers: int | None,
    progress: Progress | None,
    on_bad_line: Callable[[BadLine], None] | None,
) -> list[Item]:
    """The rows of a list, each with its image from the folder."""
    rows = read_list(path, on_bad_line=on_bad_line)
    folder = Path(image_folder)
    records = [
        ImageRecord(row.image_hash, source or str(folder / f"{row.image_hash}.png"), row.to_dict())
        for row, source in zip(rows, sources_in(folder, rows), strict=True)
    ]
    return list(_measured(records, limits, workers, progress))


def sources_in(folder: Path, rows: Sequence[ManifestRow], *, recursive: bool = True) -> list[str | None]:
    """Where the image of each row of a list lies in a folder, None where it has none. Raises SourceError."""
    images = list_images([folder], recursive=recursive)
    if is_shard_folder(folder):
        by_stem, by_path = {record.image_id: record.source for record in images}, {}
    else:
        files = [Path(record.source) for record in images]
        direct = [file for file in files if file.parent == folder.absolute()]
        # As relsim.data.sources chooses: of several files of a stem the first by suffix.
        direct.sort(key=lambda file: IMAGE_SUFFIXES.index(file.suffix.lower()), reverse=True)
        by_stem = {file.stem: str(file) for file in direct}
        by_path = {file.relative_to(folder.absolute()).with_suffix("").as_posix(): str(file) for file in files}
    grouped = [str(row.extra.get("file", "")).rpartition(".")[0] for row in rows]  # a seed group's image
    return [by_path.get(name) or by_stem.get(row.image_hash) for name, row in zip(grouped, rows, strict=True)]


def _measured(
    records: list[ImageRecord], limits: Limits, workers: int | None, progress: Progress | None
) -> Iterator[Item]:
    def work(record: ImageRecord) -> Any:
        from relsim.data.facts import image_facts

        try:
            data = read_bytes(record.source, limits=limits)
            return len(data), image_facts(data, limits=limits)
        except ImageError as error:
            return Failure(record, Status(error.status), error.reason)

    bar = nullcontext(lambda _: None) if progress is None else progress(len(records))
    with bar as advance:
        for number, (record, outcome) in enumerate(read_ahead(records, work, workers=workers)):
            advance(outcome)
            yield _item(number, record, outcome)


def _item(number: int, record: ImageRecord, outcome: Any) -> Item:
    fields = dict(record.fields)
    fields.pop("image_hash", None)
    listed = {
        "image_id": record.image_id,
        "row": number,
        "url": fields.pop("url_link", None),
        "caption": fields.pop("caption", None),
        "extra": fields,
        "source": record.source,
    }
    if isinstance(outcome, Failure):
        return Item(**listed, status=outcome.status, reason=outcome.reason)
    size, facts = outcome
    return Item(
        **listed,
        status=Status.OK,
        width=facts.width,
        height=facts.height,
        format=facts.format,
        sha256=facts.sha256,
        phash=facts.phash,
        size=size,
    )
