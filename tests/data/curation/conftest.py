"""A collection with one of everything: images alike and equal, failures, repeats, captions and groups."""

import io

import numpy as np
import pytest
from PIL import Image

from relsim.data.records import Status
from relsim.data.shard_writing import ShardWriter


def picture(seed, size=(48, 36), *, grain=0.0):
    """A smooth random picture; a little grain changes its bytes and hardly its looks."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    pixels = np.asarray(small.resize(size, Image.Resampling.BICUBIC), np.float64)
    noise = np.random.default_rng(seed + 1).normal(0, 1, pixels.shape) * grain
    return Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))


def encoded(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.fixture(scope="session")
def images():
    """Bytes by id. `a`, `a2` are the same bytes; `a_small`, `a_jpeg` look like them; `b` and `c` are others."""
    a = picture(1, (96, 72))
    return {
        "a": encoded(a),
        "a2": encoded(a),
        "a_small": encoded(a.resize((64, 48), Image.Resampling.LANCZOS)),
        "a_jpeg": encoded(a, "JPEG", quality=80),
        "b": encoded(picture(2), "WEBP", lossless=True),
        "c": encoded(picture(3), "GIF"),
    }


CLEANED = {"caption_clean": "A {Thing} inside a {Thing}", "url_clean": "https://one.org/a.png?x=1&y=2"}
ROWS = (
    ("a", "https://one.org/a.png?x=1&amp;y=2", '"A {Thing} inside a {Thing}"', CLEANED),
    ("gone", "https://two.org/gone.png", "A {Thing} that left", {}),
    ("a2", "https://one.org/a2.png", "a  {thing} inside a {THING}", {}),
    ("a_small", "https://two.org/small.png", "Something small", {}),
    ("slow", "https://two.org/slow.png", None, {"group": 7}),
    ("a_jpeg", "https://one.org/a.jpg", None, {"group": 7}),
    ("b", "https://three.org:8080/b.webp", "", {"group": 7}),
    ("c", None, "A {Cat} and a {Dog}", {"note": [1]}),
    ("b", "https://three.org/again.webp", "A second row of the id b", {}),
)  # fmt: skip
FAILED = {"gone": (Status.DEAD, 404), "slow": (Status.TIMEOUT, None)}


@pytest.fixture(scope="session")
def shard_rows(images, shard_row):
    """The rows in the order of their list; the second row of the id `b` has no image."""
    rows = []
    for number, (name, url, caption, extra) in enumerate(ROWS):
        again = (Status.BLOCKED, 403) if number == len(ROWS) - 1 else None
        data, code = again or FAILED.get(name) or (images[name], 200)
        listed = {"url_link": url, "caption": caption, "extra": extra, "http_code": code}
        rows.append(shard_row(number, name, data, **listed))
    return rows


@pytest.fixture(scope="session")
def write_shards():
    """`write_shards(folder, rows)` makes a shard folder of parts with four rows each."""

    def write(folder, rows, **options):
        with ShardWriter(folder, part_rows=4, **options) as writer:
            for row in rows:
                writer.append(row)
        return folder

    return write


@pytest.fixture
def shards(tmp_path, shard_rows, write_shards):
    """A shard folder of all rows."""
    return write_shards(tmp_path / "shards", shard_rows, origin={"name": "list.jsonl", "sha256": "0" * 64})


@pytest.fixture
def folder(tmp_path, images):
    """The images as files in a folder, one in a folder of its own, and one that is no image."""
    place = tmp_path / "folder"
    (place / "sub").mkdir(parents=True)
    for name, data in images.items():
        (place / ("sub" if name == "c" else "") / f"{name}.png").write_bytes(data)
    (place / "bad.png").write_text("no picture")
    return place
