"""Tools and fastenings."""

from __future__ import annotations

import numpy as np

from relsim.world.objects.base import ObjectKind, ink, kind, main, paper, second
from relsim.world.objects.curves import band, bar, box, circle, poly, rotated, smooth

# One part per line reads better than what the formatter makes of it.
# fmt: off
_ANCHOR = kind(
    "tools", "anchor", "anchors",
    main(band(50, 13, 9, 7, 90, 450)),
    main(box(45, 18, 55, 92)),
    main(box(26, 28, 74, 37, 4)),
    main(smooth(
        "2 56!  12 52!  24 60!  17 64!  28 82  50 88  72 82  83 64!  76 60!  88 52!  98 56!  94 72!  90 67!  "
        "74 92  50 100  26 92  10 67!  6 72!"
    )),
    second(circle(50, 90, 4)),
)

_tooth = np.array([[41.0, 14.0], [44.0, 1.0], [56.0, 1.0], [59.0, 14.0]])
_GEAR = kind(
    "tools", "gear", "gears",
    main(*(rotated(_tooth, 45 * i) for i in range(8))),
    second(circle(50, 50, 25)),
    paper(circle(50, 50, 13)),
)

_HAMMER = kind(
    "tools", "hammer", "hammers",
    second(rotated(box(45, 20, 56, 108, 5), 40)),
    main(rotated(smooth("26 6!  34 2  58 2!  78 4  92 20!  78 20  66 24  62 26!  36 26!  26 24!"), 40)),
    main(rotated(box(16, 0, 27, 30, 2), 40)),
    directed=True,
)

_KEY = kind(
    "tools", "key", "keys",
    main(band(50, 22, 14, 13, 90, 450)),
    main(poly("45 38  55 38  55 66  74 66  74 76  66 76  66 82  74 82  74 94  55 94  55 100  45 100")),
    second(band(50, 22, 19, 2, 90, 450)),
    directed=True,
)

_LOCK = kind(
    "tools", "lock", "locks",
    second(smooth(
        "24 48!  24 26  34 8  50 2  66 8  76 26  76 48!  64 48!  64 28  58 17  50 13  42 17  36 28  36 48!"
    )),
    main(box(12, 42, 88, 98, 8)),
    ink(circle(50, 64, 8)),
    ink(poly("47 66  53 66  56 86  44 86")),
)

_MAGNET = kind(
    "tools", "magnet", "magnets",
    main(smooth(
        "8 72!  8 46  20 16  50 4  80 16  92 46  92 72!  66 72!  66 48  62 36  50 31  38 36  34 48  34 72!"
    )),
    second(box(8, 72, 34, 96)),
    second(box(66, 72, 92, 96)),
)

_MAGNIFIER = kind(
    "tools", "magnifier", "magnifiers",
    second(bar(60, 60, 70, 70, 8)),
    main(bar(67, 67, 95, 95, 15)),
    main(circle(38, 38, 37)),
    paper(circle(38, 38, 25)),
    second(band(38, 38, 17, 5, 180, 250)),
)

_PENCIL = kind(
    "tools", "pencil", "pencils",
    main(rotated(box(39, 2, 61, 78), 45)),
    second(rotated(box(39, -10, 61, 2, 4), 45)),
    second(rotated(poly("39 78  61 78  50 106"), 45)),
    ink(rotated(poly("46 96  54 96  50 106"), 45)),
    paper(rotated(box(44, 2, 48, 78), 45)),
)

_WRENCH = kind(
    "tools", "wrench", "wrenches",
    main(rotated(smooth(
        "43 34!  30 26  28 8  40 -4!  40 12!  50 18!  60 12!  60 -4!  72 8  70 26  57 34!  57 84!  62 96  "
        "56 106  44 106  38 96  43 84!"
    ), 45)),
    second(rotated(box(47, 38, 53, 82, 3), 45)),
)

KINDS: tuple[ObjectKind, ...] = (_ANCHOR, _GEAR, _HAMMER, _KEY, _LOCK, _MAGNET, _MAGNIFIER, _PENCIL, _WRENCH)
