"""Draw docs/pictures/world.png, objects.png and composed.png: every relation and kind of the world, and the composed.

The first and the last are reduced to 256 colours, to a third of their bytes.
"""

# ruff: noqa: INP001 - a script, not a package

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from relsim.world.canvas import STYLES, Canvas, View
from relsim.world.gallery import contact_sheet
from relsim.world.looks import HELD_OUT_OBJECTS, Split
from relsim.world.objects import OBJECTS, ObjectKind
from relsim.world.palettes import PALETTES
from relsim.world.relations.composed import PREFIX, composed_names
from relsim.world.relations.composed_bonds import BONDS
from relsim.world.relations.composed_props import PROPS
from relsim.world.scenes import draw, draw_scene
from relsim.world.stage import Actor, Stage

FOLDER = Path(__file__).with_name("pictures")
COLUMNS, SIDE, LABEL = 10, 104, 18
_PLAIN = {"0", "equal", "other", "alike", "loose"}  # parts of composed names that say nothing worth a label


def main() -> None:
    """Write the three pictures."""
    FOLDER.mkdir(exist_ok=True)
    world = contact_sheet(columns=7, size=120).quantize(256, method=Image.Quantize.FASTOCTREE)
    world.save(FOLDER / "world.png", optimize=True)
    objects_sheet().save(FOLDER / "objects.png", optimize=True)
    composed = composed_sheet().quantize(256, method=Image.Quantize.FASTOCTREE)
    composed.save(FOLDER / "composed.png", optimize=True)


def objects_sheet() -> Image.Image:
    """All kinds in alphabetical order, each in a style and palette of its own, with its name; held-out ones starred."""
    rows = -(-len(OBJECTS) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (SIDE + 4), rows * (SIDE + LABEL)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (name, kind) in enumerate(OBJECTS.items()):
        left, top = number % COLUMNS * (SIDE + 4), number // COLUMNS * (SIDE + LABEL)
        sheet.paste(portrait(kind, number), (left, top))
        text = f"{name} *" if name in HELD_OUT_OBJECTS else name
        pen.text((left + SIDE / 2, top + SIDE + 2), text, fill=(20, 20, 20), anchor="ma")
    return sheet


def composed_sheet() -> Image.Image:
    """Composed relations, one scene each: some series, every mark and stand, every bond, every prop."""
    series = [name for name in composed_names() if name.startswith(f"{PREFIX}series/")]
    chosen = series[:: len(series) // 36][:36]
    chosen += [name for name in composed_names() if name.startswith(f"{PREFIX}mark/") and name.endswith("/0")]
    chosen += [f"{PREFIX}bond/{bond}/equal/other" for bond in BONDS]
    chosen += [f"{PREFIX}prop/{prop}/alike" for prop in PROPS]
    below = SIDE + 2 * LABEL - 6
    sheet = Image.new("RGB", (COLUMNS * (SIDE + 4), -(-len(chosen) // COLUMNS) * below), "white")
    pen = ImageDraw.Draw(sheet)
    for number, name in enumerate(chosen):
        left, top = number % COLUMNS * (SIDE + 4), number // COLUMNS * below
        scene = draw_scene(Split.TRAIN, np.random.default_rng([9, number]), relation=name)
        sheet.paste(draw(scene, SIDE).image, (left, top))
        words = [word.replace("_", " ") for word in name.split("/")[2:] if word not in _PLAIN]
        text = "\n".join((words[0], ", ".join(words[1:])))
        pen.text((left + SIDE / 2, top + SIDE + 2), text, fill=(20, 20, 20), anchor="ma", align="center", spacing=1)
    return sheet


def portrait(kind: ObjectKind, number: int) -> Image.Image:
    """One kind, as large as a cell; palettes and styles take turns."""
    palette = list(PALETTES.values())[number % len(PALETTES)]
    canvas = Canvas(SIDE, palette, STYLES[number // 3 % len(STYLES)], View())
    stage = Stage(canvas, (), (), 0.0, np.random.default_rng(number))
    stage.put(Actor(kind, palette.colours[number % 5]), 0, 0, 1.8)
    return canvas.finish()


if __name__ == "__main__":
    main()
