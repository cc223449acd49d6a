"""How many requests, and how many bytes, a store is asked for: each costs money and a journey."""

import hashlib
import os
import signal
import threading
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from relsim.data import images, shard_parts
from relsim.data.images import read_bytes
from relsim.data.manifest import ManifestRow
from relsim.data.records import Failure, ImageRecord, Status
from relsim.data.shard_rows import ShardRow
from relsim.data.shard_writing import ShardWriter
from relsim.data.sources import list_images
from relsim.distributed import pictures

fsspec = pytest.importorskip("fsspec")
spec = pytest.importorskip("fsspec.spec")

IMAGES, IMAGE_BYTES = 400, 20_000


class CountingFile(spec.AbstractBufferedFile):
    """Reads ahead as s3fs does unless it is told not to."""

    DEFAULT_BLOCK_SIZE = 50 * 2**20

    def _fetch_range(self, start, end):
        return self.fs.fetch(self.path, start, end)


class CountingStore(spec.AbstractFileSystem):
    """A folder as a store: every range of bytes that is asked for is noted, and takes `delay` seconds."""

    protocol = "counted"
    cachable = False
    asked: ClassVar[list] = []
    delay = 0.0
    at_once = most_at_once = 0
    lock = threading.Lock()

    def fetch(self, path, start, end):
        with self.lock:
            CountingStore.at_once += 1
            CountingStore.most_at_once = max(self.at_once, self.most_at_once)
        time.sleep(self.delay)
        data = Path(path).read_bytes()[start:end]
        with self.lock:
            CountingStore.at_once -= 1
            self.asked.append(len(data))
        return data

    @classmethod
    def _strip_protocol(cls, path):
        return path.partition("://")[2] or path

    def info(self, path, **_):
        place = Path(path)
        if not place.exists():
            raise FileNotFoundError(path)
        return {"name": path, "size": place.stat().st_size, "type": "directory" if place.is_dir() else "file"}

    def ls(self, path, detail=True, **_):  # noqa: FBT002 - the name and place that fsspec gives it
        found = [self.info(str(place)) for place in sorted(Path(path).iterdir())]
        return found if detail else [one["name"] for one in found]

    def _open(self, path, mode="rb", block_size=None, cache_type="readahead", **_):
        return CountingFile(self, path, mode, block_size or CountingFile.DEFAULT_BLOCK_SIZE, cache_type=cache_type)

    def cat_file(self, path, start=None, end=None, **_):
        return self.fetch(path, start, end)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A shard folder of images that are bytes of chance, and these by name."""
    folder = tmp_path_factory.mktemp("stored") / "shards"
    images = {}
    with ShardWriter(folder, part_rows=100) as writer:
        for number in range(IMAGES):
            data = np.random.default_rng(number).bytes(IMAGE_BYTES)
            digest = hashlib.sha256(data).hexdigest()
            row = ShardRow.of(
                number, ManifestRow(f"{number:08d}", None, "a caption"), Status.OK, image=data,
                width=9, height=9, format="png", sha256=digest, phash="0" * 16,
            )  # fmt: skip
            writer.append(row)
            images[f"{number:08d}"] = data
    return folder, images


@pytest.fixture
def store():
    fsspec.register_implementation("counted", CountingStore, clobber=True)
    shard_parts._opened.cache_clear()
    CountingStore.asked, CountingStore.delay = [], 0.0
    CountingStore.at_once = CountingStore.most_at_once = 0
    return CountingStore


def test_listing_shards_reads_their_text_and_not_their_images(store, stored):
    folder, images = stored
    records = list_images([f"counted://{folder}"])
    assert [record.image_id for record in records] == sorted(images)
    size = sum(path.stat().st_size for path in folder.glob("*.parquet"))
    assert sum(store.asked) < 0.1 * size
    assert len(store.asked) < 40


def test_images_of_a_row_group_are_one_request(store, stored):
    """Read in order, as a table is made of them: bytes come once, and requests are few."""
    folder, images = stored
    records = list_images([f"counted://{folder}"])
    store.asked.clear()
    for record in records:
        assert read_bytes(record.source) == images[record.image_id]
    assert sum(store.asked) < 1.2 * IMAGES * IMAGE_BYTES
    assert len(store.asked) < IMAGES / 4


def test_threads_that_begin_a_part_at_once_fetch_it_once(store, stored):
    """What reads a part of a collection for workers of Ray asks for sixteen images at a time."""
    folder, _ = stored
    records = list_images([f"counted://{folder}"])
    store.asked.clear()
    store.delay = 0.01
    assert list(pictures.read_part(records).pictures) == [record.image_id for record in records]
    assert sum(store.asked) < 1.2 * IMAGES * IMAGE_BYTES
    assert len(store.asked) < IMAGES / 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_process_that_was_forked_while_a_part_was_opened_reads_it(store, stored):
    """The thread that opens it, and holds its lock, is not there in the new process."""
    folder, images = stored
    record = list_images([f"counted://{folder}"])[0]
    store.delay = 0.5
    thread = threading.Thread(target=read_bytes, args=[record.source])
    thread.start()
    while not store.at_once:
        time.sleep(0.001)
    child = os.fork()
    if not child:
        os._exit(7 if read_bytes(record.source) == images[record.image_id] else 1)
    end = time.monotonic() + 60
    while (found := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < end:
        time.sleep(0.01)
    if found == (0, 0):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    thread.join()
    assert os.waitstatus_to_exitcode(found[1]) == 7


def test_few_parts_keep_what_was_fetched(store, stored, monkeypatch):
    """Going to and fro between parts costs requests and not memory; every answer is right."""
    monkeypatch.setattr(shard_parts, "_FETCHED_PARTS", 1)
    folder, images = stored
    records = list_images([f"counted://{folder}"])
    for number in np.random.default_rng(1).permutation(IMAGES)[:100]:
        assert read_bytes(records[number].source) == images[records[number].image_id]
    assert len(shard_parts._fetched_parts) == 1
    assert len(list(folder.glob("*.parquet"))) == 4


def test_images_at_addresses_are_asked_for_ahead_and_come_in_order(store, tmp_path, monkeypatch):
    records = []
    for number in range(40):
        path = tmp_path / f"{number:02d}.png"
        Image.new("RGB", (5, 5), (number, 0, 0)).save(path)
        records.append(ImageRecord(path.stem, f"counted://{path}"))
    (tmp_path / "07.png").write_bytes(b"no picture")
    store.delay = 0.02
    threads, decode = set(), images.decode_image
    monkeypatch.setattr(images, "decode_image", lambda *a, **b: threads.add(threading.get_ident()) or decode(*a, **b))
    part = pictures.read_part(records)
    assert threads == {threading.get_ident()}  # sixteen that are decoded at once are much memory
    assert len(store.asked) == len(records)
    assert 4 < store.most_at_once <= pictures._ASKED
    assert list(part.pictures) == [record.image_id for record in records]
    assert isinstance(part.pictures["07"], Failure)
    assert [part.pictures[f"{n:02d}"][1][0] for n in range(40) if n != 7] == [n for n in range(40) if n != 7]
