"""The processes that decode: what they load, and what becomes of a picture that hangs them or ends them."""

import asyncio
import contextlib
import io
import os
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from relsim.data import images
from relsim.data.download import decoding, worker
from relsim.data.download.bodies import Body
from relsim.data.download.decoding import DecodeError, Decoders
from relsim.data.records import Status

# A decoder that is as bad as its first byte says, in the place of the one that Pillow has for PPM.
BAD_CODEC = """
import os, signal, time
from PIL import PpmImagePlugin, Image

class Bad(PpmImagePlugin.PpmImageFile):
    def load(self):
        kind = self.info.get("bad") or open({place!r}).read()
        if kind == "hang":
            signal.pthread_sigmask(signal.SIG_BLOCK, [])
            while True: pass
        if kind == "stuck":
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
            while True: time.sleep(1)
        if kind == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "hungry":
            return [bytearray(2**28) for _ in range(100)]
        return super().load()

Image.init()
Image.register_open("PPM", Bad, PpmImagePlugin._accept)
"""


@pytest.fixture
def body(tmp_path):
    made = []

    def write(data):
        made.append(Body(tmp_path))
        for start in range(0, len(data), 65_536):
            made[-1].add(data[start : start + 65_536])
        made[-1].finish()
        return made[-1]

    yield write
    for one in made:
        one.close()


@pytest.fixture
def judged(quick):
    """Decodes bodies, one after the other in one pool; gives facts, or status and reason, and the processes' ids."""

    def run(*bodies, **options):
        async def all_of_them():
            found, pids = [], []
            async with Decoders(replace(quick, **options)) as pool:
                for one in bodies:
                    try:
                        found.append(await pool.decode(one))
                    except DecodeError as error:
                        found.append((error.status, error.reason))
                    pids.append([decoder._process.pid for decoder in pool._all])
            return found, pids

        return asyncio.run(all_of_them())

    return run


@pytest.fixture
def bad_codec(tmp_path, monkeypatch):
    """Makes the processes' decoder of PPM bad in the way that is written into the file that it gives."""
    place = tmp_path / "how"
    code = BAD_CODEC.format(place=str(place))
    monkeypatch.setattr(
        decoding,
        "_START_CODE",
        "import sys; sys.path[:] = {path!r}\n"
        + code.replace("{", "{{").replace("}", "}}")
        + "\nfrom relsim.data.download.worker import main; main()",
    )
    return place


PPM = b"P6 2 2 255\n" + bytes(range(12))


def test_they_load_neither_torch_nor_what_the_download_needs():
    code = (
        "import sys; from relsim.data.download import worker; worker._judge({'file': None, 'max_bytes': 9, "
        "'max_pixels': 9, 'reencode': None}, b'x'); "
        "print(sorted({'torch', 'pyarrow', 'aiohttp', 'asyncio', 'transformers'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_one_process_serves_many_pictures_from_memory_and_from_files(judged, body, made):
    small = made.picture(3)
    large = made.of_colour("red", (900, 900), "BMP")
    bodies = [body(small), body(large), body(b"no picture"), body(small)]
    assert bodies[1].path is not None
    found, pids = judged(*bodies)
    assert (found[0].facts, found[0].one_colour) == (found[3].facts, False)
    assert (found[1].facts.width, found[1].facts.format, found[1].one_colour) == (900, "BMP", True)
    assert found[2][0] is Status.NOT_IMAGE
    assert len({tuple(some) for some in pids}) == 1


def test_a_picture_that_hangs_its_process_is_given_up(judged, body, made, bad_codec):
    bad_codec.write_text("hang")
    found, pids = judged(body(PPM), body(made.picture(1)), decode_timeout=1)
    assert found[0] == (Status.TIMEOUT, "decoding it takes more than 1 s")
    assert found[1].facts.format == "JPEG"
    assert pids[0] == []
    assert len(pids[1]) == 1


def test_a_process_that_does_not_hear_its_alarm_is_killed(judged, body, made, bad_codec, monkeypatch):
    monkeypatch.setattr(decoding, "_GRACE", 0.5)
    bad_codec.write_text("stuck")
    found, _ = judged(body(PPM), body(made.picture(1)), decode_timeout=1)
    assert found[0][0] is Status.TIMEOUT
    assert found[1].facts.format == "JPEG"


def test_a_picture_that_ends_its_process_twice_is_damaged(judged, body, made, bad_codec):
    bad_codec.write_text("killed")
    found, _ = judged(body(PPM), body(made.picture(1)))
    assert found[0] == (Status.DAMAGED, "the process that decodes it dies (SIGKILL)")
    assert found[1].facts.format == "JPEG"


def test_memory_is_bounded_by_the_pixel_limit(judged, body, made, bad_codec):
    bad_codec.write_text("hungry")
    found, pids = judged(body(PPM), body(made.picture(1)), max_pixels=1_000_000)
    assert found[0][0] is Status.TOO_LARGE
    assert "memory" in found[0][1]
    assert pids[0] == pids[1]  # it has survived that


def test_a_process_that_is_killed_from_outside_costs_no_row(quick, body, made):
    async def main():
        async with Decoders(quick) as pool:
            first = await pool.decode(body(made.picture(1)))
            for decoder in pool._all:
                os.kill(decoder._process.pid, signal.SIGKILL)
            return first, await pool.decode(body(made.picture(1)))

    first, second = asyncio.run(main())
    assert first == second


def of_every_kind(made):
    """Pictures of many formats and modes: turned by EXIF, with a profile, transparent, deep, of several frames."""
    photo = Image.open(io.BytesIO(made.picture(5)))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    palette = photo.quantize(16)
    deep = Image.fromarray((np.arange(4096, dtype=np.uint16) * 16).reshape(64, 64))
    clear = photo.convert("RGBA")
    clear.putalpha(photo.convert("L"))
    return {
        "turned": encoded(photo, "JPEG", exif=exif, icc_profile=profile),
        "webp": encoded(clear, "WEBP", exif=exif, lossless=True),
        "cmyk": encoded(photo.convert("CMYK"), "JPEG"),
        "grey": encoded(photo.convert("L"), "JPEG"),
        "alpha": encoded(clear, "PNG", dpi=(72, 72)),
        "key": encoded(photo, "PNG", transparency=(0, 0, 0)),
        "palette": encoded(palette, "PNG", transparency=bytes(range(16))),
        "bits": encoded(photo.convert("1"), "PNG"),
        "deep": encoded(deep, "PNG"),
        "gif": encoded(palette, "GIF", save_all=True, append_images=[palette.rotate(90)], transparency=3),
        "tiff": encoded(photo.convert("LAB"), "TIFF", icc_profile=profile),
        "float": encoded(deep.convert("F"), "TIFF"),
        "bmp": encoded(photo, "BMP"),
    }


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def undated(png):
    """The file but for the second in which a colour profile was made: converting from LAB makes one each time."""
    image = Image.open(io.BytesIO(png))
    profile = image.info.get("icc_profile")
    if profile is None:
        return png
    when = slice(24, 36)  # of a profile's header, by its specification
    return image.tobytes(), image.size, profile[: when.start] + profile[when.stop :]


def test_the_published_png_comes_of_the_one_decoding(made, monkeypatch):
    """Byte for byte what Pillow's own opening, converting and saving gives, and facts as without it."""
    opened = []
    open_once = images._open
    monkeypatch.setattr(images, "_open", lambda data: opened.append(0) or open_once(data))
    told = {"file": None, "max_bytes": 2**20, "max_pixels": 10**6}
    warnings.simplefilter("ignore")  # as the processes do
    for name, data in of_every_kind(made).items():
        plain, nothing = worker._judge({**told, "reencode": None}, data)
        opened.clear()
        answer, payload = worker._judge({**told, "reencode": "png"}, data)
        assert (name, len(opened)) == (name, 1)
        assert (answer, nothing) == (plain, b"")
        assert undated(payload) == undated(encoded(Image.open(io.BytesIO(data)).convert("RGB"), "PNG")), name


def test_the_picture_itself_comes_as_it_would_be_decoded_here(quick, body, made):
    """Of every kind, from memory and from files, whole and made smaller; what is none raises as ever."""
    warnings.simplefilter("ignore")
    large = made.of_colour("red", (900, 900), "BMP")
    kinds = [*of_every_kind(made).values(), large]

    async def main():
        async with Decoders(quick) as pool:
            whole = [await pool.pixels(body(data)) for data in kinds]
            small = [await pool.pixels(Body.of(data), side=20) for data in kinds]
            with pytest.raises(DecodeError) as caught:
                await pool.pixels(Body.of(b"no picture"))
            return whole, small, caught.value.status

    whole, small, status = asyncio.run(main())
    assert status is Status.NOT_IMAGE
    for data, image, little in zip(kinds, whole, small, strict=True):
        own = images.decode_image(data)
        assert image == own
        own.thumbnail((20, 20), Image.Resampling.LANCZOS)
        assert little == own


def test_they_end_when_the_download_is_killed(web, ca_file, tmp_path):
    from relsim.data.manifest import ManifestRow, write_manifest

    write_manifest(
        tmp_path / "list.jsonl",
        [ManifestRow("a", f"{web.https}/ok/1.jpg"), ManifestRow("b", f"{web.https}/slow/1?s=30")],
    )
    command = [sys.executable, "-m", "relsim", "download", tmp_path / "list.jsonl", "-o", tmp_path / "out"]
    with subprocess.Popen([*command, "--allow-private", "--ca-file", ca_file, "--decoders", "1"]) as process:
        children = wait_for(lambda: children_of(process.pid), 60)
        process.kill()
    assert wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), 30)


def children_of(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return []


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found
