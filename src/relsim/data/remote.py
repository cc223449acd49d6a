"""Bytes at addresses such as `s3://bucket/photos/1.jpg`, `gs://…` and `hf://datasets/…`, by fsspec.

An address stands where the path of a file or of a folder may stand: for images, shards, manifests and lists. What is
written is written to this machine. Addresses of the web (`http`, `https`, `ftp`) are none of these: `relsim download`
fetches them, with its limits and its account of every row.

fsspec comes with huggingface_hub. The package that speaks to a store (`s3fs` for S3, `gcsfs` for Google's) is an extra,
and takes its keys from where that package looks for them. All functions are thread-safe.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from relsim.data.identity import printable
from relsim.data.records import Status
from relsim.errors import ImageError, MissingExtraError, RelsimError, SourceError

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_WEB = frozenset({"http", "https", "ftp", "sftp", "data"})
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}


def is_remote(source: str) -> bool:
    """Whether a name is an address that is read by fsspec."""
    found = _ADDRESS.match(source)
    return found is not None and found[1].lower() not in _WEB


def join(folder: str, name: str) -> str:
    """The address of a name below a folder."""
    return f"{folder.rstrip('/')}/{name}"


def parent(address: str) -> str:
    """The address of the folder that something lies in."""
    return address.rstrip("/").rpartition("/")[0]


def read_image_bytes(address: str, *, max_bytes: int) -> bytes:
    """The bytes of an image file, in one request. Raises `ImageError`, and `RelsimError` where no package reads it."""
    files, path = _file_system(address)
    try:
        data: bytes = files.cat_file(path, start=0, end=max_bytes + 1)
    except Exception as error:
        if _is_empty(files, path):  # a store may refuse to give a range of nothing
            return b""
        raise _image_error(error) from error
    if len(data) > max_bytes:
        raise ImageError(Status.TOO_LARGE, f"a file of more than the limit of {max_bytes:,} bytes")
    return data


def read_range(address: str, size: int, offset: int) -> bytes:
    """So many bytes from a place of a file on. Raises OSError, as reading a file here does."""
    files, path = _file_system(address)
    with _as_os_error():
        data: bytes = files.cat_file(path, start=offset, end=offset + size)
        return data


def read_all(address: str) -> bytes:
    """A whole file. Raises `SourceError`."""
    files, path = _file_system(address)
    try:
        data: bytes = files.cat_file(path)
    except Exception as error:
        raise SourceError(f"cannot read {printable(address)}: {_reason(error)}") from error
    return data


@contextlib.contextmanager
def opened(source: str) -> Iterator[Any]:
    """What pyarrow opens: a file at an address, or the path of a file here. Raises OSError."""
    if not is_remote(source):
        yield source
        return
    files, path = _file_system(source)
    with _as_os_error():
        # Parquet is read in pieces that lie apart: to read on, as stores do by default, would fetch all of it.
        file = files.open(path, "rb", cache_type="none")
    with file:
        yield file


def kind_of(address: str) -> str | None:
    """What is there: `file`, `directory`, or None. Raises `SourceError` where the store refuses to say."""
    files, path = _file_system(address)
    try:
        return "file" if files.info(path)["type"] == "file" else "directory"
    except FileNotFoundError:
        return None
    except Exception as error:
        raise SourceError(f"cannot look at {printable(address)}: {_reason(error)}") from error


def names_below(folder: str, *, recursive: bool = True) -> list[str]:
    """Names of all files below a folder, relative to it, in the store's order. Raises `SourceError`."""
    files, path = _file_system(folder)
    try:
        found = files.find(path, maxdepth=None if recursive else 1)
    except FileNotFoundError:
        return []
    except Exception as error:
        raise SourceError(f"cannot list {printable(folder)}: {_reason(error)}") from error
    start = path.rstrip("/") + "/"
    return [name[len(start) :] for name in found if name.startswith(start)]


def _file_system(address: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    scheme = address.partition("://")[0].lower()
    try:
        files, path = url_to_fs(address)
    except ImportError as error:
        package = _PACKAGES.get(scheme)
        if package in ("s3fs", "gcsfs"):
            raise MissingExtraError(package, "remote", f"reading {scheme}://") from error
        wanted = f"pip install {package}" if package else str(error).rstrip(".")
        raise SourceError(f"reading {scheme}:// needs a package that is not there: {wanted}") from error
    except Exception as error:
        raise SourceError(f"{printable(address)} cannot be read: {_reason(error)}") from error
    return files, str(path)


def _is_empty(files: Any, path: str) -> bool:
    try:
        return bool(files.info(path)["size"] == 0 and files.info(path)["type"] == "file")
    except Exception:  # noqa: BLE001 - then it is not known to be empty, and the first error counts
        return False


@contextlib.contextmanager
def _as_os_error() -> Iterator[None]:
    """Stores raise errors of their own kinds; readers of files know OSError."""
    try:
        yield
    except (OSError, RelsimError):
        raise
    except Exception as error:
        raise OSError(None, _reason(error)) from error


def _image_error(error: Exception) -> ImageError:
    if isinstance(error, FileNotFoundError):
        return ImageError(Status.MISSING, "no such file")
    if isinstance(error, IsADirectoryError):
        return ImageError(Status.DIRECTORY, "a folder, not an image file")
    return ImageError(Status.UNREADABLE, _reason(error))


def _reason(error: BaseException) -> str:
    text = (getattr(error, "strerror", None) or str(error)).strip().partition("\n")[0]
    return text.rstrip(".") or type(error).__name__
