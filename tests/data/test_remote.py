"""Images, manifests and shards at addresses: what is there, and what comes of it when it is not."""

import io
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from relsim.data.dataset import ImageDataset
from relsim.data.images import load_image, read_bytes
from relsim.data.records import Failure, ImageRecord, Status
from relsim.data.remote import is_remote
from relsim.data.shard_writing import ShardWriter
from relsim.data.sources import list_images
from relsim.errors import ImageError, MissingExtraError, ShardError, SourceError

fsspec = pytest.importorskip("fsspec")
fsspec_registry = pytest.importorskip("fsspec.registry")


def png(number):
    data = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


class Store:
    """A bucket: `put` writes there, `at` is the address of a name."""

    def __init__(self, address):
        self.address = address
        self.files, self.root = fsspec.core.url_to_fs(address)

    def at(self, name):
        return f"{self.address}/{name}"

    def put(self, name, data):
        path = f"{self.root}/{name}"
        self.files.makedirs(path.rpartition("/")[0], exist_ok=True)
        self.files.pipe_file(path, data)

    def put_folder(self, folder, name):
        for path in folder.iterdir():
            if path.is_file():
                self.put(f"{name}/{path.name}", path.read_bytes())


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    """An S3 of our own on the loopback, where its packages are there."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield "s3://pictures"
    server.stop()


@pytest.fixture(params=["memory", "file", "s3"])
def store(request, tmp_path):
    """A bucket with six pictures in two folders, one empty file, one text and one hidden picture."""
    if request.param == "s3":
        found = Store(f"{request.getfixturevalue('s3')}-{abs(hash(str(tmp_path))) % 10**9}")
        found.files.mkdir(found.root)
    else:
        found = Store(f"memory://{tmp_path.name}" if request.param == "memory" else f"file://{tmp_path}/bucket")
    for number in (1, 2, 10):
        found.put(f"photos/a/{number}.png", png(number))
        found.put(f"photos/b{number}.PNG", png(number + 100))
    found.put("photos/empty.png", b"")
    found.put("photos/notes.txt", b"no picture")
    found.put("photos/.hidden/x.png", png(7))
    yield found
    found.files.rm(found.root, recursive=True)


def test_addresses_of_stores_are_read_and_those_of_the_web_are_not():
    assert all(map(is_remote, ("s3://b/x.png", "gs://b", "hf://datasets/x", "memory://x", "s3://b/p.parquet#3")))
    assert not any(map(is_remote, ("https://x/y.png", "HTTP://x", "/data/s3:/x", "s3:/x", "x.png", "")))


def test_a_folder_is_listed_as_one_here(store):
    records = list_images([store.at("photos")])
    assert [record.image_id for record in records] == [
        *("a/1.png", "a/2.png", "a/10.png", "b1.PNG", "b2.PNG", "b10.PNG", "empty.png"),
    ]
    assert [record.source for record in records] == [store.at(f"photos/{record.image_id}") for record in records]
    direct = list_images([store.at("photos/")], recursive=False, ids="stem")
    assert [record.image_id for record in direct] == ["b1", "b2", "b10", "empty"]


def test_what_is_read_is_what_lies_there(store):
    found = list(ImageDataset.open([store.at("photos")]).stream())
    for number, loaded in zip((1, 2, 10, 101, 102, 110), found, strict=False):
        assert loaded.image.tobytes() == Image.open(io.BytesIO(png(number))).tobytes()
    assert (found[-1].status, found[-1].reason) == (Status.EMPTY, "the file is empty")


def test_a_pattern_a_file_and_a_list_name_images(store):
    assert [record.image_id for record in list_images([store.at("photos/a/*.png")])] == ["1.png", "2.png", "10.png"]
    assert [record.image_id for record in list_images([store.at("photos/**/*1.p*")])] == ["a/1.png"]
    one = store.at("photos/a/2.png")
    assert list_images([one, one]) == [ImageRecord("2.png", one)]
    assert list_images(["-"], stdin=io.StringIO(f"{one}\n")) == [ImageRecord(one, one)]


def test_a_manifest_finds_its_images_beside_it(store, tmp_path):
    rows = b'{"image_hash": "x", "caption": "c"}\n{"image_hash": "gone"}\n'
    store.put("set/list.jsonl", rows)
    store.put("set/images/x.png", png(3))
    expected = [
        ImageRecord("x", store.at("set/images/x.png"), {"caption": "c"}),
        ImageRecord("gone", store.at("set/images/gone.png")),
    ]
    assert list_images([store.at("set/list.jsonl")]) == expected
    (tmp_path / "here.jsonl").write_bytes(rows)
    assert list_images([tmp_path / "here.jsonl"], image_folder=store.at("set/images")) == expected
    missing = load_image(expected[1])
    assert isinstance(missing, Failure)
    assert (missing.status, missing.reason) == (Status.MISSING, "no such file")


@pytest.fixture
def shards(store, shard_row, tmp_path):
    """Nine rows in parts of four, one of them dead, at an address and here."""
    with ShardWriter(tmp_path / "shards", part_rows=4) as writer:
        for number in range(9):
            writer.append(shard_row(number, f"id{number}", Status.DEAD if number == 5 else png(number)))
    store.put_folder(tmp_path / "shards", "shards")
    return store.at("shards"), tmp_path / "shards"


def test_shards_give_the_records_and_bytes_of_shards_here(shards):
    there, here = list_images([shards[0]]), list_images([shards[1]])
    assert [(one.image_id, one.fields) for one in there] == [(one.image_id, one.fields) for one in here]
    for one, other in zip(there, here, strict=True):
        assert one.source == other.source.replace(str(shards[1]), shards[0])
        loaded, expected = load_image(one), load_image(other)
        if isinstance(expected, Failure):
            assert (loaded.status, loaded.reason) == (expected.status, expected.reason)
        else:
            assert loaded.image.tobytes() == expected.image.tobytes()
    assert list_images([there[3].source])[0].source == there[3].source


def test_threads_read_shards_at_the_same_time(shards):
    records = [record for record in list_images([shards[0]]) if record.image_id != "id5"]
    found = {}
    threads = [
        threading.Thread(target=lambda one=one: found.update({one.image_id: read_bytes(one.source)})) for one in records
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {record.image_id: png(int(record.image_id[2:])) for record in records}


def test_shards_that_are_not_what_they_say_are_refused(store, shards):
    store.put("shards/shards.json", b'{"schema": "something else"}')
    with pytest.raises(ShardError, match=r"shards/shards\.json is not that of a shard folder"):
        list_images([shards[0]])


def test_a_damaged_part_is_a_row_with_a_reason(store, shards):
    records = list_images([shards[0]])
    store.put("shards/part-00002.parquet", b"PAR1 nothing of use PAR1")
    found = load_image(records[-1])
    assert (found.status, found.reason) == (Status.DAMAGED, "the part that should hold it is damaged")


def test_what_is_not_there_is_said(store):
    with pytest.raises(SourceError, match="nothing is there"):
        list_images([store.at("nowhere")])
    with pytest.raises(SourceError, match="no images match"):
        list_images([store.at("photos/*.jpg")])
    store.put("texts/notes.txt", b"x")
    with pytest.raises(SourceError, match="no images in or below"):
        list_images([store.at("texts")])
    with pytest.raises(SourceError, match=r"cannot read .*list\.jsonl"):
        list_images([store.at("list.jsonl")])


def test_a_file_beyond_the_limit_is_not_read(store):
    from relsim.data.images import Limits

    size = len(png(1))
    assert read_bytes(store.at("photos/a/1.png"), limits=Limits(max_bytes=size)) == png(1)
    with pytest.raises(ImageError, match="more than the limit") as error:
        read_bytes(store.at("photos/a/1.png"), limits=Limits(max_bytes=size - 1))
    assert error.value.status is Status.TOO_LARGE


def test_a_missing_package_is_named_with_its_command(monkeypatch):
    for name in ("s3fs", "gcsfs", "adlfs"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it is an ImportError
    for name in ("s3", "s3a", "gs", "gcs", "abfs"):
        monkeypatch.delitem(fsspec_registry._registry, name, raising=False)
    shown = r'reading s3:// needs the package s3fs: pip install "relsim\[remote\]"'
    with pytest.raises(MissingExtraError, match=shown):
        list_images(["s3://bucket/photos"])
    with pytest.raises(MissingExtraError, match="gcsfs"):
        list_images(["gs://bucket/photos"])
    with pytest.raises(SourceError, match="pip install adlfs"):
        list_images(["abfs://bucket/photos"])
    with pytest.raises(SourceError, match="nonsense"):
        list_images(["nonsense://bucket"])
