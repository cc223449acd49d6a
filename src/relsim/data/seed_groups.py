r"""Seed groups: a caption for each group of images that share one logic, as published (`seed_group.json`).

    [{"anonymous_caption": "\"Growth of {Subject}\"", "image_urls": ["https://…", …]}, …]
    [{"anonymous_caption": "Growth of {Subject}", "index_group": 0}, …]    with images in <folder>/<index_group>/*.png

Both forms are read, as a JSON list or one object a line. A group's `index` is its place in the list, from 0, or its
`index_group`. The id of an image that has a URL is the MD5 of the URL as it is written, and its published file is
`group_<index>/<id>.png`; one that is a file has the id `group_<index>_<stem>`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relsim.data.cleaning import clean_caption, clean_url, cleaned
from relsim.data.folders import natural_key
from relsim.data.manifest import BadLine, ManifestRow, kind_of
from relsim.data.objects import read_objects, refuse_bad_lines
from relsim.errors import SourceError

CAPTION, URLS, INDEX = "anonymous_caption", "image_urls", "index_group"
_FOLDER_NAMES = ("{}", "group_{}")


@dataclass(frozen=True, slots=True)
class SeedImage:
    """One image of a group: its id, and its URL or its file."""

    image_hash: str
    url: str | None = None
    url_clean: str | None = None
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class SeedGroup:
    """A group: its number, its caption raw and cleaned, its images in their order, and fields that are not published.

    `images` is empty where the list names a folder and no folder was given.
    """

    index: int
    caption: str
    caption_clean: str
    images: tuple[SeedImage, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)

    def file_of(self, image: SeedImage) -> str:
        """The image's published file name, `group_<index>/<id>.png`."""
        return f"group_{self.index}/{image.image_hash}.png"

    def rows(self) -> list[ManifestRow]:
        """The images as rows of a manifest, `group` and `file` among their extra fields."""
        return [
            cleaned(
                ManifestRow(
                    image.image_hash,
                    image.url,
                    self.caption,
                    {**self.extra, "group": self.index, "file": self.file_of(image)},
                )
            )
            for image in self.images
        ]


def read_seed_groups(
    path: str | os.PathLike[str],
    *,
    image_folder: str | os.PathLike[str] | None = None,
    on_bad_line: Callable[[BadLine], None] | None = None,
) -> list[SeedGroup]:
    """All groups of a list, in order. `image_folder` is where the older form's folders of images are.

    Without it, folders beside the list, or in `images/` beside it, are taken where they are. Raises SourceError if the
    file cannot be read, or for bad entries: their count and the first five. With `on_bad_line` that function is called
    for each bad entry instead, with the line on which it begins, and the good ones are returned.
    """
    path = Path(path)
    groups: list[SeedGroup] = []
    bad: list[BadLine] = []
    report = bad.append if on_bad_line is None else on_bad_line
    folders = [Path(image_folder)] if image_folder is not None else [path.parent / "images", path.parent]
    if image_folder is not None and not folders[0].is_dir():
        raise SourceError(f"the image folder {image_folder} is not a folder")
    for place, (line, entry) in enumerate(read_objects(path, report)):
        try:
            groups.append(_group(entry, place, folders))
        except ValueError as error:
            report(BadLine(line, str(error)))
    refuse_bad_lines(path, bad, f'a group is an object with "{CAPTION}" and "{URLS}", or "{INDEX}"')
    return groups


def is_seed_group(entry: Mapping[str, Any]) -> bool:
    """Whether an object of a list looks like a seed group rather than a row of a manifest."""
    return CAPTION in entry or URLS in entry or INDEX in entry


def names_folders(rows: Sequence[ManifestRow], path: str | os.PathLike[str]) -> bool:
    """Whether the rows of a list are images of seed groups of which none has a URL.

    Of a list without rows its file at `path`, if there is one, says whether it has such groups, whose folders are
    elsewhere.
    """
    if rows:
        return all(row.url_link is None and "group" in row.extra and "file" in row.extra for row in rows)
    if not Path(path).is_file() or Path(path).suffix.lower() not in (".json", ".jsonl"):
        return False
    entries = [entry for _, entry in read_objects(Path(path), lambda _: None)]
    return any(INDEX in entry and URLS not in entry for entry in entries)


def _group(entry: dict[str, Any], place: int, folders: list[Path]) -> SeedGroup:
    caption = entry.pop(CAPTION, None)
    if not isinstance(caption, str) or not caption.strip():
        raise ValueError(f"{CAPTION} must be there and be a string that is not empty")
    urls, index = entry.pop(URLS, None), entry.pop(INDEX, None)
    if urls is None and index is None:
        raise ValueError(f"{URLS} or {INDEX} must be there")
    number = place if index is None else _number(index)
    images = _by_url(urls) if urls is not None else _by_folder(number, folders)
    return SeedGroup(number, caption, clean_caption(caption), images, entry)


def _number(index: object) -> int:
    if isinstance(index, str) and index.isascii() and index.isdigit():
        return int(index)
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise ValueError(f"{INDEX} must be a whole number from 0, not {kind_of(index)}")
    return index


def _by_url(urls: object) -> tuple[SeedImage, ...]:
    if not isinstance(urls, list) or not urls:
        raise ValueError(f"{URLS} must be a list with at least one URL, not {kind_of(urls)}")
    for url in urls:
        if not isinstance(url, str) or not url:
            raise ValueError(f"{URLS} must hold strings that are not empty, not {kind_of(url)}")
    return tuple(SeedImage(url_id(url), url, clean_url(url)) for url in urls)


def _by_folder(index: int, folders: list[Path]) -> tuple[SeedImage, ...]:
    for folder in (root / name.format(index) for root in folders for name in _FOLDER_NAMES):
        if folder.is_dir():
            files = [file for file in folder.iterdir() if file.suffix.lower() == ".png" and file.name[0] != "."]
            files.sort(key=lambda file: natural_key((file.name,)))
            return tuple(SeedImage(f"group_{index}_{file.stem}", path=file) for file in files)
    return ()


def url_id(url: str) -> str:
    """The published id of an image: the MD5 of its URL as it is written, 32 hex digits."""
    return hashlib.md5(url.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
