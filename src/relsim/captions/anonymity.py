"""Whether a caption is anonymous: it has placeholders, they are well formed, and nothing outside them names a thing.

    check("Creative arrangement of {Fruit} shaped into a {Tree}").ok       True
    check("A golden retriever next to {Object}").findings                  ("golden retriever", animal)

Kinds of findings: `placeholder` (a malformed one), `no placeholder`, one of the kinds of `relsim.captions.lexicon` for
a concrete noun, `proper noun` for capitals within a sentence, `number` (of concrete things, and exact figures such as
years), `quote` for literal words. Rules by words and context, without a model: what they miss and what they take amiss
is measured in docs/captions.md.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from relsim.captions.contexts import Spot, is_lawful
from relsim.captions.lexicon import LAWFUL, Entry, Lexicon, bare, lexicon, words_of
from relsim.captions.placeholders import PLAIN, Placeholder, find_placeholders
from relsim.data.cleaning import clean_caption
from relsim.evaluation.statistics import Estimate, wilson

_TOKEN = re.compile(r"\x00+(?:['\u2019]s?|s)?\b|\x00+|[^\W_]+(?:['\u2019][^\W_]+)*|[^\w\s-]")
_HIDDEN = "\x00"
_SIGN = re.compile(r"[A-Z\d\"\u201c\u201d\u2018']")
_NO_LETTERS = str.maketrans(dict.fromkeys('\x00_-.,;:!?()[]/"\u201c\u201d\u2018\u2019*&+\u2013\u2014', " "))
_SENTENCE_ENDS = frozenset('.!?:;"\u201c\u201d\u2018(')
_QUOTED = re.compile(
    r"\"([^\"]*)\"|\u201c([^\u201d]*)\u201d|(?<![\w}])'([^']+)'(?!\w)|(?<!\w)\u2018([^\u2019]+)\u2019(?!\w)"
)
_OF_ITSELF = re.compile(r"\b(?:image|picture|frame|scene)s?\b[^.]*\bitself\b", re.IGNORECASE)
"""What an image does to itself leaves nothing to put in braces: a frame that holds an image of itself."""
_NUMBERS = frozenset(
    {"two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve", "twenty", "dozen"}
)
_DEGREES = frozenset({"45", "90", "180", "270", "360", "100"})
_FIGURE = re.compile(r"\d{3,}|\d+(?:st|nd|rd|th)?s?|\d+(?:km|cm|mm|m|kg|g|px|k)")
_CAPITALS = frozenset({"I", "3D", "2D", "4D", "UV", "LED", "DNA", "DIY", "OK", "CAD", "QR", "AI", "VR", "AR", "X"})
_TITLE_SHARE = 0.75
_TITLE_WORDS = 3
_SMALL = frozenset(
    {"a", "an", "the", "of", "in", "on", "and", "or", "to", "with", "by", "for", "from", "as", "at", "into"}
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What makes a caption not anonymous: its place in the caption, its kind, and the word (or what is wrong)."""

    start: int
    end: int
    kind: str
    word: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a caption is anonymous, and all that speaks against it, in the order of the text."""

    ok: bool
    findings: tuple[Finding, ...]


class _Token(NamedTuple):
    start: int
    end: int
    text: str


_ANONYMOUS = Verdict(True, ())


def check(caption: str) -> Verdict:
    """Whether a caption names things. Stray quotes around the whole of it are passed over (see `clean_caption`)."""
    cleaned = clean_caption(caption)
    if _is_harmless(cleaned):
        return _ANONYMOUS
    placeholders = list(find_placeholders(cleaned))
    hidden = _hide(cleaned, placeholders)
    tokens = [_Token(*match.span(), match[0]) for match in _TOKEN.finditer(hidden)]
    found = [*_of_placeholders(cleaned, placeholders), *_nouns(tokens, hidden), *_quotes(cleaned), *_figures(tokens)]
    found += _proper(tokens, found)
    found.sort(key=lambda finding: (finding.start, finding.end))
    offset = caption.find(cleaned)
    moved = tuple(Finding(item.start + offset, item.end + offset, item.kind, item.word) for item in found)
    return Verdict(not moved, moved)


def leak_rate(captions: Iterable[str]) -> Estimate:
    """The share of captions that are not anonymous, with Wilson's 95 % interval. Raises `ValueError` for none."""
    verdicts = [check(caption).ok for caption in captions]
    return wilson(verdicts.count(False), len(verdicts))


def _is_harmless(text: str) -> bool:
    """Whether nothing in the text asks for a closer look, as in most captions: a test of a few microseconds."""
    names = PLAIN.findall(text)
    if not names or not len(names) == text.count("{") == text.count("}") or any(map(_name_within, names)):
        return False
    rest = PLAIN.sub(_HIDDEN, text)
    if any(not _is_lawful_sign(rest, match.start()) for match in _SIGN.finditer(rest)):
        return False
    words = set(rest.lower().translate(_NO_LETTERS).split())
    seconds = [found for word in words if (found := _seconds(word)) is not None]
    return not any(not found or not found.isdisjoint(words) for found in seconds)


def _is_lawful_sign(text: str, place: int) -> bool:
    """Whether a sign is the capital that begins a sentence, or the apostrophe of a word or placeholder."""
    if text[place] == "'":
        return place > 0 and not text[place - 1].isspace()
    return text[place].isalpha() and (place < 2 or (text[place - 1] == " " and text[place - 2] in _SENTENCE_ENDS))


@functools.lru_cache(maxsize=2**17)
def _seconds(word: str) -> frozenset[str] | None:
    """Second words of the entries that begin with a word, empty if it is one by itself; None if there are none."""
    entries = [entry for entry in lexicon().beginning(bare(word)) if entry.kind != LAWFUL]
    if not entries:
        return None
    return frozenset(entry.rest[0] for entry in entries) if all(entry.rest for entry in entries) else frozenset()


def _hide(text: str, placeholders: list[Placeholder]) -> str:
    """The text with each pair of braces replaced by as many NUL signs, so that places stay."""
    for item in placeholders:
        text = text[: item.start] + _HIDDEN * (item.end - item.start) + text[item.end :]
    return text


def _of_placeholders(text: str, placeholders: list[Placeholder]) -> Iterator[Finding]:
    if not any(item.fault is None for item in placeholders) and not _OF_ITSELF.search(text):
        yield Finding(0, len(text), "no placeholder", "")
    for item in placeholders:
        if item.fault is not None:
            yield Finding(item.start, item.end, "placeholder", item.fault)
        elif (name := _name_within(item.name)) is not None:
            yield Finding(item.start, item.end, "name", name)


@functools.lru_cache(maxsize=2**12)
def _name_within(placeholder: str) -> str | None:
    """The proper name that a placeholder says, if any: `{Eiffel Tower}` is no more anonymous than without braces."""
    lists, words = lexicon(), words_of(placeholder)
    entries = (_longest(lists, words, place) for place in range(len(words)))
    return next((entry.lemma for entry in entries if entry is not None and entry.kind == "name"), None)


def _nouns(tokens: list[_Token], text: str) -> Iterator[Finding]:
    """Concrete words of the lists, the longest phrase at each place; with a number before it, that too."""
    lists, words = lexicon(), [_plain(token.text) for token in tokens]
    lower, place = "", 0
    while place < len(words):
        entry = _longest(lists, words, place)
        if entry is None:
            place += 1
            continue
        length = 1 + len(entry.rest)
        if entry.kind != LAWFUL:
            lower = lower or re.sub(f"{_HIDDEN}+", "{}", text).lower()
            if not is_lawful(entry.lemma, Spot(words, place, length), lower):
                yield Finding(tokens[place].start, tokens[place + length - 1].end, entry.kind, entry.lemma)
                if place and (words[place - 1] in _NUMBERS or words[place - 1].isdigit()):
                    yield Finding(tokens[place - 1].start, tokens[place - 1].end, "number", words[place - 1])
        place += length


def _longest(lists: Lexicon, words: list[str], place: int) -> Entry | None:
    for entry in lists.beginning(words[place]):
        if not entry.rest or tuple(words[place + 1 : place + 1 + len(entry.rest)]) == entry.rest:
            return entry
    return None


def _plain(token: str) -> str:
    return "{}" if token[0] == _HIDDEN else bare(token.lower())


def _proper(tokens: list[_Token], named: list[Finding]) -> Iterator[Finding]:
    """Capitals that no sentence begins with. A caption written with capitals throughout, as a title, says nothing."""
    inner = [
        token
        for before, token in itertools.pairwise(tokens)
        if before.text not in _SENTENCE_ENDS and token.text[0].isalpha() and token.text.lower() not in _SMALL
    ]
    capitals = [token for token in inner if token.text[0].isupper()]
    if len(inner) >= _TITLE_WORDS and len(capitals) >= _TITLE_SHARE * len(inner):
        capitals = [token for token in capitals if token.text.isupper()]
    for token in capitals:
        known = any(finding.start <= token.start < finding.end for finding in named if finding.word)
        if len(token.text) > 1 and token.text not in _CAPITALS and not known:
            yield Finding(token.start, token.end, "proper noun", token.text)


def _figures(tokens: list[_Token]) -> Iterator[Finding]:
    """Exact figures: years, prices, measures. Small counts, such as of stages, and common angles say nothing."""
    for place, token in enumerate(tokens):
        text = token.text.lower()
        if not text[0].isdigit() or text in _DEGREES or not _FIGURE.fullmatch(text):
            continue
        after = tokens[place + 1].text if place + 1 < len(tokens) else ""
        before = tokens[place - 1].text if place else ""
        if not text.isdigit() or len(text) > 2 or after in ("%", "€", "°") or before in ("$", "€", "£"):
            yield Finding(token.start, token.end, "number", token.text)


def _quotes(text: str) -> Iterator[Finding]:
    """Literal words in quotes; quotes around placeholders alone say nothing."""
    for match in _QUOTED.finditer(text):
        inner = next(group for group in match.groups() if group is not None)
        if re.search(r"[^\W_]", re.sub(r"\{[^{}]*\}", "", inner)):
            yield Finding(match.start(), match.end(), "quote", match[0])
