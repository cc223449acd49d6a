"""A collection in the form of another tool, in a new folder that appears whole.

    webdataset    images-000000.tar, …: of each image `<key>.<suffix>`, `<key>.json` and, with a caption, `<key>.txt`
    datasets      data/train-00000-of-00003.parquet, …: the columns of a shard; `datasets.load_dataset(folder)` reads it
    fiftyone      data/<name>, samples.json, metadata.json: `fiftyone.types.FiftyOneDataset`
    folder        images/<name> and manifest.jsonl, as relsim and the published code read them

Each has README.md, the card. Images are the original bytes, compared with their SHA-256 as they go; rows without an
image are left out, and an id that comes twice counts once. The same collection gives the same bytes, whenever it is
exported.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from relsim.data.curation.card import Terms, data_card, terms_of
from relsim.data.curation.inventory import MANIFEST, Inventory, Item, Progress
from relsim.data.curation.statistics import statistics_of
from relsim.data.identity import printable
from relsim.data.images import read_bytes
from relsim.data.manifest import ManifestRow, write_manifest
from relsim.data.records import Status
from relsim.data.shard_rows import SUFFIXES, ShardRow
from relsim.data.sources import IMAGE_SUFFIXES
from relsim.errors import ImageError, SourceError
from relsim.files import drafted_folder, flush

FORMS = ("webdataset", "datasets", "fiftyone", "folder")
PART_ROWS = 1_000
_PART_BYTES = 256 * 2**20
_NOT_IN_A_NAME = str.maketrans(dict.fromkeys('/\\:\x00*?"<>|', "_"))
_SPLIT_NAME = re.compile(r"\w+")
_LONGEST_NAME = 200  # bytes; a file's name may have 255, and a suffix and a number follow


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: images, their bytes, files, and the licence that the card names."""

    out: str
    form: str
    images: int
    bytes: int
    files: int
    left_out: int
    licence: str

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Image:
    """An image on its way: its row, a name without suffix that no other has, its suffix, and its bytes."""

    item: Item
    stem: str
    suffix: str
    data: bytes

    @property
    def name(self) -> str:
        return f"{self.stem}.{self.suffix}"

    @property
    def facts(self) -> dict[str, Any]:
        """What is known of it beside the fields of its list."""
        return {name: getattr(self.item, name) for name in ("width", "height", "format", "sha256", "phash")}


def export(
    inventory: Inventory,
    form: str,
    out: str | os.PathLike[str],
    *,
    split: str = "train",
    only: Iterable[str] | None = None,
    part_rows: int = PART_ROWS,
    licence: str | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Write the images of a collection into the new folder `out`, in one of `FORMS`.

    `split` names the part of a `datasets` export; `only` are the ids that are wanted; `part_rows` is how many images a
    tar or Parquet file holds; `licence` is as in `relsim.data.curation.card`. Raises SourceError.
    """
    target = Path(out)
    if form not in FORMS:
        raise SourceError(f"{printable(form)!r} is no form; there is {', '.join(FORMS)}")
    if not _SPLIT_NAME.fullmatch(split):
        raise SourceError(f"{printable(split)!r} is no name of a split; use letters, digits and underscores")
    if target.exists():
        raise SourceError(f"{printable(str(out))} exists already; name a new folder, or remove that one")
    terms = terms_of(inventory.origin, licence)
    wanted = None if only is None else set(only)
    items = [item for item in inventory.by_id().values() if wanted is None or item.image_id in wanted]
    images = [item for item in items if item.has_image]
    if not images:
        raise SourceError(f"{printable(inventory.name)} has no images to export; download it first")
    sizes: list[int] = []
    write = _WRITERS[form]
    try:
        with drafted_folder(target) as draft:
            write(draft, _images(images, form, sizes, progress), split, part_rows)
            (draft / "README.md").write_text(_card(inventory, items, terms, target.name, form, split), encoding="utf-8")
            files = sum(path.is_file() for path in draft.rglob("*"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SourceError(f"cannot write {printable(str(out))}: {reason}; nothing was left there") from error
    return Exported(str(out), form, len(images), sum(sizes), files, len(items) - len(images), terms.licence)


def _card(inventory: Inventory, items: list[Item], terms: Terms, title: str, form: str, split: str) -> str:
    facts = statistics_of(Inventory(inventory.name, inventory.kind, tuple(items)))
    data_files = [(split, f"data/{split}-*.parquet")] if form == "datasets" else []
    return data_card(title, facts, terms, origin=inventory.origin, data_files=data_files)


def _images(items: list[Item], form: str, sizes: list[int], progress: Progress | None) -> Iterator[_Image]:
    """The images with their bytes, each read when its turn comes; their sizes are added to `sizes`."""
    stems = _stems(items, dots=form != "webdataset")  # which takes a name's first dot for that of its suffix
    bar = nullcontext(lambda _: None) if progress is None else progress(len(items))
    with bar as advance:
        for item, stem in zip(items, stems, strict=True):
            data = _bytes_of(item)
            sizes.append(len(data))
            yield _Image(item, stem, SUFFIXES.get(item.format or "", "bin"), data)
            advance(item)


def _bytes_of(item: Item) -> bytes:
    try:
        data = read_bytes(item.source or "")
    except ImageError as error:
        raise SourceError(f"{item.source} ({printable(item.image_id)}) cannot be read: {error.reason}") from error
    if hashlib.sha256(data).hexdigest() != item.sha256:
        raise SourceError(
            f"{item.source} ({printable(item.image_id)}) is not what was recorded; see relsim data verify"
        )
    return data


def _stems(items: Iterable[Item], *, dots: bool) -> Iterator[str]:
    """A plain name for each image, its id where that is one; the second of a name gets `-2`, and so on."""
    taken: set[str] = set()
    for item in items:
        base, suffix = os.path.splitext(item.image_id)  # noqa: PTH122 - an id is not a path
        stem = printable(base if suffix.lower() in IMAGE_SUFFIXES else item.image_id).translate(_NOT_IN_A_NAME)
        stem = stem.encode()[:_LONGEST_NAME].decode("utf-8", "ignore")
        stem = stem if dots else stem.replace(".", "_")
        stem = "_" + stem[1:] if stem.startswith(".") else stem
        unique, number = stem, 2
        while unique.casefold() in taken:  # some file systems do not tell case apart
            unique, number = f"{stem}-{number}", number + 1
        taken.add(unique.casefold())
        yield unique


def _write_webdataset(folder: Path, images: Iterator[_Image], _split: str, part_rows: int) -> None:
    for number, part in enumerate(_parts(images, part_rows)):
        path = folder / f"images-{number:06d}.tar"
        with path.open("xb") as file:
            _write_tar(file, part)
        flush(path)


def _write_tar(file: BinaryIO, images: Iterable[_Image]) -> None:
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for image in images:
            about = {**image.item.manifest_row.to_dict(), **image.facts}
            members = {image.suffix: image.data, "json": json.dumps(about, ensure_ascii=False).encode()}
            caption = image.item.clean_caption
            if caption:
                members["txt"] = caption.encode("utf-8", "replace")
            for suffix, data in members.items():
                info = tarfile.TarInfo(f"{image.stem}.{suffix}")  # of no owner and no time
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))


def _write_datasets(folder: Path, images: Iterator[_Image], split: str, part_rows: int) -> None:
    from relsim.data.shard_writing import write_part

    data = folder / "data"
    data.mkdir()
    count = 0
    for part in _parts(images, part_rows):
        write_part(data / f"{count}.parquet", (_shard_row(image) for image in part))
        count += 1
    for number in range(count):
        (data / f"{number}.parquet").rename(data / f"{split}-{number:05d}-of-{count:05d}.parquet")


def _shard_row(image: _Image) -> ShardRow:
    item = image.item
    return ShardRow.of(
        item.row, item.manifest_row, Status.OK, image=image.data, http_code=item.http_code, **image.facts
    )


def _write_fiftyone(folder: Path, images: Iterator[_Image], _split: str, _part_rows: int) -> None:
    (folder / "data").mkdir()
    # Without a version FiftyOne reads the plain form of its format, which does not follow its data base's migrations.
    metadata = {"name": "relsim", "media_type": "image", "info": {"made_by": "relsim data export"}}
    _write_text(folder / "metadata.json", json.dumps(metadata))
    path = folder / "samples.json"
    with path.open("x", encoding="utf-8") as file:
        file.write('{"samples": [')
        for number, image in enumerate(images):
            _write_bytes(folder / "data" / image.name, image.data)
            file.write((",\n" if number else "\n") + json.dumps(_sample(image)))
        file.write("\n]}\n")
    flush(path)


def _sample(image: _Image) -> dict[str, Any]:
    from PIL import Image

    item = image.item
    sample: dict[str, Any] = {
        "filepath": f"data/{image.name}",
        "tags": [],
        "metadata": {
            "_cls": "ImageMetadata",
            "size_bytes": len(image.data),
            "mime_type": Image.MIME.get(item.format or ""),
            "width": item.width,
            "height": item.height,
        },
        "image_id": item.image_id,
        "caption": item.clean_caption,
        "url": item.clean_url,
        "seed_group": item.group,
        "sha256": item.sha256,
        "phash": item.phash,
    }
    return {name: value for name, value in sample.items() if value is not None}


def _write_folder(folder: Path, images: Iterator[_Image], _split: str, _part_rows: int) -> None:
    (folder / "images").mkdir()
    rows: list[ManifestRow] = []
    for image in images:
        _write_bytes(folder / "images" / image.name, image.data)
        item = image.item
        extra = {**item.extra, "sha256": item.sha256}
        if image.stem != item.image_id:
            extra["image_id"] = item.image_id
        rows.append(ManifestRow(image.stem, item.url, item.caption, extra))
    write_manifest(folder / MANIFEST, rows)


def _parts(images: Iterator[_Image], part_rows: int) -> Iterator[Iterator[_Image]]:
    """The images in runs of `part_rows`, or fewer where they have many bytes; a run must be used up before the next."""
    ahead = next(images, None)

    def part() -> Iterator[_Image]:
        nonlocal ahead
        count = size = 0
        while ahead is not None and count < part_rows and size < _PART_BYTES:
            count, size = count + 1, size + len(ahead.data)
            yield ahead
            ahead = next(images, None)

    while ahead is not None:
        yield part()


def _write_bytes(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _write_text(path: Path, text: str) -> None:
    _write_bytes(path, text.encode() + b"\n")


_WRITERS: Mapping[str, Callable[[Path, Iterator[_Image], str, int], None]] = {
    "webdataset": _write_webdataset,
    "datasets": _write_datasets,
    "fiftyone": _write_fiftyone,
    "folder": _write_folder,
}
