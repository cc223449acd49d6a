"""What holds for every relation of the world, whoever drew it."""

import re

import pytest

from relsim.world.backgrounds import BACKGROUNDS
from relsim.world.descriptions import STYLE_WORDS
from relsim.world.looks import Split
from relsim.world.objects import OBJECTS
from relsim.world.palettes import PALETTES
from relsim.world.relations import FAMILIES, HELD_OUT_RELATIONS, PORTRAIT, RELATIONS, relation_named

EVERY = pytest.mark.parametrize("relation", RELATIONS.values(), ids=RELATIONS.keys())

NAMES = {name for kind in OBJECTS.values() for name in (kind.name, kind.plural)}
COLOURS = {colour.word for palette in PALETTES.values() for colour in (palette.paper, palette.ink, *palette.colours)}
LOOKS = {f"{word} drawing" for word in STYLE_WORDS.values()} | set(STYLE_WORDS) | set(BACKGROUNDS)

STRUCTURE = {
    "missing_one": {"outline"},  # of what is absent, in every style
    "made_of_many": {"outline"},  # that the many fill
    "silhouette_window": {"outline"},  # that the scene fills
    "bouquet": {"flowers", "leaves"},  # whose place things take
    "letter_from_objects": {"heart"},  # a sign that they draw
    "branching_tree": {"tree"},  # the diagram
    "magnifier": {"magnifier"},  # the lens that every layout draws
    "thought": {"cloud"},  # the bubble
    "cut_out": {"leaves"},  # the verb
}
"""Words that name the structure itself, which would be there with any cast."""


def words_in(text, words):
    return {word for word in words if re.search(rf"\b{word}\b", text.lower())}


def test_names_are_unique_snake_case():
    assert all(
        re.fullmatch(r"[a-z]+(_[a-z]+)*", name) and relation.name == name for name, relation in RELATIONS.items()
    )
    assert {relation.family for relation in RELATIONS.values()} == set(FAMILIES)
    assert set(HELD_OUT_RELATIONS) <= RELATIONS.keys()


def test_a_relation_is_found_by_name():
    assert relation_named("ring") is RELATIONS["ring"]
    assert relation_named("portrait") is PORTRAIT
    with pytest.raises(KeyError):
        relation_named("friendship")


@EVERY
def test_a_relation_can_be_drawn_and_told_in_several_ways(relation):
    assert len(relation.layouts) >= 3
    assert len(set(relation.layouts)) == len(relation.layouts)
    assert len(relation.captions) >= 6
    assert 0 <= relation.turn <= 45


@EVERY
def test_captions_are_anonymous(relation):
    """But for placeholders they name no kind, no colour and no style; structure may be called by its name."""
    for caption in relation.captions:
        told = re.sub(r"\{[^{}]*\}", "", caption)
        assert words_in(told, NAMES | COLOURS | LOOKS) <= STRUCTURE.get(relation.name, set()), caption


@EVERY
def test_captions_are_short_sentences_with_placeholders(relation):
    assert sum("{" in caption for caption in relation.captions) >= len(relation.captions) - 1
    for caption in relation.captions:
        assert 4 <= len(caption.split()) <= 16
        assert caption[0].isupper() or caption[0] == "{"
        assert not caption.endswith(".")
        assert re.sub(r"\{[A-Z][A-Za-z ]*\}", "", caption).isascii()
        assert caption.count("{") == caption.count("}") == len(re.findall(r"\{[A-Z][A-Za-z ]*\}", caption))


def test_no_sentence_serves_two_relations():
    every = [caption for relation in (*RELATIONS.values(), PORTRAIT) for caption in relation.captions]
    assert len({caption.lower() for caption in every}) == len(every)


def test_splits_show_no_portraits():
    assert all(PORTRAIT.name not in split.relations for split in Split)
