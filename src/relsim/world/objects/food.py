"""Food."""

from __future__ import annotations

from relsim.world.objects.base import ObjectKind, ink, kind, main, paper, second
from relsim.world.objects.curves import bar, circle, mirrored, poly, smooth, stroke

# One part per line reads better than what the formatter makes of it.
# fmt: off
_APPLE = kind(
    "food", "apple", "apples",
    ink(stroke("50 28  50 14  56 4", 5)),
    second(smooth("54 16!  64 2  84 4!  76 18  54 16!")),
    main(smooth("50 26  66 19  84 24  93 44  88 70  72 94  60 97  50 93  40 97  28 94  12 70  7 44  16 24  34 19")),
    paper(smooth("22 34  28 32  26 42  24 56  19 54  18 42")),
)

_BANANA = kind(
    "food", "banana", "bananas",
    main(smooth(
        "78 4!  86 2!  88 16  94 36  90 60  72 82  46 92  18 90  6 84!  8 76!  32 72  52 62  68 44  76 24"
    )),
    second(stroke("84 18  84 42  70 64  46 80  14 83", 3)),
    ink(poly("77 2  87 0  88 10  79 12")),
    ink(poly("4 74  11 75  9 87  3 84")),
)

_CARROT = kind(
    "food", "carrot", "carrots",
    second(smooth("48 30!  36 18  30 2!  46 8  50 24!")),
    second(smooth("52 30!  64 18  70 2!  54 8  50 24!")),
    second(smooth("46 30!  44 12  50 0!  56 12  54 30!")),
    main(smooth("50 26  64 27  72 36  66 58  57 82  50 100!  43 82  34 58  28 36  36 27")),
    ink(stroke("32 46  46 48", 2.5)),
    ink(stroke("66 58  54 61", 2.5)),
    ink(stroke("41 72  50 74", 2.5)),
)

_CHEESE = kind(
    "food", "cheese", "cheeses",
    second(smooth("0 50!  70 14!  84 18  94 30  100 50!")),
    main(smooth("0 50!  100 50!  100 88!  66 88!  60 80  50 80  44 88!  0 88!")),
    second(circle(24, 68, 9)),
    second(circle(80, 64, 8)),
    second(circle(52, 61, 5)),
    directed=True,
)

_CHERRY = kind(
    "food", "cherry", "cherries",
    ink(stroke("28 62  36 34  66 6", 4)),
    ink(stroke("74 66  76 36  66 6", 4)),
    second(smooth("64 8!  44 0  22 10  12 26!  36 26  54 20  64 8!")),
    main(circle(26, 72, 24)),
    main(circle(75, 75, 24)),
    paper(circle(18, 64, 5, 7)),
    paper(circle(67, 67, 5, 7)),
    directed=True,
)

_CUPCAKE = kind(
    "food", "cupcake", "cupcakes",
    second(poly("18 56  82 56  72 98  28 98")),
    ink(poly("36 58  40 58  42 97  39 97")),
    ink(poly("60 58  64 58  61 97  58 97")),
    main(smooth("50 12  64 20  66 28  80 34  80 43  91 51  88 62  50 67  12 62  9 51  20 43  20 34  34 28  36 20")),
    second(circle(50, 9, 8)),
    paper(bar(30, 44, 37, 40, 3.5)),
    paper(bar(50, 33, 56, 37, 3.5)),
    paper(bar(62, 53, 70, 50, 3.5)),
)

_ICE_CREAM = kind(
    "food", "ice cream", "ice creams",
    second(poly("28 48  72 48  50 100")),
    ink(poly("35 54  39 54  55 88  53.5 92")),
    ink(poly("65 54  61 54  45 88  46.5 92")),
    main(smooth(
        "50 2  66 6  77 18  78 34  82 46  75 56  66 52  58 60  50 54  42 60  34 52  25 56  18 46  22 34  "
        "23 18  34 6"
    )),
    paper(smooth("38 12  41 15  34 24  33 36  28 34  29 22")),
)

_MUSHROOM = kind(
    "food", "mushroom", "mushrooms",
    second(smooth("38 48!  62 48!  64 74  70 92  50 97  30 92  36 74")),
    main(smooth("4 50  12 24  32 8  50 5  68 8  88 24  96 50  76 57  50 58  24 57")),
    paper(circle(50, 22, 10, 8)),
    paper(circle(25, 38, 8, 7)),
    paper(circle(75, 38, 8, 7)),
)

_PEAR = kind(
    "food", "pear", "pears",
    ink(stroke("50 16  51 8  57 0", 4.5)),
    second(smooth("53 12!  62 2  80 4!  72 14  53 12!")),
    main(smooth(
        "50 12  61 16  65 30  70 46  82 62  82 82  68 96  50 99  32 96  18 82  18 62  30 46  35 30  39 16"
    )),
    paper(smooth("30 64  34 60  32 72  34 82  28 82  26 72")),
)

_leaf = smooth("44 34!  28 24  18 10!  36 12  46 24!")
_PINEAPPLE = kind(
    "food", "pineapple", "pineapples",
    second(_leaf),
    second(mirrored(_leaf)),
    second(smooth("42 34!  34 14  36 0!  46 8  50 12  54 8  64 0!  66 14  58 34!")),
    main(smooth("50 30  68 34  77 50  77 74  66 94  50 99  34 94  23 74  23 50  32 34")),
    second(bar(31, 40, 69, 86, 2.5)),
    second(bar(69, 40, 31, 86, 2.5)),
    second(bar(54, 34, 75, 60, 2.5)),
    second(bar(46, 34, 25, 60, 2.5)),
)

_PIZZA = kind(
    "food", "pizza", "pizzas",
    main(poly("10 18  90 18  50 99")),
    second(smooth("6 14  16 6  50 2  84 6  94 14  90 24  50 17  10 24")),
    ink(circle(36, 34, 7.5)),
    ink(circle(62, 42, 7.5)),
    ink(circle(48, 66, 6.5)),
)

KINDS: tuple[ObjectKind, ...] = (
    _APPLE, _BANANA, _CARROT, _CHEESE, _CHERRY, _CUPCAKE, _ICE_CREAM, _MUSHROOM, _PEAR, _PINEAPPLE, _PIZZA,
)
