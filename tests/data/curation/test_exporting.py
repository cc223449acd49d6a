"""Exports, opened by the tools that they are for: webdataset, datasets, FiftyOne's layout, and relsim's own sources."""

import gc
import hashlib
import io
import json
import tarfile
from dataclasses import replace

import pytest
from PIL import Image

from relsim.data.curation.exporting import FORMS, export
from relsim.data.curation.inventory import Inventory, Item, take_inventory
from relsim.data.curation.verification import verify
from relsim.data.images import decode_image, load_image
from relsim.data.manifest import read_manifest
from relsim.data.records import LoadedImage, Status
from relsim.data.sources import list_images
from relsim.errors import SourceError

STORED = ["a", "a2", "a_small", "a_jpeg", "b", "c"]
SUFFIX = {"a": "png", "a2": "png", "a_small": "png", "a_jpeg": "jpg", "b": "webp", "c": "gif"}


@pytest.fixture
def inventory(shards):
    return take_inventory(shards)


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_collection_gives_the_same_bytes(inventory, tmp_path, form):
    for name in ("one/x", "two/x"):
        export(inventory, form, tmp_path / name)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


@pytest.mark.parametrize("form", FORMS)
def test_what_was_written_is_counted(inventory, images, tmp_path, form):
    done = export(inventory, form, tmp_path / "x", part_rows=4)
    assert (done.images, done.left_out) == (6, 2)
    assert done.bytes == sum(map(len, images.values()))
    assert done.files == len(tree(tmp_path / "x"))
    assert "# x\n\n8 rows, 6 of them with an image." in (tmp_path / "x" / "README.md").read_text()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves its tars open
def test_webdataset_reads_its_tars(inventory, images, tmp_path):
    import webdataset as wds

    export(inventory, "webdataset", tmp_path / "x", part_rows=4)
    tars = sorted(map(str, (tmp_path / "x").glob("*.tar")))
    assert [name.rpartition("/")[2] for name in tars] == ["images-000000.tar", "images-000001.tar"]
    samples = list(wds.WebDataset(tars, shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == STORED
    for sample, name in zip(samples, STORED, strict=True):
        assert sample[SUFFIX[name]] == images[name]
        assert json.loads(sample["json"])["sha256"] == hashlib.sha256(images[name]).hexdigest()
    assert [sample.get("txt", b"").decode() for sample in samples[:2]] == [
        "A {Thing} inside a {Thing}",
        "a  {thing} inside a {THING}",
    ]
    assert "txt" not in samples[3]
    (first, *_) = wds.WebDataset(tars, shardshuffle=False).decode("pil")
    assert first["png"].tobytes() == decode_image(images["a"]).tobytes()
    gc.collect()


def test_members_of_a_tar_have_no_owner_and_no_time(inventory, tmp_path):
    export(inventory, "webdataset", tmp_path / "x")
    with tarfile.open(tmp_path / "x" / "images-000000.tar") as archive:
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in archive} == {(0, 0, 0, "", "", 0o644)}


def test_datasets_reads_its_folder(inventory, images, tmp_path):
    import datasets

    export(inventory, "datasets", tmp_path / "x", split="test", part_rows=4)
    names = sorted(path.name for path in (tmp_path / "x" / "data").iterdir())
    assert names == ["test-00000-of-00002.parquet", "test-00001-of-00002.parquet"]
    loaded = datasets.load_dataset(str(tmp_path / "x"), cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == ["test"]
    assert loaded["test"]["image_hash"] == STORED
    assert isinstance(loaded["test"].features["image"], datasets.Image)
    row = loaded["test"][4]
    assert row["image"].convert("RGB").tobytes() == decode_image(images["b"]).tobytes()
    assert row["caption"] == ""
    assert json.loads(loaded["test"][0]["extra"])["caption_clean"] == "A {Thing} inside a {Thing}"


def test_fiftyone_finds_its_layout(inventory, images, tmp_path):
    """The plain form, which FiftyOne takes where metadata.json has no version: media by relative path."""
    export(inventory, "fiftyone", tmp_path / "x")
    assert "version" not in json.loads((tmp_path / "x" / "metadata.json").read_text())
    samples = json.loads((tmp_path / "x" / "samples.json").read_text())["samples"]
    assert [sample["filepath"] for sample in samples] == [f"data/{name}.{SUFFIX[name]}" for name in STORED]
    for sample in samples:
        path = tmp_path / "x" / sample["filepath"]
        assert path.read_bytes() == images[sample["image_id"]]
        with Image.open(path) as image:
            facts = {"_cls": "ImageMetadata", "size_bytes": path.stat().st_size, "mime_type": Image.MIME[image.format]}
            assert sample["metadata"] == {**facts, "width": image.width, "height": image.height}
    assert (samples[0]["caption"], samples[3]["seed_group"]) == ("A {Thing} inside a {Thing}", "7")
    assert "caption" not in samples[3]


def test_relsim_reads_its_folder(inventory, images, tmp_path):
    export(inventory, "folder", tmp_path / "x")
    records = list_images([tmp_path / "x" / "manifest.jsonl"])
    assert [record.image_id for record in records] == STORED
    for record in records:
        loaded = load_image(record)
        assert isinstance(loaded, LoadedImage)
        assert loaded.image.tobytes() == decode_image(images[record.image_id]).tobytes()
    rows = read_manifest(tmp_path / "x" / "manifest.jsonl")
    by_id = inventory.by_id()
    assert [(row.url_link, row.caption) for row in rows] == [(by_id[n].url, by_id[n].caption) for n in STORED]
    found = verify(tmp_path / "x")
    assert (found.images, found.compared, found.faults) == (6, 6, ())


def test_a_folder_of_images_is_exported_too(folder, images, tmp_path):
    done = export(take_inventory(folder), "folder", tmp_path / "x")
    rows = {row.image_hash: row.extra for row in read_manifest(tmp_path / "x" / "manifest.jsonl")}
    assert set(rows) == {"a", "a2", "a_small", "a_jpeg", "b", "sub_c"}
    assert rows["sub_c"]["image_id"] == "sub/c.png"
    assert (tmp_path / "x" / "images" / "sub_c.gif").read_bytes() == images["c"]
    assert done.left_out == 1


def test_only_the_ids_that_are_wanted_are_exported(inventory, tmp_path):
    done = export(inventory, "folder", tmp_path / "x", only=["b", "gone", "unknown"])
    assert (done.images, done.left_out) == (1, 1)
    assert [path.name for path in (tmp_path / "x" / "images").iterdir()] == ["b.webp"]


@pytest.mark.parametrize("form", FORMS)
def test_ids_that_are_no_plain_names_stay_in_the_folder_and_apart(images, tmp_path, form):
    data = images["c"]
    source = tmp_path / "c.gif"
    source.write_bytes(data)
    ids = ["../../evil", "..", ".hidden", "a/b", "a_b", "A_B", "a.b.png", "x" * 300, "\u00e9" * 150, "nul\0\n", "C:\\x"]
    facts = {"status": Status.OK, "format": "GIF", "width": 48, "height": 36, "phash": "0" * 16}
    digest = hashlib.sha256(data).hexdigest()
    items = [Item(name, n, source=str(source), sha256=digest, **facts) for n, name in enumerate(ids)]
    before = set(tmp_path.iterdir())
    done = export(Inventory("x", "folder", tuple(items)), form, tmp_path / "out")
    assert set(tmp_path.iterdir()) == {*before, tmp_path / "out"}
    assert done.images == len(ids)
    if form == "webdataset":
        with tarfile.open(tmp_path / "out" / "images-000000.tar") as archive:
            names = [name for name in archive.getnames() if name.endswith(".gif")]
    else:
        names = [path.name for path in (tmp_path / "out").rglob("*.gif")]
    if form != "datasets":
        assert len({name.casefold() for name in names}) == len(ids)
        assert not [name for name in names if name.startswith(".") or "/" in name]


def test_an_image_that_changed_since_is_not_exported(inventory, tmp_path):
    items = tuple(replace(item, sha256="f" * 64) if item.image_id == "b" else item for item in inventory.items)
    with pytest.raises(SourceError, match="is not what was recorded; see relsim data verify"):
        export(replace(inventory, items=items), "folder", tmp_path / "x")
    assert not (tmp_path / "x").exists()
    assert not list(tmp_path.glob(".x-*"))


def test_a_full_disk_leaves_nothing(inventory, small_disk):
    disk, _ = small_disk
    (disk / "ballast").write_bytes(bytes(580_000))
    with pytest.raises(SourceError, match="no space left on device; nothing was left there"):
        export(inventory, "folder", disk / "x")
    assert [path.name for path in disk.iterdir()] == ["ballast"]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"form": "zip"}, "'zip' is no form; there is webdataset, datasets, fiftyone, folder"),
        ({"split": "a/b"}, "is no name of a split"),
        ({"only": ["gone"]}, "has no images to export"),
        ({"licence": "No Licence!"}, "is not a licence"),
    ],
)
def test_an_export_that_cannot_be_is_one_clear_line(inventory, tmp_path, changes, fault):
    with pytest.raises(SourceError, match=fault):
        export(inventory, **{"form": "datasets", "out": tmp_path / "x", **changes})
    (tmp_path / "x").mkdir()
    with pytest.raises(SourceError, match="exists already"):
        export(inventory, "datasets", tmp_path / "x")


def test_bytes_are_those_that_arrived(inventory, images, tmp_path):
    """Not decoded and encoded again: the JPEG keeps its markers, whatever they are."""
    export(inventory, "folder", tmp_path / "x", only=["a_jpeg"])
    data = (tmp_path / "x" / "images" / "a_jpeg.jpg").read_bytes()
    assert data == images["a_jpeg"]
    assert Image.open(io.BytesIO(data)).format == "JPEG"
