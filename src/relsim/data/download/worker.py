"""A process that decodes what was downloaded, so that a picture made to hang or to burst takes nothing else along.

It is started by `relsim.data.download.decoding` and speaks over its standard input and output in frames: a length (4
bytes, little-endian), JSON of that length, and the bytes whose number the JSON gives as `size`. A request names limits
and either brings the body or says in which `file` it is; the answer has the facts of the picture, or a status and a
reason. Where `pixels` is asked for, the answer is the picture itself instead, its size and 3 bytes a pixel, the longest
side at most `side`. The end of the input ends the process.

It ends itself as well: at the alarm that is set for each picture (SIGALRM, which also ends a decoder that never comes
back to Python), and when it needs more memory than a picture of the pixel limit can need.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import struct
import sys
import warnings
from pathlib import Path
from typing import Any, BinaryIO

LENGTH = struct.Struct("<I")
_BYTES_A_PIXEL = 24  # decoded, converted and turned, 4 bytes each or 8 for the widest modes; and a decoder's own
_SLACK = 256 * 2**20
_FLAT = ("8000000000000000", "0000000000000000")  # see relsim.data.facts.perceptual_hash


def main() -> None:
    """Answer requests until there are none."""
    from PIL import Image, ImageFile

    from relsim.data.images import decode_image  # noqa: F401 - loaded before memory is bounded

    Image.init()
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    warnings.simplefilter("ignore")
    base = _address_space()
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    # What a library prints must not get between the answers.
    sys.stdout = sys.stderr
    send(answers, {"ready": True}, b"")
    try:
        while (request := receive(requests)) is not None:
            told, data = request
            _bound_memory(base, told["max_pixels"], told["max_bytes"])
            signal.setitimer(signal.ITIMER_REAL, told["seconds"])
            answer, payload = _judge(told, data)
            signal.setitimer(signal.ITIMER_REAL, 0)
            send(answers, answer, payload)
    except BrokenPipeError:  # the download was killed
        os._exit(0)


def send(stream: BinaryIO, told: dict[str, Any], data: bytes) -> None:
    """Write one frame."""
    text = json.dumps(told | {"size": len(data)}).encode()
    stream.write(LENGTH.pack(len(text)) + text)
    stream.write(data)
    stream.flush()


def receive(stream: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """Read one frame, None at the end of the stream, be it within a frame."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    text = stream.read(length)
    if len(text) < length:
        return None
    told = json.loads(text)
    data = stream.read(told["size"])
    return (told, data) if len(data) == told["size"] else None


def _judge(told: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    from relsim.data.facts import perceptual_hash
    from relsim.data.images import Limits, decode_with_format, decode_with_published
    from relsim.errors import ImageError

    try:
        if told["file"] is not None:
            data = Path(told["file"]).read_bytes()
        limits = Limits(max_bytes=told["max_bytes"], max_pixels=told["max_pixels"])
        if told.get("pixels"):
            return _pixels(decode_with_format(data, limits=limits)[0], told["side"])
        if told["reencode"] == "png":
            image, format_name, payload = decode_with_published(data, limits=limits)
        else:
            (image, format_name), payload = decode_with_format(data, limits=limits), b""
        facts = {
            "width": image.width,
            "height": image.height,
            "format": format_name,
            "sha256": hashlib.sha256(data).hexdigest(),
            "phash": perceptual_hash(image),
        }
        # A picture of one colour has one of these hashes; the pixels are looked at only then.
        one_colour = facts["phash"] in _FLAT and all(low == high for low, high in _extrema(image))
    except ImageError as error:
        return {"status": str(getattr(error.status, "value", error.status)), "reason": error.reason}, b""
    except MemoryError:
        return {"status": "too_large", "reason": "the picture does not fit in memory"}, b""
    return {"facts": facts, "one_colour": one_colour}, payload


def _pixels(image: Any, side: int | None) -> tuple[dict[str, Any], bytes]:
    """An RGB picture as its size and bytes, made smaller where a longest side is given."""
    from PIL import Image

    if side is not None:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return {"width": image.width, "height": image.height}, image.tobytes()


def _extrema(image: Any) -> tuple[tuple[int, int], ...]:
    """Lowest and highest value of each channel of an RGB image."""
    return tuple(image.getextrema())


def _bound_memory(base: int, max_pixels: int, max_bytes: int) -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        most = base + max_pixels * _BYTES_A_PIXEL + 3 * max_bytes + _SLACK
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def _address_space() -> int:
    """Bytes of address space that this process has by now, 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * 4096
    except (OSError, ValueError):
        return 0
