"""From an address, such as `s3://bucket/photos`, to the images that it names: as from a path, by `relsim.data.sources`.

An address is that of an image, a folder, a shard folder, a row of a shard, a manifest, or a pattern. Nothing here opens
an image; of a shard folder the columns of text are read.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from relsim.data.folders import Parts, fits, is_pattern, natural_key
from relsim.data.identity import printable
from relsim.data.manifest import ManifestRow, read_manifest
from relsim.data.records import ImageRecord
from relsim.data.remote import join, kind_of, names_below, parent, read_all
from relsim.data.shard_address import CONTENTS_NAME, split_address
from relsim.errors import SourceError

IsImage = Callable[[str], bool]


class Named(NamedTuple):
    """An address and its name; `fields` where the name is an id as it stands, with what is known beside it."""

    address: str
    name: str
    fields: Mapping[str, Any] | None = None


def images_at(address: str, *, recursive: bool, is_image: IsImage) -> Iterator[Named]:
    """The images of an address that is no manifest, in natural order. Raises `SourceError` where there are none."""
    kind = "file" if split_address(address) else kind_of(address)
    if kind == "file":
        yield Named(address, address.rpartition("/")[2])
    elif kind == "directory":
        yield from _in_folder(address.rstrip("/"), recursive=recursive, is_image=is_image)
    elif is_pattern(address):
        yield from _by_pattern(address, is_image)
    else:
        raise SourceError(f"{printable(address)}: nothing is there, or nothing that may be seen")


def records_in(folder: str) -> list[ImageRecord]:
    """The records of a shard folder at an address, as `ShardFolder.records` gives those of one here."""
    from relsim.data.shard_contents import parse_contents
    from relsim.data.shards import records_of

    contents = parse_contents(read_all(join(folder, CONTENTS_NAME)), folder)
    return records_of(folder, [join(folder, part.name) for part in contents.parts], contents)


def manifest_at(address: str) -> list[ManifestRow]:
    """The rows of a manifest at an address. Raises `SourceError`."""
    with copy_of(address) as path:
        return read_manifest(path)


@contextlib.contextmanager
def copy_of(address: str) -> Iterator[Path]:
    """A file at an address as one here, under its own name, for the time of the context. Raises `SourceError`."""
    data = read_all(address)
    with tempfile.TemporaryDirectory(prefix="relsim-remote-") as folder:
        path = Path(folder) / address.rpartition("/")[2]
        path.write_bytes(data)
        yield path


def folder_of_manifest(address: str) -> str:
    """Where the images of a manifest at an address are: `images/` beside it if there is one, else beside it."""
    beside = join(parent(address), "images")
    return beside if kind_of(beside) == "directory" else parent(address)


def is_shard_folder_at(folder: str) -> bool:
    """Whether an address is that of a finished shard folder."""
    return kind_of(join(folder, CONTENTS_NAME)) == "file"


def _in_folder(folder: str, *, recursive: bool, is_image: IsImage) -> Iterator[Named]:
    if is_shard_folder_at(folder):
        for record in records_in(folder):
            yield Named(record.source, record.image_id, record.fields)
        return
    found = [parts for parts in _visible(folder, recursive=recursive) if is_image(parts[-1])]
    if not found:
        raise SourceError(f"no images {'in or below' if recursive else 'directly in'} {printable(folder)}")
    for parts in found:
        yield Named(join(folder, "/".join(parts)), "/".join(parts))


def _by_pattern(pattern: str, is_image: IsImage) -> Iterator[Named]:
    scheme, _, path = pattern.partition("://")
    pieces = path.split("/")
    first = next(place for place, piece in enumerate(pieces) if is_pattern(piece))
    folder = f"{scheme}://{'/'.join(pieces[:first])}"
    wanted = [piece for piece in pieces[first:] if piece]
    found = [parts for parts in _visible(folder) if fits(parts, wanted) and is_image(parts[-1])]
    if not found:
        raise SourceError(f"no images match {printable(pattern)}")
    for parts in found:
        yield Named(join(folder, "/".join(parts)), "/".join(parts))


def _visible(folder: str, *, recursive: bool = True) -> list[Parts]:
    """Files below a folder in natural order, without those behind a name that begins with a dot."""
    found = [tuple(name.split("/")) for name in names_below(folder, recursive=recursive)]
    return sorted((parts for parts in found if not any(part.startswith(".") for part in parts)), key=natural_key)
