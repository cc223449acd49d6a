"""Picture files for the benchmarks, drawn from a seed: mixed sizes, JPEG and PNG, no two alike."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

MEAN_PIXELS = 200_000
ASPECTS = (1.0, 4 / 3, 3 / 2, 16 / 9, 3 / 4, 2 / 3)


def write_pictures(folder: Path, count: int, seed: int = 0) -> list[Path]:
    """Write `count` files, two JPEG to each PNG, and return their paths in order. Files already there are kept.

    Areas are log-normal (sigma 0.5) around a mean of 200,000 pixels; aspect ratios are those of cameras and screens.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, count])
    areas = rng.lognormal(0.0, 0.5, count)
    areas *= MEAN_PIXELS / areas.mean()
    aspects = rng.choice(ASPECTS, count)
    paths = []
    for index, (area, aspect) in enumerate(zip(areas, aspects, strict=True)):
        width = round(math.sqrt(area * aspect))
        height = round(area / width)
        kind = ("JPEG", "JPEG", "PNG")[index % 3]
        path = folder / f"{seed}_{index:03d}_{width}x{height}.{kind.lower()}"
        if not path.exists():
            partial = path.with_suffix(".partial")
            picture = draw_picture(width, height, np.random.default_rng([seed, index]))
            picture.save(partial, kind, quality=90)
            partial.replace(path)
        paths.append(path)
    return paths


def draw_picture(width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """One RGB picture with what costs a decoder time: smooth shading, edges at several scales, sensor noise."""
    shading = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    picture = Image.fromarray(shading).resize((width, height), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(picture)
    for number in range(24):
        left, top = rng.uniform(-0.1, 0.9, 2) * (width, height)
        across, down = rng.uniform(0.03, 0.35, 2) * min(width, height)
        red, green, blue = rng.integers(0, 256, 3).tolist()
        draw = pen.ellipse if number % 2 else pen.rectangle
        draw((left, top, left + across, top + down), fill=(red, green, blue))
    noise = rng.normal(0.0, 4.0, (height, width, 1))
    pixels = np.asarray(picture.filter(ImageFilter.GaussianBlur(0.8)), dtype=np.float32) + noise
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
