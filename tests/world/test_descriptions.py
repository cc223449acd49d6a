import re
from itertools import islice

import pytest

from relsim.world import scenes as scenes_module
from relsim.world.backgrounds import BACKGROUNDS
from relsim.world.descriptions import NAMED, STYLE_WORDS, Sight, describe, name_query
from relsim.world.looks import Split
from relsim.world.objects import OBJECTS
from relsim.world.palettes import PALETTES
from relsim.world.scenes import draw, scenes
from relsim.world.stage import Stage

COLOURS = {colour.word for palette in PALETTES.values() for colour in (palette.paper, palette.ink, *palette.colours)}
NAMES = {name: (kind.name, name == kind.name) for kind in OBJECTS.values() for name in (kind.plural, kind.name)}
THING = rf"(?:(?P<article>an?) )?(?P<colour>{'|'.join(COLOURS)}) (?P<name>{'|'.join(sorted(NAMES, key=len)[::-1])})\b"
THINGS = (
    rf"{THING}(?:(?:, | and ){THING})*".replace("?P<article>", "").replace("?P<colour>", "").replace("?P<name>", "")
)
GROUND = rf"a (?:{'|'.join(BACKGROUNDS)}) (?:{'|'.join(COLOURS)}) ground"
STYLE = rf"(?:{'|'.join(STYLE_WORDS.values())}) drawing"
FORMS = (
    rf"(?:{THINGS}) on {GROUND}, {STYLE}",
    rf"a {STYLE} of (?:{THINGS}) on {GROUND}",
    rf"(?:{THINGS}), a {STYLE} on {GROUND}",
)


def named(text):
    """(kind, colour, whether one) of the things that a description names."""
    found = re.finditer(THING, text.lower())
    return {(NAMES[match["name"]][0], match["colour"], match["article"] is not None) for match in found}


class Diary(Stage):
    """A stage that writes down what is put on it."""

    latest = None

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.put_on = set()
        Diary.latest = self

    def put(self, actor, *place, **how):
        self.put_on.add((actor.kind.name, actor.colour.word))
        super().put(actor, *place, **how)


@pytest.fixture(scope="module")
def drawings():
    """About 400 scenes of all splits, and what was put on their stages."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes_module, "Stage", Diary)
        return [(draw(scene, 24), Diary.latest.put_on) for split in Split for scene in islice(scenes(split, 5), 80)]


def test_descriptions_name_what_was_drawn(drawings):
    """The largest things, at most three, with their colours; "a" where there is one of them, else the plural."""
    for drawing, put_on in drawings:
        expected = {(kind, colour, count == 1) for kind, colour, count in drawing.sight.things[:NAMED]}
        assert expected
        assert {(kind, colour) for kind, colour, _ in expected} <= put_on
        for text in drawing.descriptions:
            assert named(text) == expected


def test_descriptions_say_nothing_else(drawings):
    """Every word belongs to things, ground or style, so that no relation can be told from one."""
    for drawing, _ in drawings:
        for text in drawing.descriptions:
            assert any(re.fullmatch(form, text, re.IGNORECASE) for form in FORMS), text


def test_descriptions_tell_ground_and_style(drawings):
    for drawing, _ in drawings:
        look = drawing.scene.look
        ground = f"{look.background} {PALETTES[look.palette].paper.word} ground"
        assert all(ground in text and f"{STYLE_WORDS[look.style]} drawing" in text for text in drawing.descriptions)


def test_descriptions_are_three_forms_of_one_statement(drawings):
    for drawing, _ in drawings:
        assert len(set(drawing.descriptions)) == 3
        assert drawing.description == drawing.descriptions[0]
    assert len({drawing.description.split(" drawing")[0][:2] for drawing, _ in drawings}) > 1


def test_closed_forms():
    sight = Sight((("apple", "orange", 1), ("leaf", "green", 3)), "white", "dotted", "outline")
    assert describe(sight) == (
        "An orange apple and green leaves on a dotted white ground, line drawing",
        "A line drawing of an orange apple and green leaves on a dotted white ground",
        "An orange apple and green leaves, a line drawing on a dotted white ground",
    )


def test_the_seed_says_which_form_comes_first():
    forms = [describe(Sight((("key", "red", 1),), "grey", "plain", "flat", seed)) for seed in range(4)]
    assert forms[1] == (*forms[0][1:], forms[0][0])
    assert forms[3] == forms[0]


def test_a_fourth_thing_goes_unnamed():
    things = tuple((kind, "red", 1) for kind in ("key", "boot", "fish", "crab"))
    text = describe(Sight(things, "grey", "plain", "soft"))[0]
    assert text == "A red key, a red boot and a red fish on a plain grey ground, shaded drawing"


def test_an_empty_scene_shows_nothing():
    assert describe(Sight((), "grey", "plain", "flat"))[0] == "Nothing on a plain grey ground, flat drawing"


def test_a_query_names_kind_and_colour():
    assert name_query("leaf", "brown") == "brown leaves"
