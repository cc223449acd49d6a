"""Hand-crafted descriptors of how a picture looks: its colours and where they lie, its edges and where they run.

No weights and nothing learned, so it needs no download: the plain baseline of *looks alike*. A picture is squashed to
a small square (64 x 64) and described by two halves, each of unit length; a similarity is the mean of the halves'.

- **colour** (342 numbers at the default sizes): mean and standard deviation of CIELAB in a 4 x 4 grid, and a histogram
  over 5 x 7 x 7 bins of CIELAB, each pixel shared among the 8 nearest bins.
- **hog** (1,765 numbers): histograms of oriented gradients after Dalal and Triggs, "Histograms of Oriented Gradients
  for Human Detection", CVPR 2005.

Numbers that are never negative make all pictures alike, so each is set against a fixed point or its own cell, never
against a data set: lightness against mid-grey, an orientation against the mean over its cell's orientations, and the
histogram by its square root (the product of two is then the Bhattacharyya coefficient). On 23 photographs, unrelated
pairs then have cosines of 0.24 on average (5th to 95th percentile 0.03 to 0.47), a picture and its crop of 88 % with
another brightness and contrast 0.78. Without the centring the hog half alone gives unrelated pairs 0.67.

Each half carries one constant number beside the measured ones. It weighs little in a picture with colour or edges, and
keeps the vector of a plain grey or edgeless picture finite and of unit length: two such pictures are alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from relsim.encoders.base import Shrink, Vectors
from relsim.errors import EncoderError
from relsim.fingerprint import Fingerprint

Floats = NDArray[np.float64]
Parts = Literal["both", "colour", "hog"]

VERSION = 1
"""Raised by every change of these vectors that is more than rounding."""

ORIENTATIONS, CELL, BLOCK, CLIP = 9, 8, 2, 0.2
"""Dalal and Triggs' choices: bins over 180 degrees, pixels of a cell's side, cells of a block's side, L2-Hys limit."""
EPSILON = 0.02
"""Floor of a block's norm, as mean gradient per pixel where black to white is 1. It keeps rounding noise in a flat
area from being scaled up to an edge."""
EDGELESS = 1.0
"""The constant of the hog half; 49 blocks of unit length stand beside it."""
MID_GREY = np.array([50.0, 0.0, 0.0])
NEUTRAL = 25.0
"""The constant of the layout, in units of CIELAB, beside the distances from mid-grey of 16 grid cells."""
LIGHTNESS_BINS = np.linspace(0, 100, 5)
CHROMA_BINS = np.linspace(-60, 60, 7)
"""Centres of the histogram's bins. Stronger colours than 60 are rare in pictures and count in the outermost bin."""

_LUMA = np.array([0.2126, 0.7152, 0.0722]) / 255
"""Rec. ITU-R BT.709-6, item 3.2: luma from gamma-encoded R, G, B; here 0 to 1 from bytes."""
_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
"""Linear sRGB to XYZ under D65, from the primaries of IEC 61966-2-1 (B. Lindbloom, brucelindbloom.com)."""
_WHITE = _TO_XYZ.sum(axis=1)
_CODES = np.arange(256) / 255
_LINEAR = np.where(_CODES <= 0.04045, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4)
"""The sRGB transfer function of IEC 61966-2-1, for each of the 256 codes."""


class DescriptorEncoder:
    """Colour layout and HOG of a picture, or one of the two: unit vectors that tell whether two pictures look alike.

    `side` is the side of the square that a picture is squashed to, a multiple of 8 and of `grid`, from 16 up; `grid` is
    the number of colour cells along it. Raises `EncoderError` for sizes that do not fit.

    `prepare` does all the work, so that it runs in the decode threads and a vector cannot depend on its batch. One core
    describes about 600 pictures of 256 x 256 a second; at 2048 x 1536 the squashing takes most of the time.
    """

    def __init__(self, parts: Parts = "both", *, side: int = 64, grid: int = 4) -> None:
        if parts not in get_args(Parts):
            raise EncoderError(f"descriptors have the parts {', '.join(get_args(Parts))}; not {parts!r}")
        if side < BLOCK * CELL or side % CELL or grid < 1 or side % grid:
            raise EncoderError(
                f"descriptors need a side that is a multiple of {CELL} and of the grid, {BLOCK * CELL} or more; "
                f"not side={side} with grid={grid}"
            )
        self.parts = parts
        self.side = side
        self.grid = grid

    @property
    def name(self) -> str:
        """`descriptors`, `descriptors-colour` or `descriptors-hog`."""
        return "descriptors" if self.parts == "both" else f"descriptors-{self.parts}"

    @property
    def dimension(self) -> int:
        """D: 2,107 for both halves at the default sizes."""
        colour = 2 * 3 * self.grid**2 + 1 + len(LIGHTNESS_BINS) * len(CHROMA_BINS) ** 2
        hog = (self.side // CELL - BLOCK + 1) ** 2 * BLOCK**2 * ORIENTATIONS + 1
        return {"colour": colour, "hog": hog, "both": colour + hog}[self.parts]

    @property
    def fingerprint(self) -> Fingerprint:
        """The version of the formulas and every parameter."""
        return Fingerprint.of(
            {
                "encoder": self.name,
                "version": VERSION,
                "side": self.side,
                "grid": self.grid,
                "histogram": f"{len(LIGHTNESS_BINS)}x{len(CHROMA_BINS)}x{len(CHROMA_BINS)}",
                "chroma": float(CHROMA_BINS[-1]),
                "neutral": NEUTRAL,
                "orientations": ORIENTATIONS,
                "cell": CELL,
                "block": BLOCK,
                "clip": CLIP,
                "epsilon": EPSILON,
                "edgeless": EDGELESS,
                "precision": "float32",
                "dimension": self.dimension,
            }
        )

    @property
    def shrink(self) -> Shrink:
        """What makes a picture smaller without a difference: the squash."""
        return partial(_squashed, side=self.side)

    def prepare(self, image: Image.Image) -> NDArray[np.float32]:
        """The picture's vector (D,). Thread-safe."""
        pixels = squash(image, self.side)
        halves = []
        if self.parts != "hog":
            halves.append(colour_half(pixels, self.grid))
        if self.parts != "colour":
            halves.append(hog_half(pixels))
        return _unit(np.concatenate(halves)).astype(np.float32)

    def cost(self, prepared: NDArray[np.float32]) -> int:  # noqa: ARG002 - the protocol's signature
        """Cells of 8 x 8 pixels in the squashed picture: 64 by default, the same for every picture."""
        return (self.side // CELL) ** 2

    def encode(self, batch: Sequence[NDArray[np.float32]]) -> Vectors:
        """Vectors (len(batch), D) in the order given."""
        vectors = np.empty((len(batch), self.dimension), np.float32)
        for row, vector in enumerate(batch):
            vectors[row] = vector
        return vectors


def squash(image: Image.Image, side: int) -> NDArray[np.uint8]:
    """The picture as (side, side, 3) bytes of RGB, whatever its shape: bilinear, each source pixel counted."""
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    return np.asarray(rgb.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=3.0))


def _squashed(image: Image.Image, side: int) -> Image.Image:
    """The squash as a picture, which another squash leaves as it is; or one that is no larger itself."""
    return image if image.width * image.height <= side**2 else Image.fromarray(squash(image, side))


def colour_half(pixels: NDArray[np.uint8], grid: int) -> Floats:
    """Layout and histogram of colours, unit length; `pixels` (S, S, 3) RGB with S a multiple of `grid`."""
    lab = srgb_to_lab(pixels)
    step = len(pixels) // grid
    # A cell's pixels side by side in memory: the reductions are three times as fast.
    cells = lab.reshape(grid, step, grid, step, 3).transpose(0, 2, 4, 1, 3).reshape(grid, grid, 3, step * step)
    means = cells.mean(axis=-1)
    spreads = np.sqrt(np.square(cells - means[..., None]).mean(axis=-1))
    layout = np.concatenate([(means - MID_GREY).ravel(), spreads.ravel(), [NEUTRAL]])
    return _unit(np.concatenate([_unit(layout), np.sqrt(lab_histogram(lab))]))


def hog_half(pixels: NDArray[np.uint8]) -> Floats:
    """Gradients of luma, unit length; `pixels` (S, S, 3) RGB with S a multiple of 8."""
    blocks = hog(pixels @ _LUMA)
    # What a cell's orientations have in common tells how much texture it has, not which way it runs.
    directed = blocks - blocks.mean(axis=-1, keepdims=True)
    return _unit(np.append(directed.ravel(), EDGELESS))


def srgb_to_lab(pixels: NDArray[np.uint8]) -> Floats:
    """CIELAB (..., 3) of sRGB bytes (..., 3) under D65: L 0 to 100, a and b about -110 to 100.

    L = 116 f(Y) - 16, a = 500 (f(X) - f(Y)), b = 200 (f(Y) - f(Z)) with X, Y, Z relative to white, f(t) the cube root
    of t above (6/29)^3 and t / (3 (6/29)^2) + 4/29 below. CIE 15:2004, section 8.2.1 and appendix D.
    """
    relative = _LINEAR[pixels] @ (_TO_XYZ / _WHITE[:, None]).T
    f = np.where(relative > (6 / 29) ** 3, np.cbrt(relative), relative / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def lab_histogram(lab: Floats) -> Floats:
    """Shares (bins,) of CIELAB colours (..., 3), lightness slowest; each is split linearly among its 8 nearest bins."""
    bins = len(CHROMA_BINS)
    axes, strides = (LIGHTNESS_BINS, CHROMA_BINS, CHROMA_BINS), (bins * bins, bins, 1)
    lower_corner = np.zeros(lab[..., 0].size, np.intp)
    shares = []
    for channel, (centres, stride) in enumerate(zip(axes, strides, strict=True)):
        place = (lab[..., channel].ravel() - centres[0]) / (centres[1] - centres[0])
        place = place.clip(0, len(centres) - 1)
        below = np.minimum(place.astype(np.intp), len(centres) - 2)
        lower_corner += below * stride
        shares.append((1 - (place - below), place - below))
    histogram = np.zeros(len(LIGHTNESS_BINS) * strides[0])
    for i, j, k in product((0, 1), repeat=3):
        corner = lower_corner + (i * strides[0] + j * strides[1] + k)
        histogram += np.bincount(corner, shares[0][i] * shares[1][j] * shares[2][k], histogram.size)
    return histogram / lower_corner.size


def hog(luma: Floats, *, epsilon: float = EPSILON) -> Floats:
    """Histograms of oriented gradients (rows - 1, columns - 1, 4, 9) of luma (8 rows, 8 columns): block, cell, bin.

    Gradients are centred differences [-1, 0, 1], zero across the border. Bins are centred at 10, 30, … 170 degrees,
    unsigned; a gradient votes with its magnitude for the two nearest. A cell is the mean of its 8 x 8 votes. A block of
    2 x 2 cells (upper left, upper right, lower left, lower right) is divided by its norm, clipped at 0.2 and divided
    again, the norm being sqrt(sum of squares + epsilon^2).
    """
    across, down = np.zeros_like(luma), np.zeros_like(luma)
    across[:, 1:-1] = luma[:, 2:] - luma[:, :-2]
    down[1:-1] = luma[2:] - luma[:-2]
    magnitude = np.hypot(across, down).ravel()
    place = (np.arctan2(down, across).ravel() * (ORIENTATIONS / np.pi) - 0.5) % ORIENTATIONS
    below = np.floor(place)
    upper_share = place - below

    rows, columns = luma.shape[0] // CELL, luma.shape[1] // CELL
    first_bin = np.add.outer(np.arange(luma.shape[0]) // CELL * columns, np.arange(luma.shape[1]) // CELL).ravel()
    first_bin *= ORIENTATIONS
    size = rows * columns * ORIENTATIONS
    lower = below.astype(np.intp)
    # The remainder of a tiny negative number rounds up to the divisor itself, hence % on the lower bin as well.
    votes = np.bincount(first_bin + lower % ORIENTATIONS, magnitude * (1 - upper_share), size)
    votes += np.bincount(first_bin + (lower + 1) % ORIENTATIONS, magnitude * upper_share, size)
    cells = votes.reshape(rows, columns, ORIENTATIONS) / CELL**2

    blocks = np.stack([cells[:-1, :-1], cells[:-1, 1:], cells[1:, :-1], cells[1:, 1:]], axis=2)
    return _block_unit(np.minimum(_block_unit(blocks, epsilon), CLIP), epsilon)


def _block_unit(blocks: Floats, epsilon: float) -> Floats:
    normalised: Floats = blocks / np.sqrt(np.square(blocks).sum(axis=(2, 3), keepdims=True) + epsilon**2)
    return normalised


def _unit(vector: Floats) -> Floats:
    direction: Floats = vector / np.linalg.norm(vector)
    return direction
