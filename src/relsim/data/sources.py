r"""From what a user names to a list of image records. Nothing here opens an image.

A source is one of:

- a file, whatever its suffix: the decoder will tell what it is;
- a folder: every file below it with a suffix of `IMAGE_SUFFIXES`;
- a shard folder, which is one that holds `shards.json`: its rows, in the order of the list that they came of;
- the address of a row of a shard, as records have it: `shards/part-00003.parquet#17`;
- a quoted pattern (`'photos/**/cat*.jpg'`; `*`, `?`, `[…]`, and `**` for any number of folders): files with such
  a suffix, or with the suffix that the pattern itself ends in; folders that match are passed over;
- an address such as `s3://bucket/photos` in the place of any of the paths above (see `relsim.data.remote`);
- `-`: a list of paths on standard input, one a line, or separated by NUL bytes;
- a manifest `*.jsonl`: `<image_folder>/<image_hash>` with whatever image suffix is there, or the row of that id where
  the folder is a shard folder. The folder is `images/` beside the manifest if there is one, else the manifest's own.

Folders come in natural order (`img2` before `img10`). Names that begin with a dot are passed over. Links are
followed; a folder that is reached twice is listed once, under its real name if that is below the source, so loops
end. One file named twice is one record: the first.

A path that is missing on the command line is a SourceError. A missing image of a manifest or of a list, or a
broken link, is a record all the same and becomes a row with the status `missing`; a row of a shard that has no image
becomes one with its own status, such as `dead`. Rows of a shard folder that share an id are one record: the first that
has an image.

The `image_id` is, in a folder or for a pattern, the path below the folder (or below the part of the pattern
without wildcards); for a named file its name; on a list the path as it was written; for a manifest and in a shard
folder `image_hash`.
With `ids="stem"` it is the file's name without folder and suffix. Bytes of a name that are not UTF-8, and control
characters, are shown as `\xff`.
"""

# Plain strings, as in relsim.data.folders.
# ruff: noqa: PTH100, PTH112, PTH118, PTH119, PTH120, PTH122

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from relsim.data.folders import files_below, is_pattern, matching_files, natural_key
from relsim.data.identity import printable, unique_ids
from relsim.data.manifest import read_manifest
from relsim.data.records import ImageRecord
from relsim.data.remote import is_remote, names_below
from relsim.data.remote_sources import folder_of_manifest, images_at, is_shard_folder_at, manifest_at, records_in
from relsim.data.shard_address import file_of, is_shard_folder
from relsim.errors import SourceError

IMAGE_SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"),
    *(".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm", ".ico", ".qoi", ".heic", ".heif"),
)
"""Suffixes, in lower case, by which files in folders count as images. In this order a manifest's image is chosen."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_ACCEPTED = (
    "an image file, a folder, a shard folder, a quoted pattern, a manifest (*.jsonl), or - for a list of paths on stdin"
)
_URL_ADVICE = "download the images first and name their folder"

Ids = Literal["relative", "stem"]
SameId = Literal["extend", "refuse"]


@dataclass(frozen=True, slots=True)
class _Found:
    """A file and the name that its id is made of: a relative path, or `fixed` as it stands.

    `known_as` is the path whose parts are put in front of a name that two files share, if not `path` itself.
    """

    path: str
    name: str
    fixed: bool = False
    fields: Mapping[str, Any] = field(default_factory=dict)
    known_as: str | None = None


def list_images(
    sources: Sequence[str | Path],
    *,
    image_folder: str | Path | None = None,
    ids: Ids = "relative",
    recursive: bool = True,
    stdin: IO[bytes] | IO[str] | None = None,
    same_id: SameId = "extend",
) -> list[ImageRecord]:
    """The images that `sources` name, in order, each file once, each with an id of its own.

    `image_folder` is where the images of manifests are; `recursive=False` keeps to the folder itself; `stdin`
    takes the place of standard input. Two files that would have one id both get more of their path put in front
    (`1.png` becomes `a/1.png` and `b/1.png`); with `same_id="refuse"` they are a SourceError, which suits a table
    that grows: there an id may not depend on what else is listed. Raises SourceError also for a path that is
    missing, a source without images, a URL, and a bad manifest.
    """
    if isinstance(sources, (str, os.PathLike)):
        sources = [sources]
    if not sources:
        raise SourceError(f"no source of images is named; name {_ACCEPTED}")
    found: dict[tuple[str, str], _Found] = {}
    folders: dict[str, str] = {}
    for source in sources:
        for item in _list_one(os.fspath(source), image_folder=image_folder, recursive=recursive, stdin=stdin):
            found.setdefault(_identity(item.path, folders), item)
    items = list(found.values())
    names = [item.name if item.fixed or ids == "relative" else _stem(item.name) for item in items]
    paths = [item.known_as or item.path for item in items]
    image_ids = unique_ids(names, paths, refuse=same_id == "refuse")
    return [ImageRecord(name, item.path, item.fields) for name, item in zip(image_ids, items, strict=True)]


def _list_one(
    source: str, *, image_folder: str | Path | None, recursive: bool, stdin: IO[bytes] | IO[str] | None
) -> Iterator[_Found]:
    if source == "-":
        yield from _listed(sys.stdin.buffer if stdin is None else stdin)
    elif is_remote(source):
        yield from _at_address(source, image_folder, recursive=recursive)
    elif _URL.match(source):
        raise SourceError(f"{printable(source)} is a URL, which is not read directly: {_URL_ADVICE}")
    elif os.path.isdir(source):
        yield from _in_shards(source) if is_shard_folder(source) else _in_folder(source, recursive=recursive)
    elif _exists(source) or _exists(file_of(source)):
        yield from _file(source, os.path.basename(source), image_folder)
    elif is_pattern(source):
        yield from _by_pattern(source, image_folder)
    else:
        raise SourceError(f"{printable(source) or 'an empty name'}: no such file or folder; name {_ACCEPTED}")


def _at_address(source: str, image_folder: str | Path | None, *, recursive: bool) -> Iterator[_Found]:
    if source.lower().endswith(".jsonl"):
        yield from _in_manifest(source, image_folder)
        return
    for address, name, fields in images_at(source, recursive=recursive, is_image=_is_image):
        known_as = f"{source.rstrip('/')}/{name}"
        yield _Found(address, name, fixed=fields is not None, fields=fields or {}, known_as=known_as)


def _exists(path: str) -> bool:
    """Whether there is anything of this name, a broken link included. What may not be looked at counts as there."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:
        return True
    return True


def _file(path: str, name: str, image_folder: str | Path | None) -> Iterator[_Found]:
    if path.lower().endswith(".jsonl"):
        yield from _in_manifest(path, image_folder)
    else:
        yield _Found(_absolute(path), name)


def _in_folder(folder: str, *, recursive: bool) -> Iterator[_Found]:
    root = os.path.abspath(folder)
    empty = True
    for parts in files_below(root, depth=None if recursive else 1):
        if _suffix(parts[-1]) in IMAGE_SUFFIXES:
            empty = False
            yield _Found(os.path.join(root, *parts), "/".join(parts))
    if empty:
        where = "in or below" if recursive else "directly in"
        raise SourceError(f"no images {where} {printable(folder)}; looked for {', '.join(IMAGE_SUFFIXES)}")


def _in_shards(folder: str) -> Iterator[_Found]:
    from relsim.data.shards import ShardFolder

    root = os.path.abspath(folder)
    records = ShardFolder.open(root).records()
    if not records:
        raise SourceError(f"the shard folder {printable(folder)} has no rows")
    for record in records:
        name = record.image_id
        yield _Found(record.source, name, fixed=True, fields=record.fields, known_as=f"{root}/{name}")


def _by_pattern(pattern: str, image_folder: str | Path | None) -> Iterator[_Found]:
    wanted = {*IMAGE_SUFFIXES, ".jsonl", _suffix(pattern)}
    empty = True
    for path, name in matching_files(pattern):
        if _suffix(name) in wanted:
            empty = False
            yield from _file(path, name, image_folder)
    if empty:
        raise SourceError(f"no images match {printable(pattern)}; looked for {', '.join(IMAGE_SUFFIXES)}")


def _listed(stream: IO[bytes] | IO[str]) -> Iterator[_Found]:
    content = stream.read()
    text = content if isinstance(content, str) else os.fsdecode(content)
    separator = "\0" if "\0" in text else "\n"
    empty = True
    for number, entry in enumerate(text.split(separator), start=1):
        path = entry.removesuffix("\r") if separator == "\n" else entry
        if not path:
            continue
        if _URL.match(path) and not is_remote(path):
            raise SourceError(
                f"entry {number:,} of the list on stdin is a URL, which is not read directly: {_URL_ADVICE}"
            )
        empty = False
        name = path if is_remote(path) else os.path.normpath(path).replace(os.sep, "/")
        yield _Found(_absolute(path), name)
    if empty:
        raise SourceError("the list on stdin is empty; give one path a line, or paths separated by NUL bytes")


def _in_manifest(path: str, image_folder: str | Path | None) -> Iterator[_Found]:
    rows = manifest_at(path) if is_remote(path) else read_manifest(path)
    if not rows:
        raise SourceError(f"the manifest {printable(path)} has no rows")
    folder = _manifest_folder(path, image_folder)
    files = _files_by_stem(folder)
    for row in rows:
        name = row.image_hash
        if name in (".", "..") or any(sign in name for sign in "/\\\0"):
            raise SourceError(f"{printable(path)}: the image_hash {printable(name)} is not a plain name")
        fields = row.to_dict()
        del fields["image_hash"]
        found = files.get(name, name + ".png")
        image = found if is_remote(found) else os.path.join(folder, found)
        yield _Found(image, name, fixed=True, fields=fields)


def _manifest_folder(path: str, image_folder: str | Path | None) -> str:
    if image_folder is not None and is_remote(os.fspath(image_folder)):
        return os.fspath(image_folder).rstrip("/")
    if image_folder is None and is_remote(path):
        return folder_of_manifest(path)
    if image_folder is not None:
        if not os.path.isdir(image_folder):
            raise SourceError(f"the image folder {printable(os.fspath(image_folder))} is not a folder")
        return os.path.abspath(image_folder)
    own = os.path.dirname(os.path.abspath(path))
    beside = os.path.join(own, "images")
    return beside if os.path.isdir(beside) else own


def _files_by_stem(folder: str) -> dict[str, str]:
    """Image files directly in a folder, by stem; of several the first by order of suffix, then of name.

    Of a shard folder, the addresses of its rows by their ids.
    """
    if is_remote(folder) and is_shard_folder_at(folder):
        return {record.image_id: record.source for record in records_in(folder)}
    if is_shard_folder(folder):
        from relsim.data.shards import ShardFolder

        return {record.image_id: record.source for record in ShardFolder.open(folder).records()}
    listed = names_below(folder, recursive=False) if is_remote(folder) else _names_in(folder)
    names = [name for name in listed if _is_image(name)]
    names.sort(key=lambda name: (IMAGE_SUFFIXES.index(_suffix(name)), natural_key((name,))))
    return {_stem(name): name for name in reversed(names)}


def _names_in(folder: str) -> list[str]:
    return [parts[0] for parts in files_below(folder, depth=1)]


def _identity(path: str, folders: dict[str, str]) -> tuple[str, str]:
    """What makes two paths one file: the real folder and the name. Two links to one file are two images."""
    if is_remote(path):
        return "", path
    folder, name = os.path.split(path)
    if folder not in folders:
        folders[folder] = os.path.realpath(folder)
    return folders[folder], name


def _absolute(path: str) -> str:
    if is_remote(path):
        return path
    # Taking `..` out of the text is wrong behind a link to a folder; there the system must say where it leads.
    if os.pardir not in path.replace(os.sep, "/").split("/"):
        return os.path.abspath(path)
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)


def _stem(name: str) -> str:
    return os.path.splitext(name.rsplit("/", 1)[-1])[0]


def _is_image(name: str) -> bool:
    return _suffix(name) in IMAGE_SUFFIXES


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()
