"""Reading images: the one place that opens them, be they files or rows of a shard.

An image is a file, here or at an address (`relsim.data.remote`), or the row of a shard that an address names. It is
read whole, identified by its first bytes (never by its name) and decoded to RGB with 8 bits a channel:

- 8-bit modes go through Pillow's `convert("RGB")`, as published: alpha is dropped and not blended, a palette
  is looked up, CMYK, YCbCr, LAB and HSV are converted by Pillow.
- 16-bit grey keeps its high byte, which is what Pillow does with 16-bit colour.
- 32-bit integers from 0 to 65,535 are 16-bit grey in a wider box; any other range is stretched to 0 to 255.
- Floats from 0 to 1 are multiplied by 255, from 0 to 255 taken as they are; any other range is stretched. NaN and minus
  infinity count as the low end of the range, infinity as the high end.
- Of an animation or a file with several pages the first picture is taken (of an APNG: its default image).
- The EXIF orientation is applied. Broken EXIF is ignored.

What cannot be read is an `ImageError` with a status and a reason of one line; the row of a shard that has no image has
its own. Only regular files are opened, so a pipe or a device never blocks; sizes are checked in the header, before
memory is taken for pixels. All functions are thread-safe and change no setting of Pillow; no file is kept open but the
last parts of shards. Warnings of Pillow about metadata are left to the application's filters. Formats that would start
another program (EPS) are not decoded.
"""

from __future__ import annotations

import errno
import functools
import io
import logging
import os
import stat
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from PIL import ExifTags, Image, ImageFile

from relsim.data.image_errors import explain_failure
from relsim.data.records import Failure, ImageRecord, LoadedImage, Status
from relsim.data.remote import is_remote, read_image_bytes
from relsim.data.shard_address import split_address
from relsim.errors import ImageError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO", "QOI", "HEIF")
"""Formats that are decoded, as Pillow names them. HEIF only where a plug-in for it has been registered."""

_log = logging.getLogger(__name__)
_registry_lock = threading.Lock()

Read = Callable[[], bytes]  # as `read_bytes` of an image that is known
_BYTE_MAX, _WORD_MAX = 255, 65_535
_HIGH_BYTE_MODES = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
_SPECIAL_FILES = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a disk"),
)
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest file and picture that are read; beyond them an image is `too_large`.

    `max_pixels` is by default the count from which Pillow itself refuses (twice its `MAX_IMAGE_PIXELS`).
    """

    max_bytes: int = 512 * 1024**2
    max_pixels: int = 178_956_970


DEFAULT_LIMITS = Limits()


def read_image(record: ImageRecord, *, limits: Limits = DEFAULT_LIMITS, draft: int | None = None) -> LoadedImage:
    """Read, decode (see `decode_image`) and turn upright the image of a record. Raises ImageError."""
    return LoadedImage(record, decode_image(read_bytes(record.source, limits=limits), limits=limits, draft=draft))


def load_image(
    record: ImageRecord, *, limits: Limits = DEFAULT_LIMITS, draft: int | None = None, read: Read | None = None
) -> LoadedImage | Failure:
    """Like `read_image`, but a bad image is a `Failure`; `read` stands for `read_bytes` where it has been called."""
    try:
        data = read_bytes(record.source, limits=limits) if read is None else read()
        return LoadedImage(record, decode_image(data, limits=limits, draft=draft))
    except ImageError as error:
        return Failure(record, Status(error.status), error.reason)


def read_bytes(source: str, *, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The bytes of an image file, or of a row of a shard (`relsim.data.shard_address`). Raises ImageError."""
    place = split_address(source)
    if place is not None:
        from relsim.data.shard_parts import read_shard_image

        return read_shard_image(*place, max_bytes=limits.max_bytes)
    if is_remote(source):
        return read_image_bytes(source, max_bytes=limits.max_bytes)
    try:
        _refuse_special(Path(source).stat().st_mode)
        # Between the look and the opening a pipe may take the file's place: non-blocking, and looked at again.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(source, flags), "rb") as file:
            info = os.fstat(file.fileno())
            _refuse_special(info.st_mode)
            if info.st_size > limits.max_bytes:
                reason = f"a file of {info.st_size:,} bytes, more than the limit of {limits.max_bytes:,}"
                raise ImageError(Status.TOO_LARGE, reason)
            return file.read(info.st_size)
    except OSError as error:
        raise _system_error(source, error) from error
    except ValueError as error:  # the system's calls take no path with a NUL byte
        raise ImageError(Status.MISSING, "no such file: the path contains a NUL byte") from error


def decode_image(data: bytes, *, limits: Limits = DEFAULT_LIMITS, draft: int | None = None) -> Image.Image:
    """Decode the bytes of an image file to an upright RGB image that carries no metadata. Raises ImageError.

    With `draft` a JPEG file is decoded at 1/2, 1/4 or 1/8 of its size where both sides keep that many pixels. That is
    quicker, and its pixels are not those of the whole picture made smaller.
    """
    return _decoded(data, limits, draft=draft)[0]


def decode_with_format(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> tuple[Image.Image, str]:
    """Like `decode_image`, with the file's format, by its name in `FORMATS`."""
    return _decoded(data, limits)[:2]


def decode_with_published(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> tuple[Image.Image, str, bytes]:
    """Like `decode_with_format`, with the PNG file that the published code stores: `preprocess_image`, saved.

    That is not turned upright, and a colour profile comes along, as there. The file is decoded once.
    """
    return _decoded(data, limits, published=True)


def _decoded(
    data: bytes, limits: Limits, *, published: bool = False, draft: int | None = None
) -> tuple[Image.Image, str, bytes]:
    """Upright RGB image, format, and, if it is wanted, the published PNG."""
    if not data:
        raise ImageError(Status.EMPTY, "the file is empty")
    image, format_name = _open(data)
    png = io.BytesIO()
    try:
        width, height = image.size
        if width < 1 or height < 1:
            raise ImageError(Status.NOT_IMAGE, f"{image.format} of {width} x {height} pixels")
        if width * height > limits.max_pixels:
            reason = f"{width:,} x {height:,} pixels, more than the limit of {limits.max_pixels:,}"
            raise ImageError(Status.TOO_LARGE, reason)
        try:
            if draft is not None:
                image.draft(None, (draft, draft))  # the mode stays; formats other than JPEG know no draft
            image.load()
            if published:  # first, because the upright picture loses what a PNG is saved with
                _published_rgb(image).save(png, "PNG")
            orientation = _orientation(image)
            upright = _to_rgb(image)
            if orientation in _UPRIGHT:
                upright = upright.transpose(_UPRIGHT[orientation])
        except Exception as error:
            raise explain_failure(error, data, format_name=image.format or "image", image=image) from error
    finally:
        image.close()
    upright.info.clear()
    return upright, format_name, png.getvalue()


@overload
def preprocess_image(images: Image.Image) -> Image.Image: ...
@overload
def preprocess_image(images: Sequence[Image.Image]) -> list[Image.Image]: ...
def preprocess_image(images: Image.Image | Sequence[Image.Image]) -> Image.Image | list[Image.Image]:
    """The published `preprocess`: one PIL image, or a list or tuple of them, to RGB.

    One image gives one image, a list or tuple gives a list. It is `convert("RGB")` and nothing else: no EXIF
    rotation, no scaling of 16-bit values. Anything that is not a PIL image is a TypeError; an image that was
    opened lazily and turns out to be broken is an ImageError.
    """
    if isinstance(images, Image.Image):
        return _preprocessed(images)
    if not isinstance(images, (list, tuple)):
        raise TypeError(f"preprocess takes a PIL image or a list of them, not {type(images).__name__}")
    for position, image in enumerate(images):
        if not isinstance(image, Image.Image):
            raise TypeError(f"item {position} of the list is {type(image).__name__}, not a PIL image")
    return [_preprocessed(image) for image in images]


def _preprocessed(image: Image.Image) -> Image.Image:
    try:
        return _published_rgb(image)
    except Exception as error:
        raise explain_failure(error, None, format_name=image.format or "image", image=image) from error


def _refuse_special(mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        raise ImageError(Status.DIRECTORY, "a folder, not an image file")
    kind = next((name for test, name in _SPECIAL_FILES if test(mode)), "something special")
    raise ImageError(Status.UNREADABLE, f"{kind}, not a regular file")


def _system_error(source: str, error: OSError) -> ImageError:
    if error.errno == errno.ELOOP:
        return ImageError(Status.MISSING, "a link that leads back to itself")
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        broken_link = Path(source).is_symlink()
        return ImageError(Status.MISSING, "a link that leads nowhere" if broken_link else "no such file")
    return ImageError(Status.UNREADABLE, (error.strerror or type(error).__name__).lower())


@functools.cache
def _usable_formats() -> tuple[str, ...]:
    with _registry_lock:
        Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _open(data: bytes) -> tuple[ImageFile.ImageFile, str]:
    """Identify the format, by its name in `FORMATS`, and read the header.

    Pillow's registry is asked directly: `Image.open` compares with a process-wide pixel limit, warns below
    it, and forgets which format it had recognised when the header then proves to be broken.
    """
    failure: ImageError | None = None
    for name in _usable_formats():
        factory, accept = Image.OPEN[name]
        accepted = accept is None or accept(data[:16])
        if isinstance(accepted, str):
            failure = failure or ImageError(Status.NOT_IMAGE, f"this Pillow cannot read {name}: {accepted}")
        elif accepted:
            try:
                return factory(io.BytesIO(data), ""), name
            except Exception as error:  # noqa: BLE001 - decoders raise anything; it becomes the reason
                failure = failure or explain_failure(error, data, format_name=name)
                failure.__cause__ = error
    if failure is not None:
        raise failure
    raise ImageError(Status.NOT_IMAGE, f"not an image in a known format ({', '.join(_usable_formats())})")


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 if there is none or it cannot be read."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with metadata, the picture is still good
        _log.debug("EXIF ignored: %s", error)
        return 1
    return value if isinstance(value, int) else 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in _HIGH_BYTE_MODES or image.mode in ("I", "F"):
        return _grey_to_8_bit(image).convert("RGB")
    # Not a pixel of RGB depends on it, and Pillow warns when it meets transparency as bytes.
    image.info.pop("transparency", None)
    return _published_rgb(image)


def _published_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "La":  # the one mode of 8 bits from which Pillow has no way to RGB
        image = image.convert("LA")
    return image.convert("RGB")


def _grey_to_8_bit(image: Image.Image) -> Image.Image:
    import numpy as np

    values = np.asarray(image)
    if image.mode in _HIGH_BYTE_MODES:
        return Image.fromarray((values >> 8).astype(np.uint8))
    numbers = values[np.isfinite(values)]
    if not numbers.size:
        return Image.new("L", image.size)
    low, high = float(numbers.min()), float(numbers.max())
    if image.mode == "I" and low >= 0 and high <= _WORD_MAX:
        return Image.fromarray((values >> 8).astype(np.uint8))
    if image.mode == "F" and low >= 0 and high <= _BYTE_MAX:
        low, high = 0.0, 1.0 if high <= 1 else float(_BYTE_MAX)
    span = high - low if high > low else 1.0
    # Doubles, because the difference of two floats may exceed the largest float.
    scaled = (np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low) - low) * (_BYTE_MAX / span)
    return Image.fromarray(np.rint(scaled).astype(np.uint8))
