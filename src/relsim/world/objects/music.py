"""Musical instruments and sounds."""

from __future__ import annotations

from relsim.world.objects.base import ObjectKind, ink, kind, main, paper, second
from relsim.world.objects.curves import band, box, circle, poly, rotated, smooth, stroke

# One part per line reads better than what the formatter makes of it.
# fmt: off
_BELL = kind(
    "music", "bell", "bells",
    second(band(50, 8, 6, 5, 90, 450)),
    ink(circle(50, 88, 10)),
    main(smooth("50 12  66 18  75 36  78 60  94 82!  6 82!  22 60  25 36  34 18")),
    second(smooth("20 64!  80 64!  84 71!  16 71!")),
    paper(smooth("38 26  42 28  36 42  34 56  30 56  32 38")),
)

_DRUM = kind(
    "music", "drum", "drums",
    second(stroke("34 34  10 6", 4)),
    second(stroke("66 34  90 6", 4)),
    main(smooth("8 42!  92 42!  92 82  72 93  50 96  28 93  8 82")),
    ink(poly("8 50  29 84  50 56  71 84  92 50  92 56  71 91  50 63  29 91  8 56")),
    second(circle(50, 42, 42, 13)),
    paper(circle(50, 42, 36, 9)),
)

_GUITAR = kind(
    "music", "guitar", "guitars",
    second(rotated(box(45, -12, 55, 52), 40)),
    ink(rotated(poly("42 -26  58 -26  56 -10  44 -10"), 40)),
    main(rotated(smooth(
        "50 40  62 42  68 52  64 64  74 74  78 90  68 104  50 108  32 104  22 90  26 74  36 64  32 52  38 42"
    ), 40)),
    ink(rotated(circle(50, 70, 10), 40)),
    second(rotated(box(38, 90, 62, 95), 40)),
    directed=True,
)

_NOTE = kind(
    "music", "note", "notes",
    main(rotated(circle(22, 84, 18, 13), -20, 22, 84)),
    main(rotated(circle(74, 74, 18, 13), -20, 74, 74)),
    main(poly("32 16  91 2  91 76  83 76  83 26  40 36  40 84  32 84")),
    second(poly("40 22  83 12  83 17  40 27")),
    directed=True,
)

_TRUMPET = kind(
    "music", "trumpet", "trumpets",
    second(smooth("26 52!  26 76  36 80  60 80  68 76  68 52!  61 52!  61 70  56 73  38 73  33 70  33 52!")),
    second(box(37, 30, 43, 76, 3)),
    second(box(46, 30, 52, 76, 3)),
    second(box(55, 30, 61, 76, 3)),
    main(smooth("4 46!  60 46!  82 42  96 22!  100 22!  100 78!  96 78!  82 58  60 54!  4 54!")),
    main(box(0, 42, 6, 58, 2)),
    directed=True,
)

KINDS: tuple[ObjectKind, ...] = (_BELL, _DRUM, _GUITAR, _NOTE, _TRUMPET)
