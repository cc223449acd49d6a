"""Seed groups as training data, and whole groups that are held out."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from relsim.data.lists import read_list
from relsim.data.seed_groups import url_id
from relsim.data.shard_writing import ShardWriter
from relsim.errors import SourceError, TrainingError
from relsim.training.feed import open_data
from relsim.training.loop import train
from relsim.training.samples import hold_out, read_samples

CAPTIONS = ['"Growth of {Subject}"', "A {Shape} made of {Things}"]


@pytest.fixture
def index_list(tmp_path):
    """Two groups in index folders, of two images and of three."""
    for group, count in enumerate((2, 3)):
        for number in range(count):
            path = tmp_path / "images" / str(group) / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 30), (group * 90, number * 80, 0)).save(path)
    path = tmp_path / "seed_group.json"
    path.write_text(json.dumps([{"anonymous_caption": CAPTIONS[group], "index_group": group} for group in (0, 1)]))
    return path


@pytest.fixture
def url_list(tmp_path):
    """The list of two groups of two images each, by URL, one a line."""
    entries = [
        {"anonymous_caption": caption, "image_urls": [f"https://h.example/{group}-{number}.png" for number in (0, 1)]}
        for group, caption in enumerate(CAPTIONS)
    ]
    path = tmp_path / "seed_groups.jsonl"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def facts(samples):
    return [(sample.image_id, sample.captions, sample.group) for sample in samples]


def test_every_image_of_an_index_folder_has_caption_and_number_of_its_group(index_list, tmp_path):
    samples = read_samples([index_list])
    assert facts(samples) == [
        *((f"group_0_{number}", ("Growth of {Subject}",), "0") for number in range(2)),
        *((f"group_1_{number}", (CAPTIONS[1],), "1") for number in range(3)),
    ]
    assert [sample.source for sample in samples[:2]] == [str(tmp_path / f"images/0/{number}.png") for number in (0, 1)]


def test_groups_with_urls_are_found_in_shards_and_the_shards_alone_say_the_same(url_list, shard_row, golden_paths):
    """A download keeps the rows of the list beside the images."""
    folder = url_list.parent / "shards"
    data = golden_paths[0].read_bytes()
    with ShardWriter(folder) as writer:
        for number, row in enumerate(read_list(url_list)):
            fields = {"url_link": row.url_link, "caption": row.caption, "extra": row.extra}
            writer.append(shard_row(number, row.image_hash, data, **fields))
    samples = read_samples([url_list], folder)
    assert facts(samples) == [
        (url_id(f"https://h.example/{group}-{number}.png"), (CAPTIONS[group].strip('"'),), str(group))
        for group in (0, 1)
        for number in (0, 1)
    ]
    assert facts(read_samples([folder])) == facts(samples)
    assert facts(read_samples([folder, url_list], folder)) == facts(samples)


def test_images_of_a_download_folder_beside_the_list_are_found_unasked(url_list):
    for number in (0, 1):
        path = url_list.parent / "images" / "group_1" / f"{url_id(f'https://h.example/1-{number}.png')}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
    samples = read_samples([url_list])
    assert [sample.source.startswith(str(url_list.parent)) for sample in samples] == [False, False, True, True]


def test_groups_without_images_are_told_and_a_list_of_none_is_refused(index_list, caplog):
    (index_list.parent / "images" / "0").rename(index_list.parent / "away")
    assert {sample.group for sample in read_samples([index_list])} == {"1"}
    assert "1 of 2 groups have no images: 0" in caplog.text
    (index_list.parent / "images" / "1").rename(index_list.parent / "away too")
    with pytest.raises(SourceError, match=r"no group of .*seed_group\.json has images; .*data\.image_folder"):
        read_samples([index_list])


def test_lists_that_number_other_groups_alike_are_refused(index_list, tmp_path):
    other = tmp_path / "more.json"
    other.write_text(json.dumps([{"anonymous_caption": "{Other}", "index_group": 1}]))
    with pytest.raises(SourceError, match=r"group 1 has another caption than group 1 of .*seed_group\.json"):
        read_samples([index_list, other])
    other.write_text(json.dumps([{"anonymous_caption": CAPTIONS[1], "index_group": 1}]))
    assert facts(read_samples([index_list, other])) == facts(read_samples([index_list]))


def test_a_list_of_another_kind_is_no_manifest(tmp_path):
    (tmp_path / "list.json").write_text('[{"image_hash": "a"}]')
    with pytest.raises(SourceError, match=r"list\.json is no manifest; .* a list of seed groups"):
        read_samples([tmp_path / "list.json"])


names = st.lists(st.sampled_from([None, *"abcdefgh"]), min_size=2, max_size=30)


@given(names, st.floats(0, 0.999), st.sets(st.sampled_from("abcdefgh"), max_size=3))
def test_a_group_is_never_on_both_sides(groups, fraction, wished):
    """Images without a group are groups of their own; nothing is lost; what is named is held out."""
    named = sorted(wished & set(groups))
    ids = [f"image {number}" for number in range(len(groups))]
    if {group or name for group, name in zip(groups, ids, strict=True)} == set(named):
        with pytest.raises(TrainingError, match="nothing is left to train on"):
            hold_out(ids, fraction, groups=groups, named=named)
        return
    trained, held = hold_out(ids, fraction, groups=groups, named=named)
    assert sorted([*trained, *held]) == list(range(len(groups)))
    assert {groups[row] for row in trained} & {groups[row] for row in held} <= {None}
    assert set(named) <= {groups[row] for row in held}
    assert len(trained) > 0
    if fraction > 0 and len({group or name for group, name in zip(groups, ids, strict=True)} - set(named)) > 1:
        assert {groups[row] or ids[row] for row in held} > set(named)


GROUPS = [str(number // 3) for number in range(3_000)]
IDS = [f"image-{number}" for number in range(3_000)]


def test_about_the_share_of_groups_is_held_out():
    """1,000 groups; within 5 standard deviations of a tenth."""
    _, held = hold_out(IDS, 0.1, groups=GROUPS)
    assert abs(len(held) / 3 - 100) < 5 * np.sqrt(1_000 * 0.09)


def test_side_of_a_group_stays_when_groups_and_images_come_and_go():
    _, before = hold_out(IDS, 0.1, groups=GROUPS)
    _, after = hold_out(IDS[::-2], 0.1, groups=GROUPS[::-2])
    kept = set(GROUPS[::-2])
    assert {GROUPS[::-2][row] for row in after} == {GROUPS[row] for row in before} & kept


def test_a_name_that_no_group_has_is_refused_with_the_nearest():
    with pytest.raises(
        TrainingError, match=r"data\.held_out_groups names frut, .*did you mean fruit\? there are 2 groups"
    ):
        hold_out(["a", "b"], 0, groups=["fruit", "ring"], named=["frut"])


def sides(config):
    data = open_data(config)
    return set(data.train.groups), set() if data.held_out is None else set(data.held_out.groups), data


def test_a_captioner_holds_out_groups_and_the_metric_images_unless_told_otherwise(settings, tmp_path):
    """The 24 crops are of four groups."""
    trained, held, data = sides(settings(tmp_path, "objective.task=caption"))
    assert len(trained) + len(held) == 4
    assert not trained & held
    assert len(data.held_out) == 6 * len(held)
    trained, held, _ = sides(settings(tmp_path))
    assert trained & held
    trained, held, _ = sides(settings(tmp_path, "data.hold_out=groups"))
    assert held
    assert not trained & held
    trained, held, _ = sides(settings(tmp_path, "objective.task=caption", "data.hold_out=images"))
    assert trained & held


def test_groups_are_held_out_by_name(settings, tmp_path):
    named = "data.held_out_groups=[2, '0']"
    assert sides(settings(tmp_path, "data.eval_fraction=0", named))[:2] == ({"1", "3"}, {"0", "2"})
    with pytest.raises(TrainingError, match=r"data\.held_out_groups needs data\.hold_out groups"):
        settings(tmp_path, named, "data.hold_out=images")
    with pytest.raises(TrainingError, match=r"data\.held_out_groups and data of its own .* exclude each other"):
        settings(tmp_path, named, "data.eval_fraction=0", "data.eval_crops=x")
    with pytest.raises(TrainingError, match=r"data\.eval_image_folder needs data\.eval_manifest"):
        settings(tmp_path, "data.eval_image_folder=x")


def test_the_metric_learns_without_the_groups_that_it_is_judged_by(settings, tmp_path):
    outcome = train(settings(tmp_path / "run", "data.hold_out=groups", "run.steps=1"))
    assert outcome.metrics["mrr"] > 0


def test_test_data_have_a_folder_of_their_own_and_what_is_shared_is_told(settings, index_list, tmp_path, caplog):
    test = tmp_path / "test.json"
    test.write_text(json.dumps([{"anonymous_caption": "{New}", "index_group": 7}]))
    folder = tmp_path / "others" / "7"
    folder.mkdir(parents=True)
    Image.new("RGB", (40, 40), "red").save(folder / "x.png")
    (folder / "y.png").symlink_to(tmp_path / "images" / "1" / "0.png")
    given = [f"data.manifests=[{index_list}]", "data.eval_fraction=0", "data.crops=null", f"data.eval_manifest={test}"]
    data = open_data(settings(tmp_path / "a", *given, f"data.eval_image_folder={tmp_path / 'others'}"))
    assert data.held_out.image_ids == ["group_7_x", "group_7_y"]
    assert data.train.groups == ["0", "0", "1", "1", "1"]
    assert "are trained on as well" not in caplog.text
    shared = [*given[:3], f"data.eval_manifest={index_list}"]
    assert len(open_data(settings(tmp_path / "b", *shared)).held_out) == 5
    assert "5 of the 5 pictures to evaluate on are trained on as well" in caplog.text
