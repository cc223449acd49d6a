"""Relations composed of parts: all drawn and told, none of them measured on, none that is held out."""

import re

import numpy as np
import pytest

from relsim.world.looks import Split
from relsim.world.relations import RELATIONS, relation_named
from relsim.world.relations.composed import PREFIX, composed_names, composed_relation, draw_name
from relsim.world.relations.composed_bonds import BONDS
from relsim.world.relations.composed_marks import MARKS
from relsim.world.relations.composed_paths import PATHS
from relsim.world.relations.composed_props import PROPS
from relsim.world.relations.composed_series import CHANGES, TIES
from relsim.world.relations.composed_stands import STANDS
from relsim.world.scenes import coverage, draw, draw_scene

EACH_PART = [
    *(f"{PREFIX}series/{path}/alike/loose" for path in PATHS),
    *(f"{PREFIX}series/line/{change}/loose" for change in CHANGES),
    *(f"{PREFIX}series/line/alike/{tie}" for tie in TIES),
    *(f"{PREFIX}mark/{mark}/0" for mark in (*MARKS, *STANDS)),
    *(f"{PREFIX}bond/{bond}/equal/other" for bond in BONDS),
    *(f"{PREFIX}prop/{prop}/alike" for prop in PROPS),
]
HELD_OUT = (
    r"spiral|coil|swirl|strata|multipl|double|weigh|balance|scale|bouquet|stem\b|flower|exchange|swap|measur|width"
    r"|height|reflect|water"
)
"""Words that a held-out relation is told with."""


def scene_of(name, seed=3):
    return draw_scene(Split.TRAIN, np.random.default_rng(seed), relation=name)


@pytest.mark.parametrize("name", EACH_PART)
def test_every_part_is_drawn(name):
    """Something of the picture is covered, in whatever look, and never all of it."""
    shares = [coverage(scene_of(name, seed), 96).mean() for seed in range(3)]
    assert all(0.01 < share < 0.9 for share in shares)


@pytest.mark.parametrize("name", EACH_PART)
def test_every_part_is_seen(name):
    """The same look and chance with another relation of its maker gives another picture."""
    maker = name.split("/")[1]
    other = next(each for each in EACH_PART if each != name and each.split("/")[1] == maker)
    pictures = [np.asarray(draw(scene_of(chosen), 96).image) for chosen in (name, other)]
    assert not np.array_equal(*pictures)


def test_every_name_has_sentences_of_its_own():
    """Four or more for each, with placeholders, and none that another composed relation or one of the world has."""
    told = {caption: relation.name for relation in RELATIONS.values() for caption in relation.captions}
    for name in composed_names():
        captions = relation_named(name).captions
        assert len(captions) >= 4
        for caption in captions:
            assert "{" in caption
            assert not re.search(HELD_OUT, caption.lower()), caption
            assert told.setdefault(caption, name) == name


def test_thousands_are_known_and_others_are_not():
    assert len(set(composed_names())) == len(composed_names()) > 2000
    for name in ("composed/", "composed/series/line", "composed/series/spiral/alike/loose", "composed/mark/ringed/9"):
        with pytest.raises(KeyError):
            composed_relation(name)


def test_no_split_shows_one():
    assert not any(name.startswith(PREFIX) for split in Split for name in split.relations)


def test_names_are_drawn_by_their_maker():
    """Two of five are series, one each a mark, a bond and a prop, within four standard errors of 4,000 draws."""
    rng = np.random.default_rng(0)
    makers = [draw_name(rng).split("/")[1] for _ in range(4000)]
    for maker, share in (("series", 0.4), ("mark", 0.2), ("bond", 0.2), ("prop", 0.2)):
        assert abs(makers.count(maker) / 4000 - share) < 4 * (share * (1 - share) / 4000) ** 0.5
