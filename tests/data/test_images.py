"""Decoding: every kind of file gives the documented RGB image or one of the documented failures."""

import io
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from relsim.data.images import Limits, decode_image, load_image, preprocess_image, read_image
from relsim.data.records import Failure, ImageRecord, LoadedImage, Status
from relsim.errors import ImageError

FORMATS = {
    "png": {"format": "PNG"},
    "jpg": {"format": "JPEG", "quality": 90},
    "progressive jpg": {"format": "JPEG", "progressive": True},
    "webp": {"format": "WEBP"},
    "lossless webp": {"format": "WEBP", "lossless": True},
    "gif": {"format": "GIF"},
    "bmp": {"format": "BMP"},
    "tiff": {"format": "TIFF"},
    "lzw tiff": {"format": "TIFF", "compression": "tiff_lzw"},
    "jp2": {"format": "JPEG2000"},
    "ppm": {"format": "PPM"},
    "avif": {"format": "AVIF"},
}


def encoded(image, **options) -> bytes:
    if not Image.registered_extensions() or options["format"] not in Image.SAVE:
        pytest.skip(f"this Pillow cannot write {options['format']}")
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 0) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


def record(path) -> ImageRecord:
    return ImageRecord("it", str(path))


def stored(folder: Path, data: bytes) -> ImageRecord:
    path = folder / "file.bin"
    path.write_bytes(data)
    return record(path)


def failure(item: ImageRecord, **limits) -> tuple[Status, str]:
    result = load_image(item, limits=Limits(**limits))
    assert isinstance(result, Failure)
    assert result.record is item
    assert "\n" not in result.reason
    assert "0x" not in result.reason
    assert len(result.reason) < 200
    return result.status, result.reason


def pixels(image) -> np.ndarray:
    return np.asarray(image)


class TestModes:
    """What becomes RGB, and how."""

    @pytest.mark.parametrize("options", FORMATS.values(), ids=FORMATS.keys())
    def test_each_format_equals_pillows_own_rgb(self, photo, options):
        data = encoded(photo, **options)
        expected = Image.open(io.BytesIO(data)).convert("RGB")
        image = decode_image(data)
        assert image.mode == "RGB"
        assert (pixels(image) == pixels(expected)).all()

    @pytest.mark.parametrize(
        ("mode", "format_name"),
        [
            ("1", "PNG"),
            ("L", "PNG"),
            ("LA", "PNG"),
            ("P", "PNG"),
            ("RGBA", "PNG"),
            ("RGBA", "WEBP"),
            ("PA", "TIFF"),
            ("CMYK", "JPEG"),
            ("CMYK", "TIFF"),
            ("YCbCr", "TIFF"),
            ("LAB", "TIFF"),
        ],
    )
    def test_modes_of_8_bits_go_through_convert(self, photo, mode, format_name):
        if mode == "PA":
            image = Image.merge("PA", (photo.convert("L"), photo.convert("L")))
        elif mode == "LAB":
            image = Image.merge("LAB", photo.split())
        else:
            image = photo.convert(mode)
            if "A" in mode:
                image.putalpha(photo.getchannel("R"))
        try:
            data = encoded(image, format=format_name)
        except OSError:
            pytest.skip(f"Pillow does not write {mode} as {format_name}")
        expected = Image.open(io.BytesIO(data)).convert("RGB")
        assert (pixels(decode_image(data)) == pixels(expected)).all()

    def test_alpha_is_dropped_and_not_blended(self):
        data = encoded(Image.new("RGBA", (3, 2), (10, 20, 30, 0)), format="PNG")
        assert (pixels(decode_image(data)) == (10, 20, 30)).all()

    @pytest.mark.parametrize("transparency", [b"\x00\x80\xff", 1])
    def test_a_transparent_palette_keeps_its_colours(self, transparency):
        image = Image.new("P", (3, 1))
        image.putpalette([1, 2, 3, 40, 50, 60, 200, 201, 202])
        image.putdata([0, 1, 2])
        data = encoded(image, format="PNG", transparency=transparency)
        assert pixels(decode_image(data)).tolist() == [[[1, 2, 3], [40, 50, 60], [200, 201, 202]]]

    @pytest.mark.parametrize("format_name", ["PNG", "TIFF"])
    def test_16_bit_grey_keeps_its_high_byte(self, format_name):
        values = np.array([[0, 255, 256, 0x1234, 0x8000, 0xFFFF]], dtype=np.uint16)
        image = decode_image(encoded(Image.fromarray(values), format=format_name))
        assert pixels(image)[0, :, 0].tolist() == [0, 0, 1, 0x12, 0x80, 0xFF]

    def test_16_bit_grey_and_16_bit_colour_of_one_picture_agree(self):
        values = np.arange(0, 65_536, 257, dtype=">u2").reshape(16, 16) + 100
        grey = b"".join(b"\0" + row.tobytes() for row in values)
        colour = b"".join(b"\0" + np.repeat(row, 3).tobytes() for row in values)
        as_grey = decode_image(png(16, 16, chunk(b"IDAT", zlib.compress(grey)), depth=16, colour=0))
        as_colour = decode_image(png(16, 16, chunk(b"IDAT", zlib.compress(colour)), depth=16, colour=2))
        assert (pixels(as_grey) == pixels(as_colour)).all()

    def test_big_endian_16_bit_tiff_is_not_read_backwards(self):
        values = np.array([[0x0100, 0xFE00]], dtype=np.uint16)
        data = encoded(Image.frombytes("I;16B", (2, 1), values.astype(">u2").tobytes()), format="TIFF")
        assert pixels(decode_image(data))[0, :, 0].tolist() == [0x01, 0xFE]

    def test_32_bit_integers_within_16_bits_keep_their_high_byte(self):
        values = np.array([[0, 0x1234, 0xFFFF]], dtype=np.int32)
        assert pixels(decode_image(encoded(Image.fromarray(values), format="TIFF")))[0, :, 0].tolist() == [
            0,
            0x12,
            0xFF,
        ]

    def test_other_32_bit_integers_are_stretched(self):
        values = np.array([[-100_000, 0, 100_000]], dtype=np.int32)
        assert pixels(decode_image(encoded(Image.fromarray(values), format="TIFF")))[0, :, 0].tolist() == [0, 128, 255]

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ([0.0, 0.2, 1.0], [0, 51, 255]),
            ([0.0, 99.6, 200.0], [0, 100, 200]),
            ([-1.0, 0.0, 1.0], [0, 128, 255]),
            ([0.0, 500.0, 1000.0], [0, 128, 255]),
            ([np.nan, 0.5, np.inf], [0, 128, 255]),
            ([-3e38, 0.0, 3e38], [0, 128, 255]),
            ([np.nan, np.nan, np.nan], [0, 0, 0]),
            ([7e3, 7e3, 7e3], [0, 0, 0]),
        ],
    )
    def test_floats_are_scaled_and_not_clipped(self, values, expected):
        data = encoded(Image.fromarray(np.array([values], dtype=np.float32)), format="TIFF")
        assert pixels(decode_image(data))[0, :, 0].tolist() == expected

    @pytest.mark.parametrize("size", [(1, 1), (400, 10), (10, 400), (1, 3000)])
    def test_any_shape_is_fine_here(self, size):
        assert decode_image(encoded(Image.new("RGB", size), format="PNG")).size == size

    @pytest.mark.parametrize("format_name", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
    def test_the_first_picture_of_several_is_taken(self, format_name):
        pages = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
        data = encoded(pages[0], format=format_name, save_all=True, append_images=pages[1:])
        assert np.abs(pixels(decode_image(data)).astype(int) - (255, 0, 0)).max() <= 8

    def test_the_golden_files_equal_pillows_rgb(self, golden_images):
        for path in golden_images:
            with Image.open(path) as image:
                expected = image.convert("RGB")
            assert (pixels(read_image(record(path)).image) == pixels(expected)).all(), path.name


class TestOrientation:
    """EXIF rotation is applied once, and never in the way."""

    @pytest.mark.parametrize("orientation", range(10))
    @pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "TIFF"])
    def test_the_image_is_turned_as_pillow_would(self, photo, format_name, orientation):
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = encoded(photo, format=format_name, exif=exif)
        expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
        image = decode_image(data)
        assert image.size == expected.size
        assert (pixels(image) == pixels(expected)).all()
        assert 0x0112 not in image.getexif()

    @pytest.mark.filterwarnings("ignore")
    @pytest.mark.parametrize(
        "exif", [b"Exif\0\0", b"Exif\0\0rubbish", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\x09"]
    )
    def test_broken_exif_is_ignored(self, photo, exif):
        data = encoded(photo, format="JPEG")
        broken = data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]
        assert (pixels(decode_image(broken)) == pixels(decode_image(data))).all()

    @pytest.mark.filterwarnings("ignore")
    @pytest.mark.parametrize(("kind", "value"), [(2, b"six\0"), (3, b"\0\6\0\6"), (11, struct.pack(">f", 6.0))])
    def test_an_orientation_of_another_type_does_no_harm(self, photo, kind, value):
        entry = struct.pack(">HHI", 0x0112, kind, 2 if kind == 3 else 1) + value
        exif = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", 1) + entry + bytes(4)
        assert set(decode_image(encoded(photo, format="PNG", exif=exif)).size) == {96, 64}


class TestBadFiles:
    """Each failure is caused by a real file."""

    @pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
    @pytest.mark.parametrize(
        "name", ["png", "jpg", "progressive jpg", "webp", "gif", "bmp", "tiff", "lzw tiff", "jp2", "ppm", "avif"]
    )
    def test_truncated(self, tmp_path, photo, name, part):
        data = encoded(photo, **FORMATS[name])
        status, reason = failure(stored(tmp_path, data[: int(len(data) * part)]))
        assert status is Status.TRUNCATED
        assert "ends before its data does" in reason

    @pytest.mark.parametrize("name", ["png", "webp"])
    def test_truncated_with_both_lengths(self, tmp_path, photo, name):
        data = encoded(photo, **FORMATS[name])
        _, reason = failure(stored(tmp_path, data[:1204]))
        assert reason.startswith(f"{name.upper()} ends before its data does (1,204 of at least ")

    def test_empty(self, tmp_path):
        assert failure(stored(tmp_path, b"")) == (Status.EMPTY, "the file is empty")

    @pytest.mark.parametrize(
        "data",
        [
            b"hello, world\n",
            b"<!DOCTYPE html><html><body>403</body></html>",
            b"P",
            b"\0" * 5000,
            b"%PDF-1.7\n",
            b"\x89PN",
        ],
    )
    def test_not_an_image(self, tmp_path, data):
        assert failure(stored(tmp_path, data))[0] is Status.NOT_IMAGE

    def test_a_file_that_would_start_another_program_is_not_decoded(self, tmp_path):
        postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
        assert failure(stored(tmp_path, postscript))[0] is Status.NOT_IMAGE

    def test_damaged_data(self, tmp_path):
        wrong = chunk(b"IDAT", b"this is not a deflate stream at all" * 4)
        status, reason = failure(stored(tmp_path, png(50, 50, wrong)))
        assert (status, reason) == (Status.DAMAGED, "PNG cannot be decoded: its data is damaged")

    def test_a_bomb_by_its_header(self, tmp_path):
        item = stored(tmp_path, png(60_000, 60_000, chunk(b"IDAT", zlib.compress(b"\0" * 1000))))
        status, reason = failure(item)
        assert status is Status.TOO_LARGE
        assert reason == "60,000 x 60,000 pixels, more than the limit of 178,956,970"

    @pytest.mark.parametrize(("side", "ok"), [(100, True), (101, False)])
    def test_the_limit_itself_is_allowed(self, tmp_path, side, ok):
        item = stored(tmp_path, encoded(Image.new("L", (100, side)), format="PNG"))
        assert isinstance(load_image(item, limits=Limits(max_pixels=10_000)), LoadedImage) is ok

    def test_a_bomb_by_its_data_costs_no_memory(self, tmp_path):
        """A 4 x 4 PNG whose data would inflate to 300 MB is read in a process that may use 150 MB more than it has."""
        pack = zlib.compressobj(6)
        block = bytes(2**20)
        data = b"".join(pack.compress(block) for _ in range(300)) + pack.flush()
        item = stored(tmp_path, png(4, 4, chunk(b"IDAT", data)))
        program = (
            "import resource, sys\n"
            "from relsim.data.images import read_image\n"
            "from relsim.data.records import ImageRecord\n"
            "pages = int(open('/proc/self/statm').read().split()[0])\n"
            "most = pages * resource.getpagesize() + 150 * 2**20\n"
            "resource.setrlimit(resource.RLIMIT_AS, (most, most))\n"
            "print(read_image(ImageRecord('it', sys.argv[1])).image.size)\n"
        )
        done = subprocess.run([sys.executable, "-c", program, item.source], capture_output=True, text=True, check=False)
        assert done.stdout == "(4, 4)\n", done.stderr

    @pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
    def test_a_bomb_in_the_text(self, tmp_path, kind):
        text = chunk(kind, b"name\0\0" + zlib.compress(bytes(50 * 2**20)))
        item = stored(tmp_path, png(1, 1, text, chunk(b"IDAT", zlib.compress(b"\0\0"))))
        status, reason = failure(item)
        assert status is Status.TOO_LARGE
        assert reason == "PNG has text or a colour profile that unpacks beyond the limit"

    def test_too_many_bytes_are_refused_before_they_are_read(self, tmp_path):
        path = tmp_path / "sparse.png"
        with path.open("wb") as file:
            file.truncate(2**40)
        status, reason = failure(record(path))
        assert status is Status.TOO_LARGE
        assert reason == "a file of 1,099,511,627,776 bytes, more than the limit of 536,870,912"

    def test_missing(self, tmp_path):
        assert failure(record(tmp_path / "none.png")) == (Status.MISSING, "no such file")

    def test_below_a_file(self, tmp_path, photo):
        photo.save(tmp_path / "a.png")
        assert failure(record(tmp_path / "a.png" / "b.png")) == (Status.MISSING, "no such file")

    def test_a_nul_byte_in_the_path(self):
        assert failure(record("a\0b.png"))[0] is Status.MISSING

    def test_broken_link(self, tmp_path):
        (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
        assert failure(record(tmp_path / "link.png")) == (Status.MISSING, "a link that leads nowhere")

    def test_link_loop(self, tmp_path):
        (tmp_path / "a.png").symlink_to(tmp_path / "b.png")
        (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
        assert failure(record(tmp_path / "a.png")) == (Status.MISSING, "a link that leads back to itself")

    def test_directory(self, tmp_path):
        assert failure(record(tmp_path)) == (Status.DIRECTORY, "a folder, not an image file")

    def test_a_pipe_does_not_block(self, tmp_path):
        os.mkfifo(tmp_path / "pipe.png")
        assert failure(record(tmp_path / "pipe.png")) == (Status.UNREADABLE, "a pipe, not a regular file")

    def test_a_pipe_that_takes_the_place_of_a_file_does_not_block(self, tmp_path, photo):
        path, pipe = tmp_path / "it.png", tmp_path / "pipe"
        until = time.monotonic() + 1

        def swap():
            while time.monotonic() < until:
                photo.save(tmp_path / "new.png")
                (tmp_path / "new.png").replace(path)
                os.mkfifo(pipe)
                pipe.replace(path)

        photo.save(path)
        thread = threading.Thread(target=swap)
        thread.start()
        statuses = set()
        while thread.is_alive():
            result = load_image(record(path))
            statuses.add(result.status if isinstance(result, Failure) else Status.OK)
        assert statuses <= {Status.OK, Status.UNREADABLE}

    def test_a_socket(self, tmp_path):
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(str(tmp_path / "s.png"))
            assert failure(record(tmp_path / "s.png")) == (Status.UNREADABLE, "a socket, not a regular file")

    @pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
    def test_a_device(self, device):
        assert failure(record(device)) == (Status.UNREADABLE, "a device, not a regular file")

    def test_permission_denied(self, public_folder, as_nobody, photo):
        path = public_folder / "secret.png"
        photo.save(path)
        path.chmod(0)
        with as_nobody():
            assert failure(record(path)) == (Status.UNREADABLE, "permission denied")

    def test_a_name_that_is_not_utf8(self, tmp_path, photo):
        path = os.fsencode(tmp_path) + b"/caf\xe9.png"
        Path(os.fsdecode(path)).write_bytes(encoded(photo, format="PNG"))
        assert load_image(record(os.fsdecode(path))).image.size == photo.size


class TestManyAtOnce:
    def test_threads_get_what_one_thread_gets(self, tmp_path, photo):
        paths = []
        for number, (name, options) in enumerate(FORMATS.items()):
            path = tmp_path / f"{number}-{name}"
            path.write_bytes(encoded(photo, **options))
            paths.append(path)
        alone = [pixels(read_image(record(path)).image) for path in paths]
        with ThreadPoolExecutor(8) as pool:
            together = pool.map(lambda path: pixels(read_image(record(path)).image), paths * 10)
            for place, image in enumerate(together):
                assert (image == alone[place % len(paths)]).all()

    def test_no_file_stays_open(self, tmp_path, photo):
        good = stored(tmp_path, encoded(photo, format="TIFF", compression="tiff_lzw"))
        bad = record(tmp_path / "bad.png")
        Path(bad.source).write_bytes(encoded(photo, format="PNG")[:500])
        load_image(good)
        before = list(Path("/proc/self/fd").iterdir())
        kept = [load_image(item) for item in (good, bad) * 20]
        assert len(list(Path("/proc/self/fd").iterdir())) == len(before)
        assert len(kept) == 40

    @pytest.mark.filterwarnings("ignore")
    @pytest.mark.parametrize("name", FORMATS)
    def test_any_damage_gives_an_image_or_a_failure(self, tmp_path, photo, name):
        """60 damaged files a format: cut anywhere, with bytes flipped, or with a stretch zeroed or repeated."""
        data = encoded(photo, **FORMATS[name])
        rng = np.random.default_rng(len(name))
        seen = set()
        for _ in range(60):
            broken = bytearray(data)
            # Half of the damage goes to the head, where the structure is.
            reach = len(broken) if rng.random() < 0.5 else min(200, len(broken))
            kind = rng.integers(4)
            place = int(rng.integers(reach))
            if kind == 0:
                del broken[place:]
            elif kind == 1:
                for _ in range(int(rng.integers(1, 20))):
                    broken[int(rng.integers(reach))] = int(rng.integers(256))
            elif kind == 2:
                broken[place : place + 50] = bytes(len(broken[place : place + 50]))
            else:
                broken[place:place] = broken[: int(rng.integers(100))]
            item = stored(tmp_path, bytes(broken))
            result = load_image(item, limits=Limits(max_pixels=1_000_000))
            if isinstance(result, Failure):
                assert failure(item, max_pixels=1_000_000) == (result.status, result.reason)
                seen.add(result.status)
            else:
                assert result.image.mode == "RGB"
        assert seen <= {Status.TRUNCATED, Status.DAMAGED, Status.NOT_IMAGE, Status.TOO_LARGE, Status.EMPTY}


class TestPreprocess:
    """The published `preprocess`."""

    def test_one_image_gives_one_image(self):
        image = preprocess_image(Image.new("RGBA", (4, 2), (1, 2, 3, 0)))
        assert (image.mode, image.size, image.getpixel((0, 0))) == ("RGB", (4, 2), (1, 2, 3))

    @pytest.mark.parametrize("kind", [list, tuple])
    def test_a_list_gives_a_list(self, kind):
        images = preprocess_image(kind([Image.new("L", (4, 2)), Image.new("CMYK", (3, 3))]))
        assert isinstance(images, list)
        assert [(image.mode, image.size) for image in images] == [("RGB", (4, 2)), ("RGB", (3, 3))]

    def test_no_image_gives_no_image(self):
        assert preprocess_image([]) == []

    @pytest.mark.parametrize("wrong", ["a.png", None, b"", 7, np.zeros((2, 2, 3)), {"image": 1}])
    def test_anything_else_is_a_type_error(self, wrong):
        with pytest.raises(TypeError, match="preprocess takes a PIL image or a list of them, not "):
            preprocess_image(wrong)
        with pytest.raises(TypeError, match="item 1 of the list is "):
            preprocess_image([Image.new("L", (1, 1)), wrong])

    def test_exif_is_not_applied(self, photo):
        exif = Image.Exif()
        exif[0x0112] = 6
        opened = Image.open(io.BytesIO(encoded(photo, format="PNG", exif=exif)))
        assert (pixels(preprocess_image(opened)) == pixels(photo)).all()

    @pytest.mark.parametrize(
        "mode", ["1", "L", "P", "LA", "PA", "La", "RGBa", "RGBX", "YCbCr", "LAB", "HSV", "I;16", "I", "F"]
    )
    def test_every_mode_of_pillow_is_taken(self, mode):
        assert preprocess_image(Image.new(mode, (2, 2))).mode == "RGB"

    def test_a_broken_file_opened_by_the_user_is_an_image_error(self, photo):
        opened = Image.open(io.BytesIO(encoded(photo, format="PNG")[:2000]))
        with pytest.raises(ImageError, match="ends before its data does") as caught:
            preprocess_image(opened)
        assert caught.value.status is Status.TRUNCATED
