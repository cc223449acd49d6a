"""Triplets with known truth: anchor and positive share the relation, the negative does not.

    conflict   the positive shares nothing of the anchor's look, the negative all of it
    aligned    the positive shares the look, the negative nothing of it
    control    neither shares anything of the look

A metric of attributes fails conflict and passes aligned; a metric of relations passes all three.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from relsim.world.looks import Split, draw_look
from relsim.world.scenes import Scene, disguised, draw_scene, like

KINDS = ("conflict", "aligned", "control")


@dataclass(frozen=True, slots=True)
class SceneTriplet:
    """Three scenes of one split; `kind` is one of `KINDS`."""

    kind: str
    anchor: Scene
    positive: Scene
    negative: Scene


def scene_triplets(kind: str, split: Split, count: int, seed: int) -> Iterator[SceneTriplet]:
    """`count` triplets, the same for the same arguments; the anchors' relations take turns."""
    names = split.relations
    for index in range(count):
        rng = np.random.default_rng([seed, KINDS.index(kind), split.number, index])
        anchor = draw_scene(split, rng, relation=names[index % len(names)])
        negative = disguised(anchor, rng)
        if kind == "conflict":
            yield SceneTriplet(kind, anchor, like(anchor, rng), negative)
            continue
        negative = replace(negative, look=draw_look(split, rng, unlike=anchor.look))
        positive = like(anchor, rng)
        if kind == "aligned":
            positive = replace(positive, look=anchor.look)
        yield SceneTriplet(kind, anchor, positive, negative)
