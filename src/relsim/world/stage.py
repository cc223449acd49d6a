"""What a relation draws with: actors of a cast, arrows, frames and plain shapes, in frame units ([-1, 1], y down).

A stage keeps count of what it shows, so that the descriptive caption names exactly what can be seen.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from relsim.world.canvas import Canvas, Points
from relsim.world.objects import INK, MAIN, PAPER, ObjectKind
from relsim.world.palettes import RGB, Colour, blend

DETAIL: RGB = (34, 34, 40)
"""Dark details of objects, on every palette."""

HIGHLIGHT: RGB = (250, 248, 242)
"""Light details of objects, on every palette."""

_DARK_PAPER = 380
"""Paper whose red, green and blue add up to less than this is dark."""


@dataclass(frozen=True, slots=True)
class Actor:
    """A kind of object in a colour."""

    kind: ObjectKind
    colour: Colour

    def painted(self, colour: Colour) -> Actor:
        """The same kind in another colour."""
        return replace(self, colour=colour)


class Stage:
    """One scene in the making.

    `cast` holds three actors of different kinds and colours; `spare` are the palette's remaining colours; `rng` is the
    only source of chance; `amount` in [0, 1] says few or many.
    """

    def __init__(
        self, canvas: Canvas, cast: Sequence[Actor], spare: Sequence[Colour], amount: float, rng: np.random.Generator
    ) -> None:
        self.canvas, self.cast, self.spare, self.rng = canvas, tuple(cast), tuple(spare), rng
        self._amount = amount
        # By (kind, colour word): how many, and the area of their boxes together in square frame units.
        self.shown: Counter[tuple[str, str]] = Counter()
        self.area: dict[tuple[str, str], float] = defaultdict(float)

    @property
    def ink(self) -> RGB:
        """Colour of lines and arrows."""
        return self.canvas.palette.ink.rgb

    @property
    def paper(self) -> RGB:
        """Colour of the background."""
        return self.canvas.palette.paper.rgb

    def count(self, few: int, many: int) -> int:
        """A number from `few` to `many`, both included, by how full this scene is."""
        return few + min(int(self._amount * (many - few + 1)), many - few)

    def between(self, low: float, high: float) -> float:
        """A random number."""
        return float(self.rng.uniform(low, high))

    def chance(self, share: float = 0.5) -> bool:
        """True in that share of scenes."""
        return bool(self.rng.random() < share)

    def pick(self, count: int) -> int:
        """A random index below `count`."""
        return int(self.rng.integers(count))

    def put(  # noqa: PLR0913 - position, then what may differ from an upright actor
        self,
        actor: Actor,
        x: float,
        y: float,
        size: float,
        *,
        turn: float = 0.0,
        mirror: bool = False,
        stretch: tuple[float, float] = (1.0, 1.0),
        fade: float = 0.0,
        silhouette: RGB | None = None,
    ) -> None:
        """Draw an actor whose longer side is `size`, centred at (x, y), turned clockwise by degrees.

        `fade` lets the paper through; `silhouette` paints all of it in one colour.
        """
        place = _placement(x, y, size, turn, mirror=mirror, stretch=stretch)
        if silhouette is None:
            self.shown[actor.kind.name, actor.colour.word] += 1
            self.area[actor.kind.name, actor.colour.word] += size * size
        tones = (silhouette,) * 4 if silhouette is not None else self._tones(actor.colour.rgb, fade)
        for part in actor.kind.parts:
            points = part.points @ place[:2] + place[2]
            self.canvas.shape(points, tones[part.tone], plain=silhouette is not None or part.tone in (INK, PAPER))

    def outline_of(self, actor: Actor, x: float, y: float, size: float, *, turn: float = 0.0) -> list[Points]:
        """The polygons that `put` would fill in the main colour: to clip by, or to scatter things inside."""
        place = _placement(x, y, size, turn, mirror=False, stretch=(1.0, 1.0))
        return [part.points @ place[:2] + place[2] for part in actor.kind.parts if part.tone == MAIN]

    def shape(self, points: Sequence[tuple[float, float]] | Points, colour: RGB, *, plain: bool = False) -> None:
        """A closed polygon in the scene's style."""
        self.canvas.shape(np.asarray(points, np.float32), colour, plain=plain)

    def disc(self, x: float, y: float, radius: float, colour: RGB, *, plain: bool = False) -> None:
        """A filled circle."""
        self.canvas.shape(circle(x, y, radius), colour, plain=plain)

    def ring(self, x: float, y: float, radius: float, *, width: float = 0.03, colour: RGB | None = None) -> None:
        """The line of a circle."""
        points = circle(x, y, radius)
        self.canvas.path(np.concatenate([points, points[:2]]), colour or self.ink, width)

    def box(self, x: float, y: float, width: float, height: float, colour: RGB, *, plain: bool = False) -> None:
        """A filled rectangle centred at (x, y)."""
        self.canvas.shape(rectangle(x, y, width, height), colour, plain=plain)

    def frame(self, x: float, y: float, width: float, height: float, *, line: float = 0.03) -> None:
        """The line of a rectangle centred at (x, y)."""
        points = rectangle(x, y, width, height)
        self.canvas.path(np.concatenate([points, points[:2]]), self.ink, line)

    def line(
        self, points: Sequence[tuple[float, float]] | Points, *, width: float = 0.03, colour: RGB | None = None
    ) -> None:
        """A stroke through the points."""
        self.canvas.path(np.asarray(points, np.float32), colour or self.ink, width)

    def arrow(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        *,
        bend: float = 0.0,
        width: float = 0.035,
        head: float = 0.12,
        colour: RGB | None = None,
    ) -> None:
        """A stroke with a head at `end`; `bend` bows it to its right by that share of its length."""
        path, colour = curve(start, end, bend), colour or self.ink
        tip, before = path[-1], path[-3]
        along = (tip - before) / max(float(np.hypot(*(tip - before))), 1e-6)
        neck = tip - along * head
        side = np.array([-along[1], along[0]], np.float32) * head * 0.55
        shaft = path[:-1][(path[:-1] - neck) @ along < 0]
        self.canvas.path(np.concatenate([shaft, neck[None]]), colour, width)
        self.canvas.shape(np.stack([tip, neck + side, neck - side]).astype(np.float32), colour, plain=True)

    @contextmanager
    def clipped(self, *polygons: Sequence[tuple[float, float]] | Points) -> Iterator[None]:
        """What is drawn inside the block shows only within the union of the polygons."""
        with self.canvas.clipped(*(np.asarray(points, np.float32) for points in polygons)):
            yield

    def _tones(self, colour: RGB, fade: float) -> tuple[RGB, RGB, RGB, RGB]:
        """Colours of the four tones of a part. On dark paper the second is lighter than the first, not darker."""
        second = blend(colour, (255, 255, 255) if sum(self.paper) < _DARK_PAPER else (20, 20, 30), 0.32)
        if fade <= 0:
            return colour, second, DETAIL, HIGHLIGHT
        main, second, detail, light = (blend(tone, self.paper, fade) for tone in (colour, second, DETAIL, HIGHLIGHT))
        return main, second, detail, light


def circle(x: float, y: float, radius: float, points: int = 28) -> Points:
    """A circle as a polygon."""
    angles = np.arange(points) * (2 * math.pi / points)
    return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1).astype(np.float32)


def rectangle(x: float, y: float, width: float, height: float) -> Points:
    """A rectangle centred at (x, y) as a polygon."""
    w, h = width / 2, height / 2
    return np.array([(x - w, y - h), (x + w, y - h), (x + w, y + h), (x - w, y + h)], np.float32)


def curve(start: tuple[float, float], end: tuple[float, float], bend: float = 0.0, points: int = 12) -> Points:
    """A quadratic Bezier curve; `bend` is how far it bows to its right, as a share of its length."""
    first, last = np.array(start, np.float32), np.array(end, np.float32)
    chord = last - first
    middle = (first + last) / 2 + 2 * bend * np.array([-chord[1], chord[0]], np.float32)
    t = np.linspace(0, 1, points, dtype=np.float32)[:, None]
    path: Points = (1 - t) ** 2 * first + 2 * t * (1 - t) * middle + t**2 * last
    return path


def on_circle(radius: float, degrees: float, x: float = 0.0, y: float = 0.0) -> tuple[float, float]:
    """A point of a circle; 0 degrees is to the right, 90 is down."""
    angle = math.radians(degrees)
    return x + radius * math.cos(angle), y + radius * math.sin(angle)


def _placement(x: float, y: float, size: float, turn: float, *, mirror: bool, stretch: tuple[float, float]) -> Points:
    """Rows 0 and 1: the linear part for row vectors; row 2: the shift."""
    angle = math.radians(turn)
    cos, sin = math.cos(angle) * size, math.sin(angle) * size
    across = -stretch[0] if mirror else stretch[0]
    return np.array([[across * cos, across * sin], [-stretch[1] * sin, stretch[1] * cos], [x, y]], np.float32)
