"""Things to wear."""

from __future__ import annotations

from relsim.world.objects.base import ObjectKind, ink, kind, main, paper, second
from relsim.world.objects.curves import box, circle, poly, smooth, stroke

# One part per line reads better than what the formatter makes of it.
# fmt: off
_BOOT = kind(
    "clothing", "boot", "boots",
    main(smooth("20 4!  60 4!  58 40!  62 56  82 62  96 72  98 86!  18 86!  20 50")),
    second(box(17, 2, 62, 16, 4)),
    ink(poly("18 85  98 85  98 92  48 92  46 99  18 99")),
    second(stroke("58 40  50 46  44 46", 3)),
    directed=True,
)

_CROWN = kind(
    "clothing", "crown", "crowns",
    main(poly("12 88  2 28  28 52  50 14  72 52  98 28  88 88")),
    second(box(12, 76, 88, 88)),
    second(circle(4, 24, 6)),
    second(circle(50, 11, 7)),
    second(circle(96, 24, 6)),
    paper(poly("50 50  57 62  50 72  43 62")),
)

_HAT = kind(
    "clothing", "hat", "hats",
    main(smooth("22 10!  50 5  78 10!  74 40  76 76!  24 76!  26 40")),
    main(smooth("0 70!  10 74  50 76  90 74  100 70!  98 84  76 92  24 92  2 84")),
    second(smooth("25 56!  50 60  75 56!  76 75!  50 79  24 75!")),
)

_MITTEN = kind(
    "clothing", "mitten", "mittens",
    main(smooth(
        "28 82!  26 50  28 24  38 6  52 3  66 10  72 28  72 46!  80 36  92 34  98 44  92 58  74 72  70 82!"
    )),
    second(box(24, 80, 74, 98, 5)),
    paper(poly("50 26  60 38  50 50  40 38")),
    directed=True,
)

_SHIRT = kind(
    "clothing", "shirt", "shirts",
    main(smooth(
        "34 6!  42 14  50 16  58 14  66 6!  84 14!  100 42!  82 50!  76 42!  77 96!  23 96!  24 42!  18 50!  "
        "0 42!  16 14!"
    )),
    second(smooth("34 6!  42 14  50 16  58 14  66 6!  72 9!  62 20  50 23  38 20  28 9!")),
    second(box(24, 56, 76, 66)),
)

KINDS: tuple[ObjectKind, ...] = (_BOOT, _CROWN, _HAT, _MITTEN, _SHIRT)
