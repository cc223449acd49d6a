"""The published collections by name: what they are, where their lists come from, and their rows.

    seed-groups                      532 groups with a caption each (1,529 images)
    anonymous-captions-114k          114,881 images with a caption each; parts: /train, /test
    random-14k                       14,881 random images, without captions
    retrieval-28k                    /test and random-14k, in this order: the data base of the retrieval runs

A list is looked for in the folder or file that the caller names, else in the folder that `$RELSIM_DATA` names, else on
the Hugging Face Hub, else at its address on the web. Its SHA-256 is recorded at its first use and compared afterwards.
Only lists come this way: the images are at the addresses in them, and `relsim download` fetches them.
"""

from __future__ import annotations

import difflib
import logging
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from relsim.data.checksums import Checksum, cache_folder, check_file
from relsim.data.identity import printable
from relsim.data.lists import SUFFIXES, read_list
from relsim.data.manifest import BadLine, ManifestRow
from relsim.errors import SourceError
from relsim.files import flush, temporary_beside
from relsim.hub import fetch_folder

LICENCE, LICENCE_ID = "CC BY-NC-SA 4.0", "cc-by-nc-sa-4.0"
LICENCE_TERMS = "attribution, no commercial use, share alike (https://creativecommons.org/licenses/by-nc-sa/4.0/)"
CITATION = (
    "Thao Nguyen, Sicheng Mo, Krishna Kumar Singh, Yilin Wang, Jing Shi, Nicholas Kolkin, Eli Shechtman, "
    "Yong Jae Lee, Yuheng Li: Relational Visual Similarity. arXiv 2512.07833, CVPR 2026."
)
VARIABLE = "RELSIM_DATA"
_CODE = "https://raw.githubusercontent.com/thaoshibe/relsim/main/data/"
_MOST_BYTES = 512 * 2**20
_TIMEOUT = 60.0  # seconds without a byte

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ListFile:
    """One published list: its file name, its rows, and where it may be.

    `patterns` are its names in the Hub's data set `repository`, the best first; `address` is a place on the web.
    `sha256` is that of the copy that relsim was tested with, where there was one.
    """

    name: str
    rows: int
    repository: str | None = None
    patterns: tuple[str, ...] = ()
    address: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Collection:
    """One entry of the catalog. `parts` names its files one by one; it is empty if there is but one, or no name."""

    name: str
    about: str
    images: int
    files: tuple[ListFile, ...]
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Located:
    """A list on this machine: its path, its checksum, where it was found, and whether it is used for the first time."""

    file: ListFile
    path: Path
    checksum: Checksum
    first_use: bool


def _captions(part: str, rows: int) -> ListFile:
    name = f"anonymous_captions_{part}.jsonl"
    patterns = (name, f"data/{name}", f"data/{part}-*.parquet")
    return ListFile(name, rows, "thaoshibe/anonymous-captions-114k", patterns, _CODE + name)


_TRAIN, _TEST = _captions("train", 100_000), _captions("test", 14_881)
_RANDOM = ListFile(
    "random_images_14k.jsonl",
    14_881,
    address=_CODE + "random_images_14k.jsonl",
    sha256="de9652b6e6122d14e97db1db9c4c7ca164424abe410469a16eaa0c13a0725746",
)
_SEEDS = ListFile(
    "seed_group.json",
    532,
    "thaoshibe/seed-groups",
    ("seed_group.json", "data/seed_group.json"),
    _CODE + "seed_group.json",
    sha256="fccdd9a18111b52f6533e2137406565dc1c32ba670a2c529674c0ceb31d71a65",
)
CATALOG = (
    Collection("seed-groups", "groups of images that share one logic, with one caption a group", 1_529, (_SEEDS,)),
    Collection(
        "anonymous-captions-114k",
        "images with an anonymous caption each",
        114_881,
        (_TRAIN, _TEST),
        ("train", "test"),
    ),
    Collection("random-14k", "random images, without captions", 14_881, (_RANDOM,)),
    Collection(
        "retrieval-28k", "the data base of the retrieval runs: test part, then random images", 29_762, (_TEST, _RANDOM)
    ),
)
"""Every collection, in the order of the table above."""
NAMES = tuple(name for entry in CATALOG for name in (entry.name, *(f"{entry.name}/{part}" for part in entry.parts)))
"""Every name that `find` knows, parts included."""


def find(name: str) -> Collection:
    """The collection, or the part of one, of that name. Raises SourceError with the nearest names."""
    whole, _, part = name.partition("/")
    for entry in CATALOG:
        if entry.name == whole and not part:
            return entry
        if entry.name == whole and part in entry.parts:
            file = entry.files[entry.parts.index(part)]
            return replace(entry, name=name, images=file.rows, files=(file,), parts=())
    near = difflib.get_close_matches(name, NAMES, n=2)
    guess = f"; did you mean {' or '.join(near)}?" if near else ";"
    raise SourceError(f"there is no collection {printable(name)!r}{guess} the catalog has {', '.join(NAMES)}")


def locate(
    collection: Collection, *, local: str | os.PathLike[str] | None = None, accept: bool = False
) -> list[Located]:
    """The files of a collection on this machine, fetched where they are not; each compared with its record.

    `local` is a folder that holds them, or one file that is the whole list; nothing is fetched then. `accept` records
    the files as they are now. Raises SourceError for a file that cannot be had or that has changed.
    """
    found: list[Located] = []
    today = datetime.now(timezone.utc).date()
    files = collection.files
    if local is not None and len(files) > 1 and Path(local).is_file():
        files = (ListFile(Path(local).name, collection.images),)
    for file in files:
        paths, origin = _find_file(file, local)
        for path in paths:
            split = path.suffix != Path(file.name).suffix
            name = f"{Path(file.name).stem}.{path.name}" if split else file.name
            checksum, first = check_file(path, name, origin=origin, today=today, accept=accept)
            if first and not split and file.sha256 not in (None, checksum.sha256):
                _log.warning("%s is not the copy that relsim was tested with (SHA-256 %s)", path, file.sha256)
            found.append(Located(file, path, checksum, first))
    return found


def load(
    name: str,
    *,
    local: str | os.PathLike[str] | None = None,
    on_bad_line: Callable[[BadLine], None] | None = None,
) -> list[ManifestRow]:
    """The rows of a collection by name, in their published order, raw and cleaned (see `relsim.data.lists`).

    Raises SourceError.
    """
    return [row for item in locate(find(name), local=local) for row in read_list(item.path, on_bad_line=on_bad_line)]


def load_named(
    source: str | os.PathLike[str],
    *,
    local: str | os.PathLike[str] | None = None,
    on_bad_line: Callable[[BadLine], None] | None = None,
) -> list[ManifestRow]:
    """The rows of a list that is a name of the catalog or, where there is such a path, a file. Raises SourceError."""
    text = os.fspath(source)
    if text not in NAMES and (Path(text).exists() or Path(text).suffix.lower() in SUFFIXES):
        return read_list(text, on_bad_line=on_bad_line)
    return load(text, local=local, on_bad_line=on_bad_line)


def _find_file(file: ListFile, local: str | os.PathLike[str] | None) -> tuple[list[Path], str]:
    """The file's path (several where the Hub has split it) and where it was found."""
    if local is not None:
        return _in_place(Path(local), file), "local copy"
    kept = os.environ.get(VARIABLE)
    if kept:
        return _in_place(Path(kept), file), f"${VARIABLE}"
    faults: list[str] = []
    if file.repository is not None:
        try:
            paths = _matches(
                fetch_folder(file.repository, kind="dataset", patterns=file.patterns, error=SourceError), file
            )
        except SourceError as error:
            faults.append(str(error))
        else:
            if paths:
                return paths, f"Hub data set {file.repository}"
            faults.append(f"the Hub's data set {file.repository} has none of {', '.join(file.patterns)}")
    if file.address is not None:
        try:
            return [_from_web(file.address, cache_folder() / "lists" / file.name)], file.address
        except SourceError as error:
            faults.append(str(error))
    raise SourceError(
        f"{file.name} cannot be had: {'; '.join(faults)}. Where you have a copy, name it: --from PATH, "
        f"or set {VARIABLE} to its folder"
    )


def _in_place(place: Path, file: ListFile) -> list[Path]:
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise SourceError(f"{printable(str(place))}: no such file or folder; {file.name} was looked for there")
    found = _matches(place, replace(file, patterns=(file.name, f"data/{file.name}", *file.patterns)))
    if not found:
        raise SourceError(f"the folder {printable(str(place))} has no {file.name}")
    return found


def _matches(folder: Path, file: ListFile) -> list[Path]:
    """Files of the first pattern that matches any."""
    return next((found for pattern in file.patterns if (found := sorted(folder.glob(pattern)))), [])


def _from_web(address: str, target: Path) -> Path:
    """The file at an address, kept under `target`; a copy that is there already is used."""
    if target.exists():
        return target
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise SourceError(f"{address} is not fetched, because HF_HUB_OFFLINE is set")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # The addresses are those of the catalog above, so the scheme is known.
        with urllib.request.urlopen(address, timeout=_TIMEOUT) as answer, temporary_beside(target) as temporary:  # noqa: S310
            with temporary.open("xb") as file:
                size = 0
                while block := answer.read(2**20):
                    size += file.write(block)
                    if size > _MOST_BYTES:
                        raise SourceError(f"{address} is longer than {_MOST_BYTES:,} bytes, so it is not the list")
            declared = answer.headers.get("Content-Length")
            if declared is not None and int(declared) != size:
                raise SourceError(f"{address} was cut off after {size:,} of {int(declared):,} bytes; try again")
            flush(temporary)
            temporary.replace(target)
    except urllib.error.HTTPError as error:
        raise SourceError(f"{address} answers with status {error.code}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise SourceError(f"{address} cannot be reached: {reason}") from error
    return target
