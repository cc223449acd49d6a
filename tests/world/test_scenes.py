import json
import os
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from itertools import islice

import numpy as np
import pytest

from relsim.errors import SourceError
from relsim.world.canvas import View
from relsim.world.looks import Split
from relsim.world.relations import PORTRAIT, RELATIONS
from relsim.world.scenes import disguised, draw, draw_scene, like, scene_from_record, scenes

SPLITS = pytest.mark.parametrize("split", Split, ids=lambda split: split.value)

DIGEST = """
from hashlib import sha256
from itertools import islice
from relsim.world.looks import Split
from relsim.world.scenes import draw, scenes
sum = sha256()
for split in Split:
    for scene in islice(scenes(split, 7), 12):
        drawing = draw(scene, 64)
        sum.update(drawing.image.tobytes() + repr(drawing.record()).encode())
print(sum.hexdigest())
"""


def row(split, count, seed=0, start=0):
    return list(islice(scenes(split, seed, start), count))


def pixels(scene, size=64):
    return draw(scene, size).image.tobytes()


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_another_process_draws_the_same_pixels(hash_seed):
    """Whatever the order of its sets is."""
    here = sha256()
    for split in Split:
        for scene in row(split, 12, seed=7):
            drawing = draw(scene, 64)
            here.update(drawing.image.tobytes() + repr(drawing.record()).encode())
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    there = subprocess.run([sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here.hexdigest()


@SPLITS
def test_relations_take_turns(split):
    assert [scene.relation for scene in row(split, len(split.relations) + 1)] == [*split.relations, split.relations[0]]


@SPLITS
def test_a_row_can_be_entered_anywhere(split):
    assert row(split, 9)[4:] == row(split, 5, start=4)


def test_no_two_scenes_of_the_world_are_equal():
    every = [scene.image_id for split in Split for seed in (0, 1) for scene in row(split, 300, seed)]
    assert len(set(every)) == len(every)


def test_validation_shows_what_training_never_did():
    trained = {replace(scene, split=Split.TRAIN) for scene in row(Split.TRAIN, 500)}
    assert trained.isdisjoint(replace(scene, split=Split.TRAIN) for scene in row(Split.VALIDATION, 500))


@SPLITS
def test_a_row_of_a_manifest_gives_its_picture_again(split):
    for scene in row(split, 25):
        drawing = draw(scene, 48)
        again = scene_from_record(json.loads(json.dumps(drawing.record())))
        assert again == scene
        assert draw(again, 48).image.tobytes() == drawing.image.tobytes()


def test_a_portrait_is_a_scene_too():
    scene = draw_scene(Split.TRAIN, np.random.default_rng(0), relation=PORTRAIT.name)
    assert scene_from_record(draw(scene, 32).record()) == scene


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"layout": 77},
        {"relation": "friendship"},
        {"split": "train"},
        {"split": "attic"},
        {"attributes": None},
        {"attributes": {"kinds": []}},
        {"image_hash": "0" * 32},
    ],
    ids=json.dumps,
)
def test_an_altered_row_is_refused(change):
    record = draw(row(Split.OBJECTS, 1)[0], 32).record()
    with pytest.raises(SourceError, match=change.get("image_hash", record["image_hash"])):
        scene_from_record(record | change)


def test_a_row_of_another_source_is_refused():
    with pytest.raises(SourceError, match="gallery"):
        scene_from_record({"image_hash": "abc", "url_link": "http://x", "caption": "{Object}"})


def test_a_record_has_the_published_fields_first():
    scene = row(Split.TRAIN, 1)[0]
    record = draw(scene, 32).record()
    assert list(record)[:3] == ["image_hash", "url_link", "caption"]
    assert record["caption"] in record["captions"]
    assert [*record["captions"], record["unseen_caption"]] == list(scene.captions)


@SPLITS
def test_the_last_caption_is_never_the_one_to_train_on(split):
    for scene in row(split, 60):
        captions = scene.captions
        assert draw(scene, 16).record()["caption"] in captions[:-1]


def test_every_part_of_a_scene_shows():
    """Another layout, seed, palette, style, background or viewpoint draws other pixels."""
    scene = next(scene for scene in scenes(Split.TRAIN, 0) if scene.relation == "ring")
    look = scene.look
    changed = {
        "layout": replace(scene, layout=(scene.layout + 1) % 3),
        "seed": replace(scene, seed=scene.seed + 1),
        "palette": replace(scene, look=replace(look, palette="candy" if look.palette != "candy" else "sea")),
        "style": replace(scene, look=replace(look, style="flat" if look.style != "flat" else "soft")),
        "background": replace(
            scene, look=replace(look, background="dotted" if look.background != "dotted" else "ruled")
        ),
        "kinds": replace(scene, look=replace(look, kinds=look.kinds[::-1])),
        "view": replace(scene, look=replace(look, view=View(turn=0.9, scale=0.84))),
    }
    drawn = {name: pixels(other) for name, other in changed.items()} | {"": pixels(scene)}
    assert len(set(drawn.values())) == len(drawn)


def test_sizes_show_the_same_scene():
    """A large picture, reduced, is close to the small one."""
    for scene in row(Split.TRAIN, 6):
        small = np.asarray(draw(scene, 112).image, np.float32)
        large = np.asarray(draw(scene, 224).image.reduce(2), np.float32)
        assert np.abs(small - large).mean() < 8


@SPLITS
def test_like_and_disguised_are_opposites(split):
    rng = np.random.default_rng(1)
    for scene in row(split, 40):
        positive, negative = like(scene, rng), disguised(scene, rng)
        assert positive.relation == scene.relation
        assert positive.look != scene.look
        assert positive.layout != scene.layout
        assert negative.look == scene.look
        assert negative.relation != scene.relation


@pytest.mark.parametrize("relation", RELATIONS)
def test_every_relation_can_be_told_from_the_paper(relation):
    """In each layout something other than the background is drawn on at least 4 % of the picture."""
    for layout in range(len(RELATIONS[relation].layouts)):
        scene = draw_scene(Split.TRAIN, np.random.default_rng(layout), relation=relation)
        plain = replace(scene, layout=layout, look=replace(scene.look, background="plain"))
        picture = np.asarray(draw(plain, 64).image, np.int16)
        assert (np.abs(picture - np.array(picture[0, 0])).max(axis=2) > 12).mean() > 0.04
