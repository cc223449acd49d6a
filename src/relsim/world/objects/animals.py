"""Animals. Those that are seen from the side look to the right."""

from __future__ import annotations

from relsim.world.objects.base import ObjectKind, ink, kind, main, paper, second
from relsim.world.objects.curves import band, circle, mirrored, poly, smooth, stroke

# One part per line reads better than what the formatter makes of it.
# fmt: off
_BIRD = kind(
    "animals", "bird", "birds",
    ink(stroke("44 74  42 94", 3.5)),
    ink(stroke("56 74  56 94", 3.5)),
    second(poly("84 24  100 33  83 38")),
    main(smooth("72 10  87 22  86 40  78 62  58 78  38 78  22 68  0 74!  2 58!  24 50  42 38  54 22  62 12")),
    second(smooth("32 48!  50 44  64 52  58 64  42 68  16 60!")),
    paper(circle(75, 24, 5)),
    ink(circle(76, 24, 2.8)),
    directed=True,
)

_wing = smooth(
    "52 46!  62 20  82 6  96 12  96 34  82 50!  94 62  88 82  72 88  60 76  52 60!"
)
_BUTTERFLY = kind(
    "animals", "butterfly", "butterflies",
    ink(stroke("51 34  56 20  64 10", 2.5)),
    ink(stroke("49 34  44 20  36 10", 2.5)),
    main(_wing),
    main(mirrored(_wing)),
    second(circle(79, 28, 9)),
    second(circle(21, 28, 9)),
    ink(circle(50, 55, 4.5, 26)),
)

_CAT = kind(
    "animals", "cat", "cats",
    main(smooth(
        "10 10!  22 12  38 27!  50 25  62 27!  78 12  90 10!  92 30  93 52  84 76  66 89  50 91  34 89  16 76  "
        "7 52  8 30"
    )),
    second(smooth("16 18!  26 22  33 32!  22 38  17 44!")),
    second(smooth("84 18!  74 22  67 32!  78 38  83 44!")),
    ink(circle(32, 53, 5.5, 8)),
    ink(circle(68, 53, 5.5, 8)),
    paper(smooth("50 64  64 66  66 77  50 83  34 77  36 66")),
    ink(smooth("43 66!  57 66!  50 74!")),
)

_claw = smooth("78 46!  90 44  99 30  94 12!  90 24  84 26!  82 10!  72 20  72 34")
_CRAB = kind(
    "animals", "crab", "crabs",
    second(stroke("5 88  16 74  50 70  84 74  95 88", 5)),
    second(stroke("24 94  32 80  50 76  68 80  76 94", 5)),
    second(stroke("16 40  22 54  50 60  78 54  84 40", 7)),
    main(_claw),
    main(mirrored(_claw)),
    main(smooth("50 40  70 43  84 58  74 74  50 80  26 74  16 58  30 43")),
    ink(stroke("42 44  40 28", 5)),
    ink(stroke("58 44  60 28", 5)),
)

_ear = smooth("26 12!  13 14  3 32  2 52  8 64  16 58  21 40")
_DOG = kind(
    "animals", "dog", "dogs",
    main(smooth("50 8  72 12  84 28  86 52  80 76  66 90  50 92  34 90  20 76  14 52  16 28  28 12")),
    second(_ear),
    second(mirrored(_ear)),
    paper(smooth("50 52  60 57  69 67  64 80  50 84  36 80  31 67  40 57")),
    ink(circle(35, 44, 5)),
    ink(circle(65, 44, 5)),
    ink(circle(50, 62, 8.5, 6)),
)

_DUCK = kind(
    "animals", "duck", "ducks",
    second(smooth("84 26!  92 24  100 28!  100 34!  90 38  82 38!")),
    main(smooth(
        "70 8  84 16  86 32  76 46  84 58  84 74  70 88  44 90  20 84  8 68  2 46!  16 52  32 54  48 50  "
        "54 40  52 22  58 12"
    )),
    second(smooth("28 62!  44 56  64 60  60 74  46 80  30 74")),
    ink(circle(73, 23, 3.5)),
    directed=True,
)

_ELEPHANT = kind(
    "animals", "elephant", "elephants",
    ink(stroke("6 40  2 50  4 60", 2.5)),
    main(smooth(
        "6 46  10 30  26 20  46 20  60 24!  66 14  80 12  92 22  94 40  95 60  92 76  82 80  76 76!  78 71!  "
        "86 69  86 58!  78 58  70 58!  70 88!  54 88!  54 70  44 68  30 70!  28 88!  12 88!  12 70"
    )),
    second(smooth("58 22!  70 22  76 36  70 50  58 50  54 36")),
    ink(circle(83, 31, 2.8)),
    paper(smooth("85 50!  94 55  100 50!  96 60  86 59!")),
    directed=True,
)

_FISH = kind(
    "animals", "fish", "fish",
    second(smooth("34 38!  36 20  50 8  74 12!  66 20  72 36!")),
    second(smooth("42 70!  40 84  30 92!  52 88  58 72!")),
    main(smooth("98 54!  84 36  58 28  28 46  2 22!  10 50  0 74!  26 60  56 76  82 70")),
    second(band(92, 52, 22, 3, 140, 220)),
    paper(circle(82, 47, 5)),
    ink(circle(83, 47, 2.8)),
    directed=True,
)

_OCTOPUS = kind(
    "animals", "octopus", "octopuses",
    main(stroke("-2 64  4 80  22 80  50 60  78 80  96 80  102 64", 13)),
    main(stroke("14 96  30 92  40 76  50 66  60 76  70 92  86 96", 14)),
    main(smooth("50 0  70 6  82 24  80 42  68 56  66 70  50 76  34 70  32 56  20 42  18 24  30 6")),
    paper(circle(38, 38, 8)),
    paper(circle(62, 38, 8)),
    ink(circle(39, 39, 4)),
    ink(circle(61, 39, 4)),
    second(stroke("42 56  50 60  58 56", 3)),
)

_flippers = smooth(
    "24 38!  9 56  3 76!  15 73  26 64!  74 64!  85 73  97 76!  91 56  76 38!"
)
_PENGUIN = kind(
    "animals", "penguin", "penguins",
    second(circle(36, 95, 14, 5)),
    second(circle(64, 95, 14, 5)),
    main(_flippers),
    main(smooth("50 0  66 5  74 20  76 44  80 66  74 86  50 94  26 86  20 66  24 44  26 20  34 5")),
    paper(smooth(
        "50 22  58 12  68 18  67 32  62 40  68 56  67 74  60 84  50 87  40 84  33 74  32 56  38 40  33 32  "
        "32 18  42 12"
    )),
    ink(circle(41, 24, 2.6, 3.4)),
    ink(circle(59, 24, 2.6, 3.4)),
    second(poly("42 31  58 31  50 41")),
)

_RABBIT = kind(
    "animals", "rabbit", "rabbits",
    main(smooth(
        "50 46  57 44!  55 22  60 4  70 2  77 14  74 36  70 48!  82 58  86 74  78 90  62 98  50 99  38 98  "
        "22 90  14 74  18 58  30 48!  26 36  23 14  30 2  40 4  45 22  43 44!"
    )),
    second(smooth("65 10  70 20  66 40!  61 40!  61 20")),
    second(smooth("35 10  30 20  34 40!  39 40!  39 20")),
    ink(circle(35, 68, 4.5, 5.5)),
    ink(circle(65, 68, 4.5, 5.5)),
    paper(circle(50, 84, 13, 8)),
    ink(poly("45 77  55 77  50 83")),
)

_SNAIL = kind(
    "animals", "snail", "snails",
    ink(stroke("88 52  84 34", 3)),
    ink(stroke("92 52  98 36", 3)),
    second(smooth("0 88!  20 78  60 76  76 70  78 54  88 46  98 52  99 66  92 82  80 88!")),
    main(circle(42, 50, 34)),
    second(stroke("42 84  24 78  14 58  22 36  42 28  60 38  62 56  50 68  36 62  34 50  44 46", 4.5, 3)),
    directed=True,
)

_SNAKE = kind(
    "animals", "snake", "snakes",
    ink(poly("94 25  104 21  99 26  104 30")),
    main(stroke("0 68  10 80  22 76  32 52  44 42  54 52  62 72  74 76  82 58  74 36  80 23", 7, 19)),
    main(smooth("70 17  82 11  95 20  96 28  84 33  70 31")),
    second(circle(43, 44, 4)),
    second(circle(70, 75, 4.5)),
    paper(circle(83, 20, 3.6)),
    ink(circle(84, 20, 2)),
    directed=True,
)

_TURTLE = kind(
    "animals", "turtle", "turtles",
    second(smooth("70 62!  78 44  86 36  96 38  100 48  96 56  86 60  80 72")),
    second(smooth("14 66!  4 74  0 76!  8 78  20 74!")),
    second(smooth("20 66!  14 86!  30 86!  36 70!")),
    second(smooth("60 70!  66 86!  80 86!  76 66!")),
    main(smooth("8 70!  14 46  30 28  46 24  62 28  78 46  84 70!")),
    second(poly("38 36  54 36  60 50  46 60  32 50")),
    ink(circle(93, 45, 2.5)),
    directed=True,
)

_WHALE = kind(
    "animals", "whale", "whales",
    ink(stroke("70 30  70 16  60 10", 3.5)),
    ink(stroke("72 30  74 16  84 10", 3.5)),
    main(smooth(
        "98 58  94 42  80 32  60 34  42 46  26 54  18 44!  22 28  10 22!  8 30  0 34!  2 48  8 60  22 80  "
        "48 88  76 88  92 78"
    )),
    paper(smooth("97 62!  80 68  56 70  40 78  50 86  76 86  91 77")),
    ink(circle(82, 53, 3)),
    directed=True,
)

KINDS: tuple[ObjectKind, ...] = (
    _BIRD, _BUTTERFLY, _CAT, _CRAB, _DOG, _DUCK, _ELEPHANT, _FISH, _OCTOPUS, _PENGUIN, _RABBIT, _SNAIL, _SNAKE,
    _TURTLE, _WHALE,
)
