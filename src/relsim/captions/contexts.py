"""Where a word for a thing names no thing: as a verb, as a shape, as a simile, or as a prop of the stated relation.

    {Subject} bears {Object}                        a verb (`words/verbs.txt`)
    a branching tree of {Items}, star-shaped        a shape that {Items} take (`words/shapes.txt`)
    nested like dolls                               a simile
    the hands of {People}                           a part of what stays unnamed
    the key features                                an adjective
    {Object} reflected in a lake                    a prop: without it the relation could not be said
    a plant that bears {Objects} instead of flowers a prop as well

Each rule is for words of its own; a word that has no rule leaks wherever it stands.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from relsim.captions.lexicon import word_list


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PASSED = _words("doll domino feather jewel gear letter word symbol or and")
_PARTS = _words(
    "arm body ear elbow eye face finger foot hair hand head leg limb mouth neck nose shoulder tail torso wing petal "
    "leaf stalk seed door window roof wall floor wheel lens cable wire pipe key button handle"
)
_MADE_FIRST = _words("of made built composed formed created constructed consisting assembled woven")
_MADE = _MADE_FIRST | _words("entirely only purely out from by with using up")
_SHAPE_AFTER = _words(
    "shape shapes shaped like form forms formed pattern patterns outline outlines symbol symbols formation formations "
    "structure structures layout diagram chart motif arrangement contour silhouette icon"
)
_ARTICLES = frozenset({"a", "an", "the", "its", "their", "his", "her", "one", "each", "every", "this", "that", "these"})
_OPEN = _ARTICLES | _words(
    "those another all both many several various different multiple two three four five some small large tiny single "
    "other such similar identical numerous countless colorful overlapping repeated own same new"
)
_AUXILIARY = _words(
    "can could will would may might must should shall that which who it they we you then also still not never always "
    "each all both either together gradually"
)
_PARTICLES = _words(
    "up down out off over through into onto toward towards against away at across apart along around together back for "
    "between from in on with within upward downward inward outward"
)
_BEFORE_NOUN = _words(
    "of in on at by with from into onto over under behind beside between through for as and or nor like than without "
    "within across against near inside outside above below beneath around per via a an the its their his her your our "
    "this these those some any no every another other one two three four five six seven eight nine ten many several "
    "few various different multiple such same own"
)
_TO_NOUN = _words(
    "next close similar compared due according related attached connected belongs leads lead back refers relation "
    "addition analogous equal tied from thanks"
)
_ADJECTIVES = frozenset({"key", "uniform", "golden", "metallic", "shed"})
_PLANES = _words("flat image different picture horizontal vertical same dimensional focal inclined")
_FUNCTION = _OPEN | _PARTICLES | _AUXILIARY | frozenset({"and", "or", "of", "as", "is", "are", "was", "to"})


@dataclass(frozen=True, slots=True)
class Prop:
    """Words that a relation cannot be said without, and a pattern of the words that say that relation."""

    relation: str
    words: frozenset[str]
    said: re.Pattern[str]


def _prop(relation: str, words: str, *said: str) -> Prop:
    return Prop(relation, frozenset(words.replace("_", " ").split("|")), re.compile("|".join(said)))


PROPS = (
    _prop(
        "reflection",
        "water|lake|pond|puddle|shore|shoreline|mirror|glass|river|sea|ocean|metal|metallic|window|sky",
        r"\breflect|\bmirror(?:s|ed|ing)\b|\binverted|\bupside|\bflipped|\breversed?\b",
        r"\bitself\b|\bcounterpart|\bsees\b",
    ),
    _prop(
        "things as blossoms",
        "plant|flower|blossom|fruit|leaf|stalk|bouquet|bloom|petal|twig|seed",
        r"\b(?:in place of|instead of)\b[^{}]*\b(?:flower|blossom|fruit|petal|lea)",
        r"\b(?:bear|bears|bearing|bouquet of|sprouts?|bloom|grow like|ending in an?|as (?:its|their))\b[^.]{0,24}\{",
        r"\}[^.{}]{0,12}\b(?:bloom|sprout|blossom)",
    ),
    _prop("weighing", "seesaw|see-saw|scale|anchor|ball", r"\bweigh|\bcounterweight|\bbalanc"),
    _prop(
        "magnification",
        "magnifying_glass|magnifier|lens|glass|microscope|telescope",
        r"\bmagnif(?!ier)|\blooks? large|\benlarge|\bzoom|\bbigger\b|\bclose\b",
    ),
    _prop(
        "viewing",
        "easel|television|camera|window|lens|door|doorway",
        r"\bview(?:er)?s?\b|\bwatch|\blook|\bon display\b|\bseen\b",
    ),
    _prop("binding", "rope|thread|wire|chain|cable", r"\blink|\btied\b|\bjoin|\bheld together|\bconnect"),
    _prop(
        "things as parts of a figure",
        "face|head|body|limb|torso|figure|hair|eye|mouth|nose",
        r"\bstand in\b|\breplac|\bsubstitut|\bin place of\b|\bfeatures\b|\binstead of\b",
    ),
    _prop(
        "layers within",
        "seed|shell|bone|skin|flesh|wall|roof|floor|room",
        r"\bcross.?section|\bsliced\b|\bcut open\b|\bcut ?away|\blayers?\b|\binterior\b|\binternal\b|\bcore\b",
    ),
    _prop("cutting out", "glass|metal|scissor|scissors|window|wall", r"\bcut.?outs?\b|\bpunched|\bhole\b"),
    _prop("enclosing", "ice|glass|amber", r"\bfrozen|\bfreez|\bencas|\benclos|\bpreserv|\btransparent"),
    _prop("breaking through", "wall|floor|glass|eggshell|egg|ice", r"\bbreak|\bburst|\bemerg|\bcrack|\bpierc|\bhatch"),
    _prop(
        "approval",
        "green|red",
        r"\b(?:un)?acceptable|\ballow|\bforbid|\bprohibit|\bapprov|\bdisallow|\bcorrect",
    ),
)
"""Props by the relation that they serve."""


@dataclass(frozen=True, slots=True)
class Spot:
    """The place of a listed word among the tokens of a caption.

    Tokens are in lower case, a placeholder being `{}`; hyphens are no tokens.
    """

    tokens: Sequence[str]
    place: int
    length: int

    @property
    def before(self) -> str:
        """The token before the word; empty at the beginning."""
        return self.tokens[self.place - 1] if self.place else ""

    @property
    def rest(self) -> Sequence[str]:
        """The next tokens after the word."""
        return self.tokens[self.place + self.length : self.place + self.length + 7]

    @property
    def after(self) -> str:
        """The token after the word; empty at the end."""
        return self.rest[0] if self.rest else ""


def is_lawful(lemma: str, spot: Spot, text: str) -> bool:
    """Whether the listed word at that spot names no thing there; `text` is the caption in lower case, with `{}`."""
    return (
        (lemma in word_list("verbs") and spot.length == 1 and _is_verb(spot))
        or (lemma in word_list("shapes") and (_is_simile(spot) or _is_shape(spot)))
        or (lemma in _PASSED and _is_simile(spot))
        or (lemma in _PARTS and _is_part_of_unnamed(spot))
        or (lemma in _ADJECTIVES and _is_adjective(spot))
        or (lemma == "plane" and spot.before in _PLANES)
        or any(lemma in prop.words and prop.said.search(text) is not None for prop in PROPS)
    )


def _is_verb(spot: Spot) -> bool:
    before, after, word = spot.before, spot.after, spot.tokens[spot.place]
    opened = after == "{}" or after in _OPEN
    if before == "to":
        return spot.place < 2 or spot.tokens[spot.place - 2] not in _TO_NOUN
    if before == "{}" or before in _AUXILIARY or (before.endswith("ly") and len(before) > len("only")):
        return opened or after in _PARTICLES
    if before in ("and", "or", "but"):
        return after in ("a", "an", "the", "{}")
    if not before.isalpha():
        return opened and before in ("", ",") and word.endswith(("ing", "s"))
    # Of a noun and a verb one has the final s: "the pose mirrors that of", "its stripes mirror the".
    return opened and before not in _BEFORE_NOUN and word.endswith("s") != before.endswith("s")


def _is_simile(spot: Spot) -> bool:
    """Whether "like" opens the words before: like dolls, like a cage or a bubble."""
    for token in spot.tokens[max(0, spot.place - 6) : spot.place][::-1]:
        if token == "like":
            return True
        if token not in _OPEN and token not in _PASSED and token not in word_list("shapes"):
            return False
    return False


def _is_shape(spot: Spot) -> bool:
    """Whether things take the word's shape: wall of {Objects}, star-shaped, in the form of a spiral staircase."""
    if spot.after in _SHAPE_AFTER or spot.after == "between":
        return True
    earlier = spot.tokens[max(0, spot.place - 5) : spot.place]
    if "of" in earlier[-3:] and not _SHAPE_AFTER.isdisjoint(earlier):
        return True
    for number, token in enumerate(spot.rest):
        if token == "{}":
            return number > 0 and spot.rest[0] in _MADE_FIRST
        if token not in _MADE and token not in _OPEN:
            return False
    return False


def _is_part_of_unnamed(spot: Spot) -> bool:
    """Whether the part is that of a placeholder: `{Subject}'s hand`, `the hand of a {Subject}`."""
    if spot.before == "{}":
        return True
    owner = spot.rest[1:4]
    if spot.after not in ("of", "or") or "{}" not in owner:
        return False
    return all(token in _OPEN for token in owner[: owner.index("{}")])


def _is_adjective(spot: Spot) -> bool:
    """Whether a noun follows: "key features", but not "key in a lock"."""
    return spot.after.isalpha() and spot.after not in _FUNCTION and not spot.after.endswith(("ed", "ing"))
