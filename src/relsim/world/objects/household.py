"""Household things."""

from __future__ import annotations

from relsim.world.objects.base import ObjectKind, ink, kind, main, paper, second
from relsim.world.objects.curves import band, bar, box, circle, poly, smooth, stroke

# One part per line reads better than what the formatter makes of it.
# fmt: off
_BOOK = kind(
    "household", "book", "books",
    second(poly("0 20  50 46  100 20  100 74  54 96  50 100  46 96  0 74")),
    main(smooth("6 10!  30 15  50 38!  70 15  94 10!  94 67!  70 72  50 93!  30 72  6 67!")),
    second(bar(50, 37, 50, 93, 3)),
    paper(stroke("14 24  28 27  41 39", 4)),
    paper(stroke("14 38  28 41  41 53", 4)),
    paper(stroke("59 39  72 27  86 24", 4)),
    paper(stroke("59 53  72 41  86 38", 4)),
    paper(stroke("59 67  72 55  86 52", 4)),
)

_BOTTLE = kind(
    "household", "bottle", "bottles",
    second(box(41, 0, 59, 12, 2)),
    main(smooth(
        "42 12!  58 12!  58 30  64 38  70 50  70 60!  70 96  64 100  36 100  30 96  30 60!  30 50  36 38  "
        "42 30"
    )),
    paper(box(30, 58, 70, 82)),
    second(box(38, 65, 62, 69)),
    second(box(38, 73, 62, 76)),
)

_BULB = kind(
    "household", "light bulb", "light bulbs",
    main(smooth("50 0  70 6  82 24  80 42  70 56  64 72!  36 72!  30 56  20 42  18 24  30 6")),
    ink(stroke("42 70  40 48  50 40  60 48  58 70", 3)),
    second(box(35, 72, 65, 80, 3)),
    second(box(36, 82, 64, 90, 3)),
    ink(box(43, 90, 57, 97, 3)),
)

_CANDLE = kind(
    "household", "candle", "candles",
    second(smooth("50 0!  58 10  61 19  57 28  50 31  43 28  39 19  42 10")),
    ink(box(48, 26, 52, 40)),
    main(box(33, 36, 67, 84)),
    paper(smooth("33 36!  67 36!  67 44  61 54  54 45  47 45  45 62  38 62  33 46")),
    main(band(88, 80, 9, 5, 180, 540)),
    main(smooth("8 80!  86 80!  84 92  72 98!  22 98!  10 92")),
    second(box(20, 93, 74, 98)),
    directed=True,
)

_CHAIR = kind(
    "household", "chair", "chairs",
    main(poly("18 2  29 2  33 48  82 48  82 60  78 60  84 100  75 100  70 60  34 60  28 100  19 100  24 60")),
    second(poly("29 8  33 8  37 48  33 48")),
    second(poly("24 55  82 55  82 60  24 60")),
    directed=True,
)

_CLOCK = kind(
    "household", "clock", "clocks",
    second(smooth("6 34!  6 16  16 6  34 6!")),
    second(smooth("94 34!  94 16  84 6  66 6!")),
    ink(bar(24, 84, 14, 98, 7)),
    ink(bar(76, 84, 86, 98, 7)),
    main(circle(50, 54, 42)),
    paper(circle(50, 54, 26)),
    ink(bar(50, 56, 50, 34, 4.5)),
    ink(bar(48, 54, 64, 61, 4.5)),
)

_CUP = kind(
    "household", "cup", "cups",
    main(band(76, 44, 16, 8, -100, 100)),
    main(smooth("8 18!  76 18!  76 50  70 72  58 82!  26 82!  14 72  8 50")),
    second(box(0, 84, 86, 92, 4)),
    ink(smooth("13 21!  71 21!  66 26  18 26")),
    directed=True,
)

_ENVELOPE = kind(
    "household", "envelope", "envelopes",
    main(box(0, 16, 100, 84, 4)),
    second(poly("2 82  40 48  60 48  98 82")),
    paper(poly("4 17  96 17  50 60")),
    main(poly("9 17  91 17  50 54")),
)

_FORK = kind(
    "household", "fork", "forks",
    main(smooth(
        "34 2!  40 2!  41 26!  46 26!  47 2!  53 2!  54 26!  59 26!  60 2!  66 2!  68 32  64 42  54 48!  "
        "55 72  57 94  50 100  43 94  45 72  46 48!  36 42  32 32"
    )),
    second(stroke("50 62  50 92", 4)),
)

_GOBLET = kind(
    "household", "goblet", "goblets",
    main(smooth(
        "26 2!  74 2!  77 24  70 44  54 54!  53 86!  72 92  74 98!  26 98!  28 92  47 86!  46 54!  30 44  "
        "23 24"
    )),
    second(smooth("25 18!  75 18!  74 30  67 42  50 50  33 42  26 30")),
)

_HOURGLASS = kind(
    "household", "hourglass", "hourglasses",
    second(box(16, 0, 84, 11, 3)),
    second(box(16, 89, 84, 100, 3)),
    main(smooth(
        "22 11!  78 11!  76 32  64 42  56 50!  64 58  76 68  78 89!  22 89!  24 68  36 58  44 50!  36 42  "
        "24 32"
    )),
    paper(smooth("30 14!  70 14!  69 24!  31 24!")),
    paper(smooth("49 58!  51 58!  60 64  68 72  60 76  50 70  40 76  32 72  40 64")),
)

_LAMP = kind(
    "household", "lamp", "lamps",
    second(box(46, 46, 54, 92)),
    second(smooth("28 98!  30 90  50 87  70 90  72 98!")),
    main(poly("32 2  68 2  88 52  12 52")),
    ink(bar(68, 52, 68, 66, 2)),
    ink(circle(68, 68, 3)),
)

_TEAPOT = kind(
    "household", "teapot", "teapots",
    second(band(20, 56, 15, 7, 60, 300)),
    main(smooth("70 70!  80 62  84 44  92 36!  100 40!  96 54  90 70  78 84!")),
    main(smooth("50 28  70 34  80 52  78 72  68 86!  32 86!  22 72  20 52  30 34")),
    second(smooth("32 32!  38 24  50 21  62 24  68 32!  60 35  40 35")),
    second(circle(50, 17, 6)),
    paper(smooth("30 48  35 46  33 58  34 68  30 68  28 58")),
    directed=True,
)

_UMBRELLA = kind(
    "household", "umbrella", "umbrellas",
    ink(stroke("50 50  50 88  44 97  36 95  34 86", 5)),
    ink(bar(50, 0, 50, 12, 4)),
    main(smooth(
        "2 54!  8 32  24 14  50 7  76 14  92 32  98 54!  90 47  74 47  66 54!  60 47  40 47  34 54!  26 47  "
        "10 47"
    )),
    second(smooth("34 54!  36 32  50 7!  64 32  66 54!  60 47  40 47")),
)

KINDS: tuple[ObjectKind, ...] = (
    _BOOK, _BOTTLE, _BULB, _CANDLE, _CHAIR, _CLOCK, _CUP, _ENVELOPE, _FORK, _GOBLET, _HOURGLASS, _LAMP, _TEAPOT,
    _UMBRELLA,
)
