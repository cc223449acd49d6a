"""Sky and weather."""

from __future__ import annotations

import numpy as np

from relsim.world.objects.base import ObjectKind, ink, kind, main, paper, second
from relsim.world.objects.curves import band, circle, poly, rotated, smooth

# One part per line reads better than what the formatter makes of it.
# fmt: off
_CLOUD = kind(
    "sky", "cloud", "clouds",
    main(smooth(
        "18 80  4 72  2 56  16 44  20 44!  26 28  42 20  58 26  66 37!  80 36  90 46  90 54!  98 60  98 74  "
        "84 80"
    )),
    second(smooth("18 80  8 75  4 64!  20 70  60 70  97 66!  96 76  84 80")),
)

_DROP = kind(
    "sky", "drop", "drops",
    main(smooth("50 0!  58 20  76 46  82 66  74 88  50 98  26 88  18 66  24 46  42 20")),
    paper(smooth("30 60  35 60  36 74  46 86  42 89  30 78")),
)

_BOLT = kind(
    "sky", "lightning bolt", "lightning bolts",
    main(poly("58 0  20 56  46 56  34 100  82 38  54 38  76 0")),
    second(poly("76 0  54 38  82 38  78 43  48 43  68 0")),
    directed=True,
)

_MOON = kind(
    "sky", "moon", "moons",
    main(smooth("64 2!  40 4  16 20  6 48  16 78  44 97  72 93  92 74!  68 76  48 64  40 42  48 18")),
    second(circle(22, 52, 6)),
    second(circle(34, 76, 7)),
    second(circle(28, 30, 4)),
    directed=True,
)

_PLANET = kind(
    "sky", "planet", "planets",
    main(circle(50, 50, 30)),
    second(rotated(smooth("22 38!  50 42  78 38!  79 46  50 50  21 46"), -22)),
    ink(rotated(smooth(
        "22 45!  4 46  -2 54  20 62  50 65  80 62  102 54  96 46  78 45!  90 50  90 53  76 57  50 59  24 57  "
        "10 53  10 50"
    ), -22)),
    directed=True,
)

_RAINBOW = kind(
    "sky", "rainbow", "rainbows",
    main(band(50, 66, 38, 28, 180, 360)),
    second(band(50, 66, 38, 8, 180, 360)),
    second(smooth("6 82  -3 76  2 67  10 68  16 61  26 62  30 69  36 74  34 80  28 82!")),
    second(smooth("94 82  103 76  98 67  90 68  84 61  74 62  70 69  64 74  66 80  72 82!")),
)

_SNOWFLAKE = kind(
    "sky", "snowflake", "snowflakes",
    *(
        main(rotated(poly(
            "46 50  46 30  33 22  36 16  46 22  46 2  54 2  54 22  64 16  67 22  54 30  54 50"
        ), 60 * i))
        for i in range(6)
    ),
    second(circle(50, 50, 8, n=6)),
)

_ray = np.array([[50.0, 0.0], [58.0, 20.0]])
_SUN = kind(
    "sky", "sun", "suns",
    main(*(rotated(_ray, 30 * i) for i in range(12))),
    second(circle(50, 50, 25)),
    main(circle(50, 50, 21)),
)

KINDS: tuple[ObjectKind, ...] = (_BOLT, _CLOUD, _DROP, _MOON, _PLANET, _RAINBOW, _SNOWFLAKE, _SUN)
