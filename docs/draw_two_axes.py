"""Draw docs/pictures/two-axes.png: what the two embedded models find next to the same pictures.

    python docs/draw_two_axes.py

Scenes of held-out objects and palettes, which no training has seen. Only the queries' relations are chosen by hand.
"""

# ruff: noqa: INP001 - a script, not a package

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from relsim import relsim
from relsim.world.looks import Split
from relsim.world.scenes import draw, scenes

QUERIES = ("branching_tree", "hub_and_spokes", "thought", "ring")
SCENES, SEED, SIDE, FOUND = 860, 3, 150, 3
GAP, LABEL = 10, 30


def main() -> None:
    """Embed a few hundred scenes on both axes and paste what is nearest to each query."""
    rows = list(islice(scenes(Split.OBJECTS, SEED), SCENES))
    pictures = [draw(scene, 224).image for scene in rows]
    works, looks = (_similarities(name, pictures) for name in ("relsim-mini", "relsim-mini-attributes"))
    width = (1 + 2 * FOUND) * (SIDE + GAP) + 4 * GAP
    sheet = Image.new("RGB", (width, LABEL + len(QUERIES) * (SIDE + GAP)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    starts = (GAP, SIDE + 4 * GAP, SIDE + 4 * GAP + FOUND * (SIDE + GAP) + 2 * GAP)
    titles = ("query", "works alike: relsim-mini", "looks alike: relsim-mini-attributes")
    for x, text in zip(starts, titles, strict=True):
        pen.text((x, 6), text, fill=(60, 60, 60), font=font)
    for line, relation in enumerate(QUERIES):
        query = next(index for index, scene in enumerate(rows) if scene.relation == relation)
        top = LABEL + line * (SIDE + GAP)
        for x, found in zip(starts, ([query], _nearest(works, query), _nearest(looks, query)), strict=True):
            for place, index in enumerate(found):
                small = pictures[index].resize((SIDE, SIDE), Image.Resampling.LANCZOS)
                sheet.paste(small, (x + place * (SIDE + GAP), top))
    out = Path(__file__).parent / "pictures" / "two-axes.png"
    sheet.quantize(256).save(out, optimize=True)


def _similarities(name: str, pictures: list[Image.Image]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    model, _ = relsim(checkpoint_dir=name)
    scores = model.similarity(model.embed(pictures)).numpy()
    np.fill_diagonal(scores, -2)
    return np.asarray(scores, np.float32)


def _nearest(scores: np.ndarray[tuple[int, int], np.dtype[np.float32]], query: int) -> list[int]:
    return [int(index) for index in np.argsort(-scores[query])[:FOUND]]


if __name__ == "__main__":
    main()
