"""How words about drawn scenes are judged: names of things against what was drawn, captions against templates."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image

from relsim.captions.anonymity import check
from relsim.encoders.base import Vectors
from relsim.evaluation.statistics import Estimate, wilson
from relsim.models.text_encoder import CaptionEncoder
from relsim.world.descriptions import name_query
from relsim.world.looks import Split
from relsim.world.objects import OBJECTS
from relsim.world.palettes import PALETTES
from relsim.world.relations import RELATIONS
from relsim.world.scenes import Drawing

Writer = Callable[[Sequence[Image.Image]], list[str]]
Name = tuple[str, str]
"""Kind and colour word."""

COLOURS = tuple(sorted({colour.word for palette in PALETTES.values() for colour in palette.colours}))
_FORMS = {form: name for name, kind in OBJECTS.items() for form in (name, kind.plural)}
_KIND = re.compile(rf"\b({'|'.join(sorted(map(re.escape, _FORMS), key=len, reverse=True))})\b")
_COLOUR = re.compile(rf"\b({'|'.join(COLOURS)})\b")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Shares of captions by what is true of them, and which relation was taken for which, most often first."""

    shares: dict[str, Estimate]
    confused: list[tuple[tuple[str, str], int]]


def nearest_names(vectors: Vectors) -> list[Name]:
    """For each picture the nearest of the sentences "colour kinds", over all trained kinds and all colour words."""
    names = [(kind, colour) for kind in Split.TRAIN.kinds for colour in COLOURS]
    sentences = CaptionEncoder().encode_text([name_query(*name) for name in names])
    return [names[index] for index in (vectors @ sentences.T).argmax(axis=1)]


def first_named(text: str) -> Name:
    """The first kind and the first colour that a description names; empty where it names none."""
    kind, colour = _KIND.search(text.lower()), _COLOUR.search(text.lower())
    return _FORMS[kind[0]] if kind else "", colour[0] if colour else ""


def rightly_named(drawn: Sequence[Drawing], names: Sequence[Name]) -> tuple[Estimate, Estimate]:
    """Shares of scenes whose main thing (that of the largest area) has the named colour, and the named kind."""
    main = [drawing.sight.things[0] for drawing in drawn]
    kinds = sum(kind == thing[0] for thing, (kind, _) in zip(main, names, strict=True))
    colours = sum(colour == thing[1] for thing, (_, colour) in zip(main, names, strict=True))
    return wilson(colours, len(main)), wilson(kinds, len(main))


def judge_captions(texts: Sequence[str], relations: Sequence[str]) -> Verdict:
    """Right where the template nearest by MiniLM, among all captions of all relations, is of the scene's relation."""
    templates = [(name, text) for name, relation in RELATIONS.items() for text in relation.captions]
    encoder = CaptionEncoder()
    scores = encoder.encode_text(list(texts)) @ encoder.encode_text([text for _, text in templates]).T
    found = [templates[index][0] for index in scores.argmax(axis=1)]
    known = {text for _, text in templates}
    wrong = Counter((true, taken) for true, taken in zip(relations, found, strict=True) if true != taken)
    shares = {
        "right relation by the nearest template": sum(a == b for a, b in zip(found, relations, strict=True)),
        "names an object": sum(names_an_object(text) for text in texts),
        "word for word a template": sum(text in known for text in texts),
    }
    return Verdict({title: wilson(right, len(texts)) for title, right in shares.items()}, wrong.most_common(6))


def names_an_object(text: str) -> bool:
    """Whether the linter of captions finds a thing named outside placeholders; malformed ones are another matter."""
    return any("placeholder" not in finding.kind for finding in check(text).findings)
