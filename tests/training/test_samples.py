"""Manifests into samples, and the order of visits."""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relsim.data.records import Status
from relsim.data.shard_writing import ShardWriter
from relsim.errors import SourceError, TrainingError
from relsim.training.samples import Order, Sample, hold_out, read_samples, share


@pytest.fixture
def manifest(tmp_path):
    """`manifest(row, …, name=…)` writes a manifest; a row is a dictionary, `image_hash` and whatever else."""

    def write(*rows, name="train.jsonl"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.png", "b.jpg", "c.webp"):
        (folder / name).write_bytes(b"not opened")
    return folder


def row(name, caption="{Objects} in a row", **more):
    return {"image_hash": name, "url_link": "https://example.org/x.jpg", "caption": caption, **more}


def test_published_rows(golden, expected):
    train = golden / "train"
    samples = read_samples([train / "train.jsonl"], train / "images")
    assert [sample.image_id for sample in samples[:8]] == expected["train_batch"]["image_hashes"]
    assert [sample.captions for sample in samples[:8]] == [(text,) for text in expected["train_batch"]["captions"]]
    assert samples[0].source == str(train / "images" / f"{samples[0].image_id}.png")


def test_any_suffix_and_a_missing_file(manifest, images):
    samples = read_samples([manifest(row("a"), row("b"), row("c"), row("d"))])
    assert [sample.source for sample in samples] == [
        str(images / name) for name in ("a.png", "b.jpg", "c.webp", "d.png")
    ]


def test_further_fields(manifest, images):
    more = {"captions": ["{Objects} side by side", "{Objects} in a row"], "group": 7, "relation": "row", "other": [1]}
    (sample,) = read_samples([manifest(row("a", **more))])
    captions = ("{Objects} in a row", "{Objects} side by side")
    assert sample == Sample("a", str(images / "a.png"), captions, "7", "row")


def test_captions_alone_are_enough(manifest, images):
    (sample,) = read_samples([manifest({"image_hash": "a", "captions": ["x", "y"]})])
    assert sample.captions == ("x", "y")


def test_caption_is_kept_as_written(manifest, images):
    (sample,) = read_samples([manifest(row("a", '"3D models of {Object}" &amp; '))])
    assert sample.captions == ('"3D models of {Object}" &amp; ',)


def test_image_of_several_rows_is_one_sample(manifest, images):
    first = manifest(row("a", "one", group="g"), row("b", "two"), row("a", "three"))
    second = manifest(row("b", "four", relation="r"), row("c", "five"), name="more.jsonl")
    samples = read_samples([first, second], images)
    assert [(sample.image_id, sample.captions) for sample in samples] == [
        ("a", ("one", "three")), ("b", ("two", "four")), ("c", ("five",)),
    ]  # fmt: skip
    assert [(sample.group, sample.relation) for sample in samples] == [("g", None), (None, "r"), (None, None)]


def test_images_of_one_name_in_two_folders_have_ids_of_their_own(tmp_path, manifest):
    for place in ("x", "y"):
        (tmp_path / place / "images").mkdir(parents=True)
    paths = [manifest(row("a", place), name=f"{place}/m.jsonl") for place in ("x", "y")]
    samples = read_samples(paths)
    assert len({sample.image_id for sample in samples}) == len({sample.source for sample in samples}) == 2


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([row("a", None)], "the image a has no caption"),
        ([row("a", "  ")], "the image a has no caption"),
        ([row("a", captions="text")], "the image a has captions that are no list of texts"),
        ([row("a", captions=["x", 1])], "no list of texts"),
        ([row("a", group=[1])], "the image a has a group that is neither a text nor a whole number"),
        ([row("a", relation=True)], "a relation that is neither"),
        ([row("a", group="g"), row("a", group="h")], "several values of group: g, h"),
        ([{"caption": "x"}], "1 bad line: line 1: image_hash"),
        ([], "no rows"),
    ],
)
def test_manifest_that_cannot_be_learned_from(manifest, images, rows, fault):
    with pytest.raises(SourceError, match=fault):
        read_samples([manifest(*rows)])


def test_manifests_that_contradict_each_other(manifest, images):
    paths = [manifest(row("a", group="g")), manifest(row("a", group="h"), name="other.jsonl")]
    with pytest.raises(SourceError, match=r"other\.jsonl: the image a has the group h, and g in an earlier manifest"):
        read_samples(paths)


def test_rows_of_shards_keep_their_own_captions_whatever_their_ids(shard_row, golden_paths, tmp_path):
    """Ids that cannot be printed, and rows without an image between them."""
    data = golden_paths[0].read_bytes()
    names = ["a\x01", "gone", "a\x02", "b", "lost", "c d"]
    with ShardWriter(tmp_path / "shards", part_rows=2) as writer:
        for number, name in enumerate(names):
            row = shard_row(number, name, Status.DEAD if name in ("gone", "lost") else data)
            writer.append(replace(row, caption=f"caption of {number}"))
    samples = read_samples([tmp_path / "shards"])
    assert [sample.captions for sample in samples] == [(f"caption of {number}",) for number in (0, 2, 3, 5)]
    assert [sample.image_id for sample in samples] == [r"a\x01", r"a\x02", "b", "c d"]


def test_file_that_is_no_manifest(tmp_path):
    with pytest.raises(SourceError, match=r"name a file \*\.jsonl"):
        read_samples([tmp_path / "train.csv"])


sizes = st.integers(1, 60)


@given(st.integers(0, 2**63 - 1), sizes, sizes, st.integers(1, 6))
def test_every_row_once_in_every_epoch(seed, batch_size, extra, epochs):
    order = Order(seed, batch_size + extra, batch_size)
    stream = np.concatenate([order.batch(step) for step in range(-(-epochs * order.length // batch_size))])
    for epoch in range(epochs):
        rows = stream[epoch * order.length : (epoch + 1) * order.length]
        assert sorted(rows) == list(range(order.length))


@given(st.integers(0, 2**63 - 1), sizes, st.integers(0, 200), st.integers(0, 300))
def test_no_row_twice_in_a_batch(seed, batch_size, extra, step):
    order = Order(seed, 2 * batch_size + extra, batch_size)
    assert len(set(order.batch(step).tolist())) == batch_size


@given(st.integers(0, 2**32), sizes, st.integers(0, 99), st.lists(st.integers(0, 400), max_size=8))
def test_batch_follows_from_seed_and_step_alone(seed, batch_size, extra, steps):
    """Whatever was asked before."""
    used = Order(seed, batch_size + extra, batch_size)
    for step in steps:
        used.batch(step)
    for step in steps:
        np.testing.assert_array_equal(used.batch(step), Order(seed, batch_size + extra, batch_size).batch(step))


def test_other_process_gives_the_same_order():
    """Resuming is exact only if nothing depends on the process (hash seeds, global generators)."""
    script = (
        "from relsim.training.samples import Order as O; o = O(3, 50, 8)\nprint(o.batch(17), o.paraphrases(17, [5]*8))"
    )
    done = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    order = Order(3, 50, 8)
    assert done == [f"{order.batch(17)} {order.paraphrases(17, [5] * 8)}\n"] * 2


def test_epochs_and_seeds_differ():
    order = Order(1, 1000, 1000)
    assert not np.array_equal(order.batch(0), order.batch(1))
    assert not np.array_equal(order.batch(0), Order(2, 1000, 1000).batch(0))
    assert not np.array_equal(order.batch(0), np.arange(1000))


def test_places_in_an_epoch_are_even():
    """Over 3,000 seeds each of 6 rows comes first about 500 times (within 5 standard deviations), seams included."""
    for step in (0, 3):  # with 6 rows and batches of 2 a seam without a remainder; below, one with
        counts = Counter(int(Order(seed, 6, 2).batch(step)[0]) for seed in range(3_000))
        assert max(abs(count - 500) for count in counts.values()) < 5 * np.sqrt(3_000 * 5 / 36)


def test_rows_that_do_not_fill_a_batch():
    with pytest.raises(TrainingError, match=r"7 pictures do not fill a batch of 8; lower optimizer\.batch_size"):
        Order(0, 7, 8)


@pytest.mark.parametrize(
    ("length", "batch_size", "epochs", "steps"),
    [(100, 10, 3, 30), (105, 10, 3, 31), (100, 64, 0.1, 1), (10, 10, 2.5, 2)],
)
def test_steps_of_epochs(length, batch_size, epochs, steps):
    order = Order(0, length, batch_size)
    assert order.steps(epochs) == steps
    assert order.epoch(steps) == steps * batch_size / length


@given(st.integers(0, 2**63 - 1), st.integers(0, 10**6), st.lists(st.integers(1, 9), min_size=5, max_size=5))
def test_paraphrase_is_one_of_the_row(seed, step, counts):
    chosen = Order(seed, 9, 5).paraphrases(step, counts)
    assert all(0 <= choice < count for choice, count in zip(chosen, counts, strict=True))


def test_paraphrases_are_chosen_evenly():
    order = Order(0, 1000, 1000)
    counts = Counter(np.concatenate([order.paraphrases(step, [4] * 1000) for step in range(10)]).tolist())
    assert sorted(counts) == [0, 1, 2, 3]
    assert max(abs(count - 2500) for count in counts.values()) < 5 * np.sqrt(10_000 * 3 / 16)


@given(st.integers(0, 100), st.integers(1, 9))
def test_shares_make_up_the_batch(size, ranks):
    shares = [share(np.arange(size), rank, ranks) for rank in range(ranks)]
    assert np.concatenate(shares).tolist() == list(range(size))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


IDS = [f"image-{number}" for number in range(2_000)]


def test_fraction_is_held_out():
    train, held = hold_out(IDS, 0.1)
    assert sorted([*train, *held]) == list(range(2_000))
    assert abs(len(held) - 200) < 5 * np.sqrt(2_000 * 0.09)


def test_side_of_an_image_stays_when_others_come_and_go():
    _, before = hold_out(IDS, 0.1)
    _, after = hold_out(IDS[::-3], 0.1)
    assert {IDS[::-3][row] for row in after} == {IDS[row] for row in before} & set(IDS[::-3])


@pytest.mark.parametrize(
    ("count", "fraction", "held"), [(2, 1e-9, 1), (2, 1 - 1e-9, 1), (1, 0.5, 0), (0, 0.5, 0), (50, 0.0, 0)]
)
def test_little_to_hold_out(count, fraction, held):
    train, out = hold_out(IDS[:count], fraction)
    assert (len(train), len(out)) == (count - held, held)


def test_paraphrases_of_steps_differ():
    order = Order(0, 100, 100)
    assert not np.array_equal(order.paraphrases(0, [9] * 100), order.paraphrases(1, [9] * 100))
