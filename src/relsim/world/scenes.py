"""Scenes: a relation shown by a look, drawn from a seed.

`Scene` is all that decides a picture; drawing one twice gives the same pixels. `describe` and `captions` say what it
shows: with names, and without.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from relsim.errors import SourceError
from relsim.world.canvas import SUPERSAMPLING, Canvas
from relsim.world.descriptions import Sight, describe
from relsim.world.looks import Look, Split, draw_look
from relsim.world.objects import OBJECTS
from relsim.world.palettes import PALETTES
from relsim.world.relations import Relation, relation_named
from relsim.world.stage import Actor, Stage

WORLD = "relsim-world/2"
"""Version of the world: another one draws other pictures from the same seed."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One picture of the world, not yet drawn."""

    relation: str
    layout: int
    look: Look
    seed: int  # of everything that the layout leaves to chance
    split: Split

    @property
    def image_id(self) -> str:
        """32 hexadecimal digits, equal for equal scenes."""
        return hashlib.md5(f"{WORLD} {self!r}".encode(), usedforsecurity=False).hexdigest()

    @property
    def kind(self) -> Relation:
        """The relation itself."""
        return relation_named(self.relation)

    @property
    def family(self) -> str:
        """Family of the relation."""
        return self.kind.family

    @property
    def captions(self) -> tuple[str, ...]:
        """Anonymous captions; the last is kept out of training."""
        return self.kind.captions


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawn scene and what can be seen in it."""

    scene: Scene
    image: Image.Image
    sight: Sight

    @property
    def description(self) -> str:
        """One descriptive caption: what is seen, by name."""
        return self.descriptions[0]

    @property
    def descriptions(self) -> tuple[str, ...]:
        """Descriptive captions, each saying the same."""
        return describe(self.sight)

    def record(self) -> dict[str, Any]:
        """The manifest row, published fields first."""
        scene = self.scene
        return {
            "image_hash": scene.image_id,
            "url_link": "",
            "caption": scene.captions[scene.seed % (len(scene.captions) - 1)],
            "captions": list(scene.captions[:-1]),
            "unseen_caption": scene.captions[-1],
            "description": self.description,
            "relation": scene.relation,
            "family": scene.family,
            "group": scene.relation,
            "layout": scene.layout,
            "split": scene.split.value,
            "seed": scene.seed,
            "things": [list(thing) for thing in self.sight.things],
            "attributes": scene.look.as_json(),
        }


def draw(scene: Scene, size: int = 224) -> Drawing:
    """The picture, `size` pixels wide and high, and what it shows."""
    look = scene.look
    canvas = _canvas(scene, size)
    canvas.background(look.background, np.random.default_rng(look.background_seed))
    stage = _perform(scene, canvas)
    things = sorted(stage.shown, key=lambda thing: -stage.area[thing])
    sight = Sight(
        things=tuple((kind, colour, stage.shown[kind, colour]) for kind, colour in things),
        paper=canvas.palette.paper.word,
        background=look.background,
        style=look.style,
        seed=scene.seed,
    )
    return Drawing(scene, canvas.finish(), sight)


def coverage(scene: Scene, size: int = 224) -> NDArray[np.float32]:
    """How much of each pixel of the picture the relation's drawing covers, (size, size), 0 (paper) to 1.

    Nothing stands on the paper but what shows the relation: its objects, and the arrows, frames and lines between them.
    The scene is drawn on black and on white; what was drawn is what came out the same.
    """
    pictures = []
    for ground in ("black", "white"):
        canvas = _canvas(scene, size)
        canvas.image.paste(ground, (0, 0, *canvas.image.size))
        _perform(scene, canvas)
        pictures.append(np.asarray(canvas.image))
    drawn = (pictures[0] == pictures[1]).all(axis=2)
    mask: NDArray[np.float32] = drawn.reshape(size, SUPERSAMPLING, size, SUPERSAMPLING).mean((1, 3), np.float32)
    return mask


def draw_scene(split: Split, rng: np.random.Generator, *, relation: str | None = None) -> Scene:
    """A random scene of a split, of the given relation or of any."""
    relation = relation or split.relations[int(rng.integers(len(split.relations)))]
    return _staged(relation, draw_look(split, rng), split, rng)


def scenes(split: Split, seed: int, start: int = 0) -> Iterator[Scene]:
    """The endless, fixed row of a split's scenes for a seed; relations take turns. Each scene has its own generator."""
    names, index = split.relations, start
    while True:
        rng = np.random.default_rng([seed, split.number, index])
        yield draw_scene(split, rng, relation=names[index % len(names)])
        index += 1


def like(scene: Scene, rng: np.random.Generator) -> Scene:
    """The same relation with nothing of the look: other kinds, palette, background, style, and layout if it can be."""
    look = draw_look(scene.split, rng, unlike=scene.look)
    others = [number for number in range(len(scene.kind.layouts)) if number != scene.layout]
    layout = others[int(rng.integers(len(others)))] if others else scene.layout
    return replace(scene, look=look, layout=layout, seed=int(rng.integers(2**31)))


def disguised(scene: Scene, rng: np.random.Generator, relation: str | None = None) -> Scene:
    """The same look showing another relation."""
    others = [name for name in scene.split.relations if name != scene.relation]
    name = relation or others[int(rng.integers(len(others)))]
    return _staged(name, scene.look, scene.split, rng)


def scene_from_record(record: Mapping[str, Any]) -> Scene:
    """The scene that a manifest row describes; drawing it gives the row's picture.

    Raises `SourceError` for a row that no scene of this version of the world has.
    """
    name = record.get("image_hash")
    try:
        look, split = Look.from_json(record["attributes"]), Split(record["split"])
        scene = Scene(record["relation"], record["layout"], look, record["seed"], split)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SourceError(
            f"the row {name} describes no drawn scene ({error!r}); rows that do are in the manifest of a drawn gallery"
        ) from error
    if scene.image_id != name:
        raise SourceError(
            f"the row {name} has been altered or is not of {WORLD}: its scene would be {scene.image_id}; "
            "draw the gallery again with this version"
        )
    return scene


def _canvas(scene: Scene, size: int) -> Canvas:
    """Empty paper for a scene, seen as its look says."""
    look = scene.look
    view = replace(look.view, turn=look.view.turn * scene.kind.turn)
    return Canvas(size, PALETTES[look.palette], look.style, view)


def _perform(scene: Scene, canvas: Canvas) -> Stage:
    """The scene's relation, drawn on the canvas by its cast."""
    look = scene.look
    colours = [canvas.palette.colours[index] for index in look.colours]
    cast = [Actor(OBJECTS[kind], colour) for kind, colour in zip(look.kinds, colours, strict=False)]
    stage = Stage(canvas, cast, colours[len(cast) :], look.amount, np.random.default_rng(scene.seed))
    scene.kind.layouts[scene.layout](stage)
    return stage


def _staged(relation: str, look: Look, split: Split, rng: np.random.Generator) -> Scene:
    layout = int(rng.integers(len(relation_named(relation).layouts)))
    return Scene(relation, layout, look, int(rng.integers(2**31)), split)
