"""One class for every collection: by number, by id, as a stream, and in other processes."""

import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from relsim.data import dataset as module
from relsim.data.dataset import ImageDataset
from relsim.data.records import Failure, LoadedImage, Status
from relsim.data.shuffling import permutation
from relsim.errors import SourceError


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of 330 small pictures, each of its own colour, and one file that is none."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(330):
        Image.new("RGB", (8, 8), colour_of(number)).save(folder / f"{number:03d}.png")
    (folder / "330.png").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def shards(make_shards, pictures, tmp_path_factory):
    """The same pictures in parts of 150 rows, and a row without an image in the place of the file that is none."""
    images = {path.name: path.read_bytes() for path in sorted(pictures.iterdir())} | {"330.png": Status.DEAD}
    return make_shards(tmp_path_factory.mktemp("dataset") / "shards", images, part_rows=150)


@pytest.fixture(params=["pictures", "shards", "both"])
def sources(request, pictures, shards):
    return {"pictures": [pictures], "shards": [shards], "both": [pictures, shards]}[request.param]


def colour_of(number):
    return (number % 256, number // 256, 77)


def seen(outcome):
    """What an outcome shows: the id, and the colour or the status."""
    if isinstance(outcome, Failure):
        return outcome.record.image_id, outcome.status
    return outcome.record.image_id, outcome.image.getpixel((3, 3))


def expected(image_id, bad):
    number = int(image_id.removesuffix(".png").rsplit("/", 1)[-1])
    return image_id, colour_of(number) if number < 330 else bad


class TestAccess:
    def test_files_and_shards_are_the_same_images_under_the_same_ids(self, pictures, shards):
        files, rows = ImageDataset.open([pictures]), ImageDataset.open([shards])
        assert len(files) == len(rows) == 331
        assert files.image_ids == rows.image_ids
        assert [seen(files[number]) for number in range(330)] == [seen(rows[number]) for number in range(330)]
        assert (files[330].status, rows[330].status) == (Status.NOT_IMAGE, Status.DEAD)

    def test_by_id(self, sources):
        dataset = ImageDataset.open(sources)
        for image_id in dataset.image_ids[::37]:
            loaded = dataset.by_id(image_id)
            assert isinstance(loaded, LoadedImage)
            assert seen(loaded) == expected(image_id, None)
        with pytest.raises(KeyError):
            dataset.by_id("other")

    def test_records_are_those_that_the_sources_list(self, sources):
        from relsim.data.sources import list_images

        assert ImageDataset.open(sources, same_id="extend").records == list_images(sources)

    def test_an_id_of_several_rows_is_the_first_that_is_ok(self, shard_row, pictures, tmp_path):
        from relsim.data.shard_writing import ShardWriter

        one, two = ((pictures / f"00{number}.png").read_bytes() for number in (1, 2))
        with ShardWriter(tmp_path / "s") as writer:
            for number, data in enumerate([Status.DEAD, two, one]):
                writer.append(shard_row(number, "a", data))
        dataset = ImageDataset.open([tmp_path / "s"])
        assert dataset.image_ids == ["a"]
        assert seen(dataset.by_id("a")) == ("a", colour_of(2))


class TestStream:
    def test_without_a_seed_it_is_the_order_of_the_records(self, sources):
        dataset = ImageDataset.open(sources)
        assert [seen(outcome)[0] for outcome in dataset.stream()] == dataset.image_ids

    def test_shuffled_it_has_every_image_once(self, sources):
        dataset = ImageDataset.open(sources)
        shuffled = [seen(outcome) for outcome in dataset.stream(shuffle_seed=3)]
        ids = [image_id for image_id, _ in shuffled]
        assert sorted(ids) == sorted(dataset.image_ids)
        assert ids != dataset.image_ids
        bad = {image_id: shown for image_id, shown in shuffled if isinstance(shown, Status)}
        assert set(bad.values()) <= {Status.NOT_IMAGE, Status.DEAD}
        assert shuffled == [expected(image_id, bad.get(image_id)) for image_id in ids]

    def test_the_seed_decides(self, sources):
        dataset = ImageDataset.open(sources)

        def order(seed):
            return [seen(outcome)[0] for outcome in dataset.stream(shuffle_seed=seed)]

        assert order(3) == order(3)
        assert order(3) != order(4)

    @pytest.mark.parametrize("seed", [None, 5])
    @pytest.mark.parametrize("count", [1, 2, 7, 400])
    def test_parts_are_disjoint_and_complete_and_of_one_size(self, sources, seed, count):
        dataset = ImageDataset.open(sources)
        parts = [
            [seen(outcome)[0] for outcome in dataset.stream(shuffle_seed=seed, part=(index, count))]
            for index in range(count)
        ]
        assert sorted(image_id for part in parts for image_id in part) == sorted(dataset.image_ids)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1

    @pytest.mark.parametrize("part", [(-1, 2), (2, 2), (0, 0)])
    def test_parts_that_do_not_exist_are_refused(self, pictures, part):
        with pytest.raises(SourceError, match="does not exist; parts are counted from 0"):
            ImageDataset.open([pictures]).stream(part=part)

    def test_files_come_in_a_plain_permutation(self, pictures):
        dataset = ImageDataset.open([pictures])
        order = [dataset.image_ids[place] for place in permutation(9, 0, 331)]
        assert [seen(outcome)[0] for outcome in dataset.stream(shuffle_seed=9)] == order

    def test_shards_are_read_from_front_to_back_and_given_out_of_order(self, shards, monkeypatch):
        """Parts have 150 rows, so runs have 100 and 50."""
        monkeypatch.setattr(module, "SHUFFLE_ROWS", 40)
        dataset = ImageDataset.open([shards])
        read = []
        original = ImageDataset._bytes

        def noted(self, record):
            read.append(int(record.image_id[:3]))
            return original(self, record)

        monkeypatch.setattr(ImageDataset, "_bytes", noted)
        given = [int(seen(outcome)[0][:3]) for outcome in dataset.stream(shuffle_seed=1)]
        runs = [range(100), range(100, 150), range(150, 250), range(250, 300), range(300, 331)]
        runs.sort(key=lambda run: read.index(run[0]))
        assert read == [number for run in runs for number in run]
        assert np.mean([abs(given.index(number) - read.index(number)) for number in range(331)]) > 10

    def test_the_buffer_holds_so_many_bytes_at_most(self, shards, monkeypatch):
        """With room for one image nothing is drawn: the order of reading is that of giving."""
        monkeypatch.setattr(module, "SHUFFLE_BYTES", 1)
        dataset = ImageDataset.open([shards])
        given = [seen(outcome)[0] for outcome in dataset.stream(shuffle_seed=1)]
        assert given == [dataset.image_ids[number] for number in dataset._shuffled(1)]


class TestWorkers:
    @pytest.mark.parametrize("method", ["fork", "spawn"])
    def test_processes_read_what_this_one_reads(self, sources, method):
        """After this process has opened the parts itself, so that forked ones inherit them."""
        dataset = ImageDataset.open(sources)
        numbers = list(range(0, len(dataset), 29)) * 4
        here = [seen(dataset[number]) for number in numbers]
        with multiprocessing.get_context(method).Pool(2) as pool:
            # A bound method, because a function of this file is none that a fresh process could import.
            there = [seen(outcome) for outcome in pool.map(dataset.__getitem__, numbers, chunksize=3)]
        assert there == here

    def test_threads_may_share_it(self, sources):
        dataset = ImageDataset.open(sources)
        numbers = list(range(len(dataset)))
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda number: seen(dataset[number]), numbers)) == list(map(seen, dataset))

    def test_it_may_be_pickled(self, sources):
        dataset = ImageDataset.open(sources)
        again = pickle.loads(pickle.dumps(dataset))  # noqa: S301 - our own
        assert (again.records, seen(again[3])) == (dataset.records, seen(dataset[3]))
