import json

import numpy as np
import pytest

from relsim.world.canvas import BACKGROUNDS, STYLES
from relsim.world.looks import CAST, HELD_OUT_OBJECTS, HELD_OUT_STYLES, Look, Split, draw_look
from relsim.world.objects import OBJECTS
from relsim.world.palettes import HELD_OUT_PALETTES, PALETTES
from relsim.world.relations import FAMILIES, HELD_OUT_RELATIONS, PORTRAIT, RELATIONS

SPLITS = pytest.mark.parametrize("split", Split, ids=lambda split: split.value)


def looks(split, count=60):
    return [draw_look(split, np.random.default_rng([split.number, index])) for index in range(count)]


def test_the_size_of_the_world():
    assert len(RELATIONS) >= 40
    assert len(FAMILIES) >= 7
    assert len(OBJECTS) >= 60
    assert (len(PALETTES), len(BACKGROUNDS), len(STYLES)) == (16, 6, 4)
    assert PORTRAIT.name not in RELATIONS


def test_one_relation_of_each_family_is_held_out():
    assert sorted(RELATIONS[name].family for name in HELD_OUT_RELATIONS) == sorted(FAMILIES)


@pytest.mark.parametrize(
    ("split", "part", "held_out", "everything"),
    [
        (Split.OBJECTS, "kinds", HELD_OUT_OBJECTS, OBJECTS),
        (Split.OBJECTS, "palettes", HELD_OUT_PALETTES, PALETTES),
        (Split.RELATIONS, "kinds", HELD_OUT_OBJECTS, OBJECTS),
        (Split.RELATIONS, "palettes", HELD_OUT_PALETTES, PALETTES),
        (Split.RELATIONS, "relations", HELD_OUT_RELATIONS, RELATIONS),
        (Split.STYLES, "styles", HELD_OUT_STYLES, STYLES),
    ],
)
def test_what_is_held_out_is_never_trained(split, part, held_out, everything):
    trained = getattr(Split.TRAIN, part)
    assert getattr(split, part) == held_out
    assert set(trained).isdisjoint(held_out)
    assert set(trained) | set(held_out) == set(everything)


def test_all_else_is_as_in_training():
    for split in Split:
        parts = {part for part in ("kinds", "palettes", "relations", "styles") if _differs(split, part)}
        assert (
            parts
            == {
                Split.TRAIN: set(),
                Split.VALIDATION: set(),
                Split.OBJECTS: {"kinds", "palettes"},
                Split.RELATIONS: {"kinds", "palettes", "relations"},
                Split.STYLES: {"styles"},
            }[split]
        )


def _differs(split, part):
    return getattr(split, part) != getattr(Split.TRAIN, part)


@SPLITS
def test_looks_keep_to_their_split(split):
    for look in looks(split):
        assert len(set(look.kinds)) == CAST
        assert set(look.kinds) <= set(split.kinds)
        assert look.palette in split.palettes
        assert look.style in split.styles
        assert sorted(look.colours) == list(range(5))


@SPLITS
def test_an_unlike_look_shares_nothing(split):
    for index, look in enumerate(looks(split)):
        other = draw_look(split, np.random.default_rng(index), unlike=look)
        assert set(other.kinds).isdisjoint(look.kinds)
        assert other.palette != look.palette
        assert other.background != look.background
        assert other.style != look.style or len(split.styles) == 1


def test_looks_differ():
    assert len(set(looks(Split.TRAIN))) == 60


@SPLITS
def test_a_look_survives_a_file(split):
    for look in looks(split, 5):
        assert Look.from_json(json.loads(json.dumps(look.as_json()))) == look
