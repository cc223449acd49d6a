"""Toys and prizes."""

from __future__ import annotations

from relsim.world.objects.base import ObjectKind, ink, kind, main, paper, second
from relsim.world.objects.curves import band, bar, box, circle, mirrored, poly, smooth, stroke

# One part per line reads better than what the formatter makes of it.
# fmt: off
_BALLOON = kind(
    "toys", "balloon", "balloons",
    ink(stroke("50 68  46 78  54 88  49 100", 2.5)),
    main(smooth("50 0  68 5  78 20  77 38  66 56  52 66  48 66  34 56  23 38  22 20  32 5")),
    second(poly("50 63  57 73  43 73")),
    paper(smooth("34 16  40 12  38 22  34 34  30 34  30 24")),
)

_FLAG = kind(
    "toys", "flag", "flags",
    ink(box(12, 4, 19, 100, 3)),
    main(smooth("19 10!  38 6  56 14  74 16  94 9!  94 58!  74 65  56 63  38 55  19 59!")),
    second(smooth("19 26!  38 22  56 30  74 32  94 25!  94 42!  74 49  56 47  38 39  19 43!")),
    ink(circle(15.5, 4, 6)),
    directed=True,
)

_GIFT = kind(
    "toys", "gift", "gifts",
    second(smooth("50 28!  36 26  20 22  18 10  28 4  42 14!")),
    second(smooth("50 28!  64 26  80 22  82 10  72 4  58 14!")),
    main(box(12, 42, 88, 98, 3)),
    main(box(5, 27, 95, 46, 3)),
    second(box(12, 46, 88, 49)),
    second(box(42, 27, 58, 98)),
    second(circle(50, 26, 7)),
)

_KITE = kind(
    "toys", "kite", "kites",
    ink(stroke("34 66  22 70  26 80  14 84  10 98", 2.5)),
    second(poly("14 70  23 74  32 67  31 80  23 74  15 80")),
    second(poly("4 86  13 90  22 83  21 96  13 90  5 96")),
    main(poly("90 2  84 56  34 66  36 8")),
    second(poly("90 2  84 56  58 40")),
    paper(poly("36 8  58 40  34 66  54 41")),
    directed=True,
)

_PUZZLE = kind(
    "toys", "puzzle piece", "puzzle pieces",
    main(smooth(
        "4 24!  33 24!  29 10  41 2  53 10  49 24!  78 24!  78 53!  92 49  100 61  92 73  78 69!  78 98!  "
        "49 98!  53 84  41 76  29 84  33 98!  4 98!"
    )),
)

_ROBOT = kind(
    "toys", "robot", "robots",
    ink(bar(50, 2, 50, 18, 4)),
    second(circle(50, 5, 6)),
    second(smooth("14 52!  86 52!  92 58!  92 80  86 86  80 80  80 62!  20 62!  20 80  14 86  8 80  8 58!")),
    main(box(26, 14, 74, 46, 6)),
    main(smooth(
        "28 50!  72 50!  72 84!  67 84!  67 100!  53 100!  53 84!  47 84!  47 100!  33 100!  33 84!  28 84!"
    )),
    paper(box(32, 22, 68, 36, 6)),
    ink(circle(41, 29, 4)),
    ink(circle(59, 29, 4)),
)

_SNOWMAN = kind(
    "toys", "snowman", "snowmen",
    ink(stroke("30 58  10 42", 3.5)),
    ink(stroke("70 58  90 42", 3.5)),
    main(circle(50, 76, 24)),
    main(circle(50, 46, 17)),
    main(circle(50, 24, 13)),
    ink(poly("41 0  59 0  60 13  68 13  68 17  32 17  32 13  40 13")),
    second(box(37, 33, 63, 39, 3)),
    ink(poly("49 24  62 27  49 29")),
)

_handle = band(26, 24, 16, 6, 80, 290)
_TROPHY = kind(
    "toys", "trophy", "trophies",
    second(_handle),
    second(mirrored(_handle)),
    main(smooth(
        "24 4!  76 4!  76 34  66 54  56 60!  55 80!  74 84!  74 98!  26 98!  26 84!  45 80!  44 60!  34 54  "
        "24 34"
    )),
    paper(smooth("33 12  38 12  37 28  42 44  36 42  32 28")),
    second(box(26, 90, 74, 98)),
)

KINDS: tuple[ObjectKind, ...] = (_BALLOON, _FLAG, _GIFT, _KITE, _PUZZLE, _ROBOT, _SNOWMAN, _TROPHY)
