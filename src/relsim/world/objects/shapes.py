"""Shapes and signs."""

from __future__ import annotations

from relsim.world.objects.base import ObjectKind, ink, kind, main, paper, second
from relsim.world.objects.curves import bar, circle, mirrored, poly, rotated, smooth, stroke

# One part per line reads better than what the formatter makes of it.
# fmt: off
_BONE = kind(
    "shapes", "bone", "bones",
    main(smooth(
        "22 62!  8 62  0 73  3 84  14 87!  17 98  28 100  38 92  38 78!  78 38!  92 38  100 28  98 17  87 14!  "
        "84 3  73 0  62 8  62 22!"
    )),
    second(bar(30, 74, 74, 30, 4)),
)

_EYE = kind(
    "shapes", "eye", "eyes",
    ink(stroke("26 34  18 22", 4)),
    ink(stroke("50 26  50 10", 4)),
    ink(stroke("74 34  82 22", 4)),
    main(smooth("0 54!  24 32  50 25  76 32  100 54!  76 76  50 83  24 76")),
    paper(circle(50, 54, 22)),
    main(circle(50, 54, 18)),
    ink(circle(50, 54, 9)),
    paper(circle(56, 48, 3.5)),
)

_GEM = kind(
    "shapes", "gem", "gems",
    main(poly("22 14  78 14  100 40  50 96  0 40")),
    second(poly("0 40  22 14  32 40")),
    second(poly("100 40  78 14  68 40")),
    second(poly("32 40  68 40  50 96")),
    paper(poly("30 19  46 19  38 33")),
)

_HEART = kind(
    "shapes", "heart", "hearts",
    main(smooth("50 22!  60 8  76 4  92 12  98 30  92 50  74 72  50 94!  26 72  8 50  2 30  8 12  24 4  40 8")),
    paper(smooth("20 18  25 17  22 26  20 36  15 38  14 28")),
)

_SKULL = kind(
    "shapes", "skull", "skulls",
    main(smooth("50 2  74 8  90 26  92 48  84 64  72 72!  72 94!  28 94!  28 72!  16 64  8 48  10 26  26 8")),
    ink(smooth("22 44  32 36  42 42  44 54  36 62  24 58")),
    ink(mirrored(smooth("22 44  32 36  42 42  44 54  36 62  24 58"))),
    ink(poly("50 60  56 71  44 71")),
    paper(bar(42, 80, 42, 94, 3)),
    paper(bar(58, 80, 58, 94, 3)),
)

_facet = poly("50 0  61.8 35.8  50 38")
_STAR = kind(
    "shapes", "star", "stars",
    main(poly("50 0  61.8 35.8  99.5 36.1  69 58.2  80.3 94.2  50 72  19.7 94.2  31 58.2  0.5 36.1  38.2 35.8")),
    *(second(rotated(_facet, 72 * i, 50, 52)) for i in range(5)),
)

KINDS: tuple[ObjectKind, ...] = (_BONE, _EYE, _GEM, _HEART, _SKULL, _STAR)
