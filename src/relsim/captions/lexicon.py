"""The words that a caption may not say outside its placeholders, and the phrases in which they name no thing.

The lists are the files `words/<kind>.txt` beside this module: entries of one or several words between commas, in lower
case and in the singular, and lines of comment that begin with `#`. `lawful.txt` holds phrases that go before every
other list ("tree diagram", "mirror image"); `verbs.txt` and `shapes.txt` hold words of the other lists for
`relsim.captions.contexts`; `plurals.txt` holds irregular plural forms. All were written for this project, by hand.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

KINDS = (
    *("animal", "plant", "food", "household", "clothing", "body", "person", "myth", "tool", "vehicle", "building"),
    *("place", "technology", "leisure", "material", "colour", "name"),
)
"""Kinds of concrete words, each the name of a list. A word that stands in several lists has the first of these."""

LAWFUL = "lawful"
_UNINFLECTED = frozenset({"colour", "name", LAWFUL})
_SHORTEST_HALF = 4
_SUFFIXES = frozenset({"ship"})  # craftsmanship is no ship

_ONLY_IRREGULAR = frozenset({"doe"})  # "does" is another word

_COMMENT = re.compile(r"^#.*$", re.MULTILINE)
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Entry:
    """One way to write a listed word: the words after the first, the word as it is listed, and its kind."""

    rest: tuple[str, ...]
    lemma: str
    kind: str


class Lexicon:
    """All lists, by first word. Plural forms are entries of their own."""

    def __init__(self, lists: Mapping[str, Sequence[str]]) -> None:
        found: dict[str, dict[tuple[str, ...], Entry]] = {}
        for kind, lemmas in lists.items():
            for lemma in lemmas:
                for form in (lemma,) if kind in _UNINFLECTED else (lemma, *plurals(lemma)):
                    first, *rest = words_of(form)
                    found.setdefault(first, {}).setdefault(tuple(rest), Entry(tuple(rest), lemma, kind))
        self._entries = {
            first: tuple(sorted(entries.values(), key=lambda entry: -len(entry.rest)))
            for first, entries in found.items()
        }
        self.size = sum(len(lemmas) for kind, lemmas in lists.items() if kind != LAWFUL)

    def beginning(self, word: str) -> tuple[Entry, ...]:
        """Entries whose first word this is, the longest first; of words written together, that of the second half."""
        return self._entries.get(word) or (_halves(word, self) if len(word) >= 2 * _SHORTEST_HALF else ())

    def single(self, word: str) -> Entry | None:
        """The entry of a word by itself, if it is in a list of concrete words."""
        entries = self._entries.get(word)
        return entries[-1] if entries and not entries[-1].rest and entries[-1].kind != LAWFUL else None


@functools.cache
def lexicon() -> Lexicon:
    """The lists as they come with the package."""
    # Of entries that are written alike the first counts, so what is lawful comes first.
    return Lexicon({kind: _read(kind) for kind in (LAWFUL, *KINDS)})


@functools.cache
def word_list(name: str) -> frozenset[str]:
    """The entries of one list."""
    return frozenset(_read(name))


def words_of(text: str) -> list[str]:
    """Words in lower case: hyphens part them, `'s` is dropped, an apostrophe within a word is as it is written."""
    return [bare(match) for match in _WORD.findall(text.lower())]


def bare(word: str) -> str:
    """A lower-case word without `'s` or a closing apostrophe."""
    return word[:-2] if word.endswith(("'s", "\u2019s")) else word


def plurals(lemma: str) -> Iterator[str]:
    """Plural forms of a listed word; of several words the last one changes."""
    head, space, last = lemma.rpartition(" ")
    irregular = _irregular()
    if last in irregular:
        yield head + space + irregular[last]
    if last in _ONLY_IRREGULAR:
        return
    if last.endswith(("men", "people")):
        return
    elif last.endswith("man"):
        yield f"{head}{space}{last[:-2]}en"
    elif last.endswith(("s", "x", "z", "ch", "sh")):
        yield f"{head}{space}{last}es"
    elif last.endswith("y") and last[-2:-1] not in "aeiou":
        yield f"{head}{space}{last[:-1]}ies"
    else:
        yield f"{head}{space}{last}s"


@functools.cache
def _irregular() -> dict[str, str]:
    return dict(entry.split(" ") for entry in _read("plurals"))


def _read(name: str) -> list[str]:
    text = (resources.files("relsim.captions") / "words" / f"{name}.txt").read_text(encoding="utf-8")
    return [entry for entry in map(str.strip, _COMMENT.sub("", text).replace("\n", ",").split(",")) if entry]


@functools.lru_cache(maxsize=2**16)
def _halves(word: str, lists: Lexicon) -> tuple[Entry, ...]:
    """Of two listed words written together ("fishbowl") the second, under the whole word."""
    for cut in range(_SHORTEST_HALF, len(word) - _SHORTEST_HALF + 1):
        second = lists.single(word[cut:]) if word[cut:] not in _SUFFIXES else None
        if second is not None and lists.single(word[:cut]) is not None:
            return (Entry((), word, second.kind),)
    return ()
