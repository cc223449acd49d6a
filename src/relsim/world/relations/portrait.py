"""Large objects that are in no relation: what a model learns the names of things from."""

from __future__ import annotations

from relsim.world.relations.base import Relation
from relsim.world.stage import Stage

FAMILY = "portrait"


def _alone(stage: Stage) -> None:
    size = stage.between(0.7, 1.6)
    reach = 0.95 - size / 2
    x, y = stage.between(-reach, reach), stage.between(-reach, reach)
    stage.put(stage.cast[0], x, y, size, turn=stage.between(-20, 20), mirror=stage.chance())


def _two(stage: Stage) -> None:
    across = stage.chance()
    for actor, side in zip(stage.cast, (-1, 1), strict=False):
        along, aside, size = side * stage.between(0.4, 0.5), stage.between(-0.3, 0.3), stage.between(0.55, 0.85)
        x, y = (along, aside) if across else (aside, along)
        stage.put(actor, x, y, size, turn=stage.between(-20, 20), mirror=stage.chance())


def _three(stage: Stage) -> None:
    places = [(-0.46, -0.46), (0.46, -0.46), (-0.46, 0.46), (0.46, 0.46)]
    for actor, index in zip(stage.cast, stage.rng.permutation(4).tolist(), strict=False):
        x, y = places[index]
        size = stage.between(0.5, 0.8)
        x, y = x + stage.between(-0.1, 0.1), y + stage.between(-0.1, 0.1)
        stage.put(actor, x, y, size, turn=stage.between(-20, 20), mirror=stage.chance())


PORTRAIT = Relation(
    "portrait",
    FAMILY,
    (
        "{Objects} shown on their own",
        "A plain view of {Objects}",
        "Nothing but a few {Objects}",
        "A portrait of {Objects}",
        "{Objects}, large and by themselves",
        "Just some {Objects}",
        "A simple view of {Objects}",
    ),
    (_alone, _two, _three),
)
"""Not one of `RELATIONS`: it relates nothing, so no comparison may turn on it."""
