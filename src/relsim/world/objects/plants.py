"""Plants."""

from __future__ import annotations

from relsim.world.objects.base import ObjectKind, kind, main, paper, second
from relsim.world.objects.curves import bar, box, circle, poly, smooth, stroke

# One part per line reads better than what the formatter makes of it.
# fmt: off
_CACTUS = kind(
    "plants", "cactus", "cactuses",
    main(stroke("46 56  22 56  16 48  16 30", 14)),
    main(stroke("54 68  76 68  83 60  83 40", 14)),
    main(box(38, 2, 62, 82, 12)),
    second(poly("30 76  70 76  64 99  36 99")),
    second(bar(46, 16, 46, 70, 2.5)),
    second(bar(54, 16, 54, 70, 2.5)),
    directed=True,
)

_petal = smooth("50 36!  40 24  41 6  50 0  59 6  60 24")
_FLOWER = kind(
    "plants", "flower", "flowers",
    second(stroke("50 40  50 98", 5)),
    second(smooth("50 92!  58 76  80 70!  72 88  50 92!")),
    second(smooth("50 96!  42 82  20 78!  28 92  50 96!")),
    main(smooth(
        "50 2  58 10  60 16  68 12  77 15  77 24  73 31  80 37  78 46  69 48  62 48  58 58  50 62  42 58  "
        "38 48  31 48  22 46  20 37  27 31  23 24  23 15  32 12  40 16  42 10"
    )),
    paper(circle(50, 32, 11)),
)

_LEAF = kind(
    "plants", "leaf", "leaves",
    second(stroke("4 98  20 80  34 66", 5)),
    main(smooth("16 84!  8 56  18 28  46 10  98 2!  94 50  74 78  46 90  16 84!")),
    second(stroke("16 84  46 54  80 20", 3.5, 1.5)),
    second(stroke("36 64  36 46  40 36", 2.5, 1.5)),
    second(stroke("44 56  60 58  72 54", 2.5, 1.5)),
)

_PALM = kind(
    "plants", "palm", "palms",
    second(smooth("46 36!  54 34!  56 60  64 98!  44 98!  48 66")),
    main(smooth("48 34!  36 20  18 18  2 36!  20 32  46 40!")),
    main(smooth("52 34!  64 20  84 18  98 36!  80 32  54 40!")),
    main(smooth("50 34!  46 16  34 4  14 4!  28 14  44 36!")),
    main(smooth("50 34!  56 16  68 4  88 4!  72 14  56 36!")),
    main(smooth("50 34!  36 40  24 50  18 68!  34 54  50 42!")),
    main(smooth("50 34!  64 40  78 50  84 68!  68 54  52 42!")),
    second(circle(49, 40, 6)),
)

_PINE = kind(
    "plants", "pine", "pines",
    second(box(43, 84, 57, 100)),
    main(poly("50 0  70 28  61 28  78 54  67 54  88 86  12 86  33 54  22 54  39 28  30 28")),
    second(poly("39 28  61 28  64 33  36 33")),
    second(poly("33 54  67 54  70 59  30 59")),
)

_TREE = kind(
    "plants", "tree", "trees",
    second(smooth("43 58!  57 58!  57 82  66 99!  34 99!  43 82")),
    main(smooth(
        "50 2  66 5  74 15  87 20  91 36  86 46  88 60  76 68  62 65  50 71  38 65  24 68  12 60  14 46  9 36  "
        "13 20  26 15  34 5"
    )),
    second(stroke("28 34  36 26  46 28", 3)),
    second(stroke("58 48  68 44  76 48", 3)),
)

_TULIP = kind(
    "plants", "tulip", "tulips",
    second(stroke("50 46  50 97", 5)),
    second(smooth("50 98!  55 78  70 62  78 58!  75 78  64 92  50 98!")),
    second(smooth("50 98!  45 82  32 72  24 70!  28 86  38 95  50 98!")),
    main(smooth("20 2!  30 7  39 18!  50 -2!  61 18!  70 7  80 2!  84 28  76 48  50 58  24 48  16 28")),
    second(stroke("39 18  38 34  44 46", 2.5)),
    second(stroke("61 18  62 34  56 46", 2.5)),
)

KINDS: tuple[ObjectKind, ...] = (_CACTUS, _FLOWER, _LEAF, _PALM, _PINE, _TREE, _TULIP)
