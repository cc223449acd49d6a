"""Stored crops: made once, in order, whole or not at all."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from relsim.data.images import decode_image
from relsim.errors import TrainingError
from relsim.models.pixels import Recipe
from relsim.training.crop_build import build_crops
from relsim.training.crops import CropRow, CropStore, CropWriter
from relsim.training.samples import Sample

CROP, SQUASH = Recipe.parse("crop56"), Recipe.parse("squash28")


@pytest.fixture(scope="module")
def pictures(golden_paths):
    return [
        Sample(path.stem, str(path), (f"caption {number}", "shared"), group=None if number % 2 else "even")
        for number, path in enumerate(golden_paths)
    ]


@pytest.fixture
def copies(golden_paths, tmp_path):
    """Samples of files that a test may change."""
    (tmp_path / "images").mkdir()
    paths = [shutil.copy(path, tmp_path / "images") for path in golden_paths[:4]]
    return [Sample(str(number), str(path), ("x",)) for number, path in enumerate(paths)]


def files(folder):
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.iterdir()}


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("recipe", [CROP, SQUASH], ids=["crop", "squash"])
def test_squares_are_the_recipe_of_the_pictures(pictures, golden_paths, tmp_path, workers, recipe):
    store = CropStore.build(tmp_path / "crops", pictures, recipe, workers=workers)
    expected = np.stack([np.asarray(recipe.apply(decode_image(path.read_bytes()))) for path in golden_paths])
    np.testing.assert_array_equal(store.read(range(len(store))), expected)
    assert (len(store), store.side, store.recipe) == (17, recipe.side, recipe)
    assert store.image_ids == [sample.image_id for sample in pictures]
    assert store.captions == [sample.captions for sample in pictures]
    assert store.groups == [sample.group for sample in pictures]
    assert store.reasons == {}


def test_published_training_pixels(golden, tmp_path):
    """448 crops as the published loader makes them: centre square, then Lanczos."""
    path = next((golden / "train" / "images").iterdir())
    store = build_crops(tmp_path, [Sample("a", str(path), ("x",))], Recipe.CROP448)
    image = Image.open(path).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side)).resize((448, 448), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(store.read([0])[0], np.asarray(square))


def test_rows_are_read_in_any_order(pictures, tmp_path):
    store = build_crops(tmp_path, pictures, CROP)
    everything = store.read(range(17))
    rows = np.array([5, 0, 5, 16])
    np.testing.assert_array_equal(store.read(rows), everything[rows])
    assert store.read([]).shape == (0, 56, 56, 3)
    chosen = store.read(rows)
    assert type(chosen) is np.ndarray
    assert chosen.flags.writeable
    assert chosen.flags.c_contiguous


def test_second_build_reads_what_is_there(pictures, tmp_path):
    build_crops(tmp_path, pictures, CROP)
    before = files(tmp_path)
    store = build_crops(tmp_path, pictures, CROP)
    assert files(tmp_path) == before
    assert len(store) == 17


def test_folder_that_may_only_be_read_is_enough(pictures, tmp_path, monkeypatch):
    build_crops(tmp_path, pictures, CROP)
    monkeypatch.setattr("relsim.training.crop_build.CropWriter", None)
    assert len(build_crops(tmp_path, pictures, CROP)) == 17


@pytest.mark.parametrize("change", ["content", "time", "fewer", "order", "recipe"])
def test_what_changes_the_squares_makes_them_again(copies, tmp_path, change, caplog):
    folder = tmp_path / "crops"
    build_crops(folder, copies, CROP)
    recipe = SQUASH if change == "recipe" else CROP
    if change == "content":
        Image.new("RGB", (40, 40), "red").save(copies[1].source)
    elif change == "time":
        os.utime(copies[1].source, ns=(0, 0))
    samples = {"fewer": copies[:3], "order": copies[::-1]}.get(change, copies)
    with caplog.at_level(logging.INFO):
        store = build_crops(folder, samples, recipe)
    assert "are made again" in caplog.text
    assert store.image_ids == [sample.image_id for sample in samples]
    expected = [recipe.apply(Image.open(sample.source).convert("RGB")) for sample in samples]
    np.testing.assert_array_equal(store.read(range(len(store))), np.stack([np.asarray(image) for image in expected]))
    assert len(list(folder.glob("pixels-*"))) == len(list(folder.glob("index-*"))) == 1


def test_new_captions_keep_the_squares(copies, tmp_path):
    (tmp_path / "images" / "bad.png").write_bytes(b"")
    bad = Sample("bad", str(tmp_path / "images" / "bad.png"), ("x",))
    folder = tmp_path / "crops"
    before = build_crops(folder, [bad, *copies], CROP, max_unreadable=0.5)
    changed = [Sample(f"new {s.image_id}", s.source, ("y", "z"), "g", "r") for s in [bad, *copies]]
    after = build_crops(folder, changed, CROP, max_unreadable=0.5)
    assert after.pixel_file == before.pixel_file
    assert after.image_ids == [f"new {number}" for number in range(4)]
    assert (after.captions[0], after.groups[0], after.relations[0]) == (("y", "z"), "g", "r")
    assert [(row.image_id, row.status) for row in after.skipped] == [("new bad", "empty")]
    np.testing.assert_array_equal(before.read(range(4)), after.read(range(4)))


@pytest.fixture
def spoiled(copies, tmp_path):
    """40 samples, of which 1 is cut short and 1 missing."""
    data = (tmp_path / "images" / "00_row_640x360.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    good = [Sample(f"good {number}", copies[number % 4].source, ("x",)) for number in range(38)]
    bad = [Sample(name, str(tmp_path / name), ("x",)) for name in ("cut.png", "none.png")]
    return [*good[:10], *bad, *good[10:]]


def test_unreadable_pictures_are_skipped_and_counted(spoiled, tmp_path, caplog):
    store = build_crops(tmp_path / "crops", spoiled, CROP)
    assert len(store) == 38
    assert store.reasons == {"truncated": 1, "missing": 1}
    assert [row.image_id for row in store.skipped] == ["cut.png", "none.png"]
    assert all(row.reason and "\n" not in row.reason for row in store.skipped)
    assert "2 of 40 pictures are skipped: 1 truncated, 1 missing" in caplog.text
    assert not (store.read(range(38)).reshape(38, -1).max(axis=1) == 0).any()
    assert store.image_ids[10] == "good 10"
    np.testing.assert_array_equal(store.read([10]), store.read([6]))


@pytest.mark.parametrize("limit", [0.049, 0.0])
def test_too_many_unreadable_pictures_stop_the_build(spoiled, tmp_path, limit):
    folder = tmp_path / "crops"
    with pytest.raises(TrainingError) as caught:
        build_crops(folder, spoiled, CROP, max_unreadable=limit)
    message = str(caught.value)
    assert f"more than {limit:.0%} of the 40 pictures cannot be used (1 truncated" in message
    assert "cut.png: " in message
    assert str(tmp_path / "cut.png") in message
    assert "data.image_folder" in message
    assert [path.name for path in folder.iterdir()] == [".lock"]


def test_limit_holds_for_stored_crops_too(spoiled, tmp_path):
    build_crops(tmp_path / "crops", spoiled, CROP)
    with pytest.raises(TrainingError, match="cannot be used"):
        build_crops(tmp_path / "crops", spoiled, CROP, max_unreadable=0.01)


def test_missing_picture_that_turns_up_is_taken(copies, tmp_path):
    late = Sample("late", str(tmp_path / "late.png"), ("x",))
    assert len(build_crops(tmp_path / "crops", [*copies, late], CROP, max_unreadable=0.5)) == 4
    shutil.copy(copies[0].source, late.source)
    assert len(build_crops(tmp_path / "crops", [*copies, late], CROP)) == 5


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 600 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_disk_without_room_is_told_before_work_begins(pictures, small_disk):
    with pytest.raises(TrainingError, match=r"17 crops of 448 x 448 need 10\.2 MB, and the disk of .* name a folder"):
        build_crops(small_disk / "crops", pictures, Recipe.CROP448)


def fill(folder):
    with CropWriter(folder, CROP) as writer:
        for number in range(100):
            writer.append(np.zeros((56, 56, 3), np.uint8), str(number), ["x"])
        writer.publish()


def test_disk_that_fills_up_leaves_the_crops_that_were_there(pictures, small_disk):
    folder = small_disk / "crops"
    before = build_crops(folder, pictures[:2], CROP)
    with pytest.raises(TrainingError, match=r"cannot be stored in .*: no space left"):
        fill(folder)
    np.testing.assert_array_equal(CropStore.open(folder).read([0, 1]), before.read([0, 1]))
    assert len(list(folder.glob("pixels-*"))) == 1


WRITE = """
import sys, time, numpy as np
from relsim.models.pixels import Recipe
from relsim.training.crops import CropWriter
with CropWriter(sys.argv[1], Recipe.parse("squash28")) as writer:
    for number in range(int(sys.argv[2])):
        writer.append(np.full((28, 28, 3), number % 256, np.uint8), str(number), ["x"])
    print("written", flush=True)
    time.sleep(float(sys.argv[3]))
    writer.publish()
"""


@pytest.fixture
def start_writer(tmp_path):
    """Starts a process that has written squares into `tmp_path/crops` and publishes them after some seconds."""
    started = []

    def start(squares, seconds):
        command = [sys.executable, "-c", WRITE, str(tmp_path / "crops"), str(squares), str(seconds)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "written\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_killed_writer_changes_nothing_and_its_rest_is_removed(tmp_path, start_writer):
    folder = tmp_path / "crops"
    with CropWriter(folder, SQUASH) as writer:
        writer.append(np.full((28, 28, 3), 7, np.uint8), "kept", ["x"])
        writer.publish()
    process = start_writer(2_000, 60)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert CropStore.open(folder).image_ids == ["kept"]
    assert len(list(folder.glob("pixels-*"))) == 2
    with CropWriter(folder, SQUASH) as writer:
        writer.append(np.full((28, 28, 3), 8, np.uint8), "new", ["x"])
        assert writer.publish().read([0]).max() == 8
    assert len(list(folder.glob("pixels-*"))) == 1


def test_second_writer_waits_for_the_first(tmp_path, start_writer):
    start_writer(3, 0.5)
    begin = time.monotonic()
    with CropWriter(tmp_path / "crops", SQUASH):
        assert time.monotonic() - begin > 0.3
        assert CropStore.open(tmp_path / "crops").image_ids == ["0", "1", "2"]


def test_store_that_is_open_outlives_its_successor(tmp_path):
    stores = []
    for value in (1, 2):
        with CropWriter(tmp_path, SQUASH) as writer:
            writer.append(np.full((28, 28, 3), value, np.uint8), "a", ["x"])
            stores.append(writer.publish())
    assert [int(store.read([0]).max()) for store in stores] == [1, 2]


def test_folders_share_a_file_of_which_one_has_the_first_squares(pictures, tmp_path):
    store = CropStore.build(tmp_path / "all", pictures, CROP)
    (tmp_path / "first").mkdir()
    os.link(store.folder / store.pixel_file, tmp_path / "first" / store.pixel_file)
    with CropWriter(tmp_path / "first", CROP) as writer:
        first = writer.relabel(store, [CropRow(f"new {number}", ("a caption",)) for number in range(5)])
        assert (len(first), first.stored, store.stored) == (5, 17, 17)
        np.testing.assert_array_equal(first.read(range(5)), store.read(range(5)))
        again = writer.relabel(first, [CropRow("one", ("a caption",))])
        assert (len(again), again.stored) == (1, 17)
        with pytest.raises(TrainingError, match="damaged"):
            writer.relabel(store, [CropRow(f"new {number}", ("a caption",)) for number in range(18)])


def test_unpublished_squares_leave_nothing(tmp_path):
    with CropWriter(tmp_path, SQUASH) as writer:
        writer.append(np.zeros((28, 28, 3), np.uint8), "a", ["x"])
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    with pytest.raises(TrainingError, match="holds no stored crops"):
        CropStore.open(tmp_path)


def test_writer_keeps_what_it_is_given(tmp_path):
    """A square of any memory layout; half a surrogate pair in a name, which JSON must carry."""
    square = np.arange(28 * 28 * 3, dtype=np.uint32).astype(np.uint8).reshape(3, 28, 28).transpose(1, 2, 0)
    with CropWriter(tmp_path, SQUASH, digest="d") as writer:
        writer.append(square, "\udc80", ["ü", "y"], group="g", relation="r", source="s")
        writer.skip(CropRow("bad", ("x",), status="missing", reason="no such file"))
        store = writer.publish()
    np.testing.assert_array_equal(store.read([0])[0], square)
    assert store.rows == [CropRow("\udc80", ("ü", "y"), "g", "r", "s")]
    assert (store.reasons, store.digest) == ({"missing": 1}, "d")


SQUARE = np.zeros((28, 28, 3), np.uint8)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ((SQUARE[:27], "a", ["x"]), r"the square of a is uint8 \(27, 28, 3\); squash28 needs"),
        ((SQUARE.astype(float), "a", ["x"]), "the square of a is float64"),
        ((SQUARE, "a", "text"), "a needs a list of one caption or more"),
        ((SQUARE, "a", []), "a needs a list of one caption or more"),
    ],
)
def test_what_is_no_crop_is_refused(tmp_path, arguments, fault):
    with CropWriter(tmp_path, SQUASH) as writer, pytest.raises(TrainingError, match=fault):
        writer.append(*arguments)


def test_recipe_without_a_size_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="the recipe native gives none"):
        CropWriter(tmp_path, Recipe.NATIVE)


DAMAGES = {
    "head cut": lambda head, folder: (folder / "crops.json").write_text("{"),
    "other kind": lambda head, folder: (folder / "crops.json").write_text(json.dumps({**head, "schema": "other/1"})),
    "no list of files": lambda head, folder: (folder / "crops.json").write_text(json.dumps({"schema": head["schema"]})),
    "pixels cut": lambda head, folder: os.truncate(folder / head["pixels"], 5_000),
    "pixels missing": lambda head, folder: (folder / head["pixels"]).unlink(),
    "index cut": lambda head, folder: os.truncate(folder / head["index"], 50),
    "index empty": lambda head, folder: (folder / head["index"]).write_text(""),
    "other recipe": lambda head, folder: (folder / "crops.json").write_text(json.dumps({**head, "recipe": "crop28"})),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_crops_are_told_and_made_again(copies, tmp_path, damage, caplog):
    before = build_crops(tmp_path / "crops", copies, CROP).read(range(4))
    DAMAGES[damage](json.loads((tmp_path / "crops" / "crops.json").read_text()), tmp_path / "crops")
    with pytest.raises(TrainingError, match=r"remove the folder, and a run with data\.manifests makes it again"):
        CropStore.open(tmp_path / "crops")
    np.testing.assert_array_equal(build_crops(tmp_path / "crops", copies, CROP).read(range(4)), before)
    assert "crops are made again" in caplog.text


def test_nothing_to_make_crops_of(tmp_path):
    with pytest.raises(TrainingError, match="no picture"):
        build_crops(tmp_path, [], CROP)
