"""Sixteen palettes: a background and five named colours each, from a fixed vocabulary of thirteen colour words.

Shades of one word differ between palettes, so that naming a colour is not reading off a number. Every foreground
colour stands out from the background of its palette.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

RGB = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Colour:
    """A shade and the word for it."""

    word: str
    rgb: RGB


@dataclass(frozen=True, slots=True)
class Palette:
    """`paper` is the background, `ink` draws lines and arrows, `colours` paint objects."""

    name: str
    paper: Colour
    ink: Colour
    colours: tuple[Colour, ...]


def _colour(text: str) -> Colour:
    word, code = text.split()
    return Colour(word, (int(code[0:2], 16), int(code[2:4], 16), int(code[4:6], 16)))


def _palette(name: str, paper: str, ink: str, *colours: str) -> Palette:
    return Palette(name, _colour(paper), _colour(ink), tuple(_colour(text) for text in colours))


_ALL = (
    _palette("picnic", "white F7F5EF", "black 2B2B2B", "red D5342B", "green 3E8E41", "yellow F2B820", "blue 2F6DB5",
             "brown 8A5A33"),
    _palette("harbour", "cream F3E9D2", "black 1F2A37", "blue 1F5FA8", "red C8402E", "teal 1E8C8A", "orange E5832B",
             "grey 75797F"),
    _palette("meadow", "green DDEBC8", "black 26351F", "green 3B7D2C", "pink E0609A", "yellow E0A90C", "purple 7A4AA3",
             "brown 7B5230"),
    _palette("night", "black 1C2130", "white F2EEE3", "yellow F6CF4A", "blue 5B9BE8", "white F4F1E8", "pink F087B3",
             "green 63C27A"),
    _palette("desert", "yellow F6E3B4", "brown 4A2F1B", "orange DB6B1E", "brown 87532A", "red B8322A", "teal 23807F",
             "purple 6D4187"),
    _palette("candy", "pink FBDDE6", "purple 3C2350", "pink E0478C", "blue 3C8FD6", "purple 8748B8", "green 36A06A",
             "red D93A45"),
    _palette("sea", "blue CFE6F2", "black 14303F", "blue 1C63A6", "orange EE7F2D", "red CE3B3B", "green 2D8B57",
             "yellow DDA312"),
    _palette("slate", "grey D5D8DC", "black 22262B", "red C2303B", "blue 2C5C9E", "green 35784B", "black 30343B",
             "orange DE7A1F"),
    _palette("orchard", "cream FAF1DA", "brown 3F2A18", "green 5A9A2C", "red C72F3A", "purple 71408F", "orange E8912A",
             "brown 7D4E2B"),
    _palette("theatre", "red 5E1820", "cream FBEBD0", "yellow F3C23F", "white F6F0E4", "pink F09AB0", "blue 6FA8E0",
             "green 6FBF73"),
    _palette("glacier", "white EDF4F7", "blue 173B59", "blue 3183C4", "teal 1D9199", "purple 6650A8", "grey 7C8791",
             "pink D85B90"),
    _palette("jungle", "green 1F4030", "cream F4EED2", "yellow EFC540", "orange F08A3C", "pink F08AA8", "white F3F1E2",
             "blue 78B4EA"),
    _palette("plum", "purple E6DAF0", "black 2A1A38", "purple 74369B", "green 3C8A4E", "red CB3150", "yellow D79E0E",
             "blue 2F67AE"),
    _palette("clay", "orange F5D3B5", "brown 41240F", "brown 844A22", "teal 16807D", "red BC2B24", "blue 2B5B9B",
             "green 4A7F2E"),
    _palette("lagoon", "teal CDEBE6", "black 10312F", "teal 10857F", "pink DA4F86", "orange E87724", "purple 6A479E",
             "brown 7C5129"),
    _palette("midnight", "blue 17264D", "white EEF1F8", "white F1F2F6", "yellow F5C93C", "orange F2914A",
             "green 62BE86", "pink EE86B4"),
)  # fmt: skip

PALETTES: Mapping[str, Palette] = MappingProxyType({palette.name: palette for palette in _ALL})
"""All palettes, by name."""

HELD_OUT_PALETTES = ("harbour", "night", "orchard", "lagoon")
"""Palettes that no training scene uses; every word of theirs occurs in others."""


def blend(first: RGB, second: RGB, share: float) -> RGB:
    """`first` with `share` of `second` mixed in, 0 to 1."""
    (r, g, b), (red, green, blue) = first, second
    return round(r + (red - r) * share), round(g + (green - g) * share), round(b + (blue - b) * share)
