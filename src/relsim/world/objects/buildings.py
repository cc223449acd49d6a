"""Buildings."""

from __future__ import annotations

from relsim.world.objects.base import ObjectKind, ink, kind, main, paper, second
from relsim.world.objects.curves import bar, box, circle, poly, rotated, smooth

# One part per line reads better than what the formatter makes of it.
# fmt: off
_CASTLE = kind(
    "buildings", "castle", "castles",
    main(poly(
        "2 24  2 98  98 98  98 24  90 24  90 32  84 32  84 24  76 24  76 50  66 50  66 42  58 42  58 50  "
        "42 50  42 42  34 42  34 50  24 50  24 24  16 24  16 32  10 32  10 24"
    )),
    second(poly("50 8  72 15  50 22")),
    ink(box(48, 6, 51, 44)),
    ink(smooth("38 98!  38 80  44 71  50 69  56 71  62 80  62 98!")),
    ink(box(10, 44, 16, 58, 3)),
    ink(box(84, 44, 90, 58, 3)),
)

_HOUSE = kind(
    "buildings", "house", "houses",
    second(box(70, 8, 84, 40)),
    main(box(9, 40, 91, 98)),
    second(poly("50 4  100 46  0 46")),
    ink(box(56, 66, 72, 98)),
    paper(box(22, 58, 42, 76)),
    ink(bar(32, 58, 32, 76, 2)),
    ink(bar(22, 67, 42, 67, 2)),
)

_LIGHTHOUSE = kind(
    "buildings", "lighthouse", "lighthouses",
    main(poly("30 20  50 0  70 20")),
    ink(box(37, 20, 63, 38)),
    paper(box(41, 20, 59, 36)),
    main(poly("34 40  66 40  76 98  24 98")),
    ink(box(27, 35, 73, 41)),
    second(poly("32 52  68 52  70 64  30 64")),
    second(poly("28 76  72 76  74 88  26 88")),
)

_TENT = kind(
    "buildings", "tent", "tents",
    ink(bar(50, 0, 50, 16, 3)),
    second(poly("51 0  66 5  51 10")),
    main(smooth("50 12!  72 54  100 94!  0 94!  28 54")),
    second(smooth("50 12!  72 54  100 94!  90 94!  66 56")),
    second(smooth("50 12!  28 54  0 94!  10 94!  34 56")),
    ink(smooth("50 52!  54 72  62 94!  38 94!  46 72")),
)

_blade = poly("50 36  48 -2  60 -2  60 20  52 22")
_WINDMILL = kind(
    "buildings", "windmill", "windmills",
    main(poly("33 40  67 40  80 100  20 100")),
    main(smooth("30 42!  36 28  50 22  64 28  70 42!")),
    *(second(rotated(poly("48.5 36  48.5 -2  61 -2  61 20  51.5 24  51.5 36"), 45 + 90 * i, 50, 36)) for i in range(4)),
    ink(smooth("43 100!  43 86  50 80  57 86  57 100!")),
    ink(circle(50, 36, 5)),
    directed=True,
)

KINDS: tuple[ObjectKind, ...] = (_CASTLE, _HOUSE, _LIGHTHOUSE, _TENT, _WINDMILL)
