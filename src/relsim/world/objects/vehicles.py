"""Vehicles. Those that are seen from the side drive to the right."""

from __future__ import annotations

from relsim.world.objects.base import ObjectKind, ink, kind, main, paper, second
from relsim.world.objects.curves import band, bar, box, circle, poly, smooth, stroke

# One part per line reads better than what the formatter makes of it.
# fmt: off
_AIRPLANE = kind(
    "vehicles", "airplane", "airplanes",
    second(smooth("46 40!  62 40!  46 8!  34 6!")),
    main(smooth("2 18!  12 18!  24 38!  60 38  84 40  98 48  98 52  90 58  60 62  26 60  12 54")),
    second(smooth("40 52!  62 52!  38 92!  26 92!")),
    second(smooth("8 44!  22 44!  14 60!  4 60!")),
    paper(smooth("84 42!  93 47!  82 47!")),
    ink(circle(48, 46, 2.5)),
    ink(circle(59, 46, 2.5)),
    ink(circle(70, 46, 2.5)),
    directed=True,
)

_BICYCLE = kind(
    "vehicles", "bicycle", "bicycles",
    main(band(22, 66, 18, 7, 270, 630)),
    main(band(78, 66, 18, 7, 270, 630)),
    main(poly(
        "38 28  44 28  52 60  70 38  67 24  60 24  60 18  72 18  80 63  76 68  72 46  53 70  20 70  20 63  "
        "38 44"
    )),
    second(poly("40 50  48 63  32 63")),
    ink(box(30, 22, 50, 29, 3)),
    directed=True,
)

_BUS = kind(
    "vehicles", "bus", "buses",
    main(smooth("3 30!  4 22  12 20  86 20  93 25  98 52  99 84!  1 84!  1 52")),
    paper(box(9, 30, 28, 50, 3)),
    paper(box(33, 30, 52, 50, 3)),
    paper(poly("57 30  85 30  91 54  91 76  76 76  76 50  57 50")),
    second(box(1, 60, 71, 67)),
    ink(circle(23, 84, 11)),
    ink(circle(76, 84, 11)),
)

_CAR = kind(
    "vehicles", "car", "cars",
    main(smooth("1 72!  0 50  4 44!  14 24  26 20  44 21  64 44!  86 47  98 54  99 72!")),
    paper(smooth("14 43!  20 31  30 27!  30 43!")),
    paper(smooth("36 43!  36 27!  44 28  55 43!")),
    second(box(0, 57, 99, 62)),
    ink(circle(22, 72, 12)),
    ink(circle(78, 72, 12)),
    paper(circle(22, 72, 4.5)),
    paper(circle(78, 72, 4.5)),
    directed=True,
)

_HELICOPTER = kind(
    "vehicles", "helicopter", "helicopters",
    ink(box(28, 10, 100, 16, 2)),
    ink(bar(64, 12, 64, 32, 5)),
    ink(stroke("42 84  48 90  88 90  97 83", 4.5)),
    ink(bar(56, 74, 54, 90, 4)),
    ink(bar(74, 74, 76, 90, 4)),
    main(smooth(
        "-2 26!  9 26!  15 42!  42 42!  50 30  66 26  82 30  95 46  96 64  84 78  58 78  44 68  38 56!  6 54!"
    )),
    paper(smooth("72 35!  83 41  89 55!  72 55!")),
    second(circle(6, 47, 7)),
    directed=True,
)

_ROCKET = kind(
    "vehicles", "rocket", "rockets",
    second(smooth("34 52!  20 66  18 88!  36 78!")),
    second(smooth("66 52!  80 66  82 88!  64 78!")),
    ink(smooth("42 80!  58 80!  58 88  50 100!  42 88")),
    main(smooth("50 0!  62 12  69 34  68 58  62 80!  38 80!  32 58  31 34  38 12")),
    second(smooth("50 0!  59 9  64 20!  36 20!  41 9")),
    paper(circle(50, 40, 9)),
    ink(circle(50, 40, 6)),
)

_SAILBOAT = kind(
    "vehicles", "sailboat", "sailboats",
    ink(box(45, 2, 50, 80)),
    second(smooth("41 12!  30 40  10 66!  41 66!")),
    main(smooth("54 4!  84 34  92 68!  54 68!")),
    main(smooth("2 76!  98 76!  92 90  80 98!  22 98!  10 92")),
    second(box(4, 76, 96, 81)),
    directed=True,
)

_TRAIN = kind(
    "vehicles", "train", "trains",
    second(smooth("78 20!  92 20!  88 40!  82 40!")),
    second(box(2, 8, 46, 18, 3)),
    main(smooth("6 16!  42 16!  42 38!  90 38  96 48  96 60  92 70!  100 86!  6 86!")),
    second(circle(62, 38, 7)),
    paper(box(13, 24, 34, 44, 2)),
    ink(circle(22, 86, 13)),
    ink(circle(54, 88, 11)),
    ink(circle(79, 88, 11)),
    directed=True,
)

KINDS: tuple[ObjectKind, ...] = (_AIRPLANE, _BICYCLE, _BUS, _CAR, _HELICOPTER, _ROCKET, _SAILBOAT, _TRAIN)
