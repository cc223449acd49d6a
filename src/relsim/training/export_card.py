"""Cards of checkpoints in a form that another library loads: its name in front, how to use it at the end."""

from __future__ import annotations

from collections.abc import Sequence

from relsim.models.pixels import Recipe

_UPRIGHT = 'ImageOps.exif_transpose(image).convert("RGB")'


def card_of_another_library(card: str, library: str, usage: Sequence[str]) -> str:
    """The card of a checkpoint with the name of the library that loads it, and the lines of `usage` at its end."""
    head, _, body = card.removeprefix("---\n").partition("\n---\n") if card.startswith("---\n") else ("", "", card)
    kept = [line for line in head.splitlines() if line and not line.startswith(("library_name:", "pipeline_tag:"))]
    front = ["---", f"library_name: {library}", "pipeline_tag: feature-extraction", *kept, "---"]
    return "\n".join(front) + "\n" + body.strip("\n") + "\n\n" + "\n".join(usage) + "\n"


def preparation(recipe: Recipe, side: int | None = None) -> list[str]:
    """The lines of Python that do with Pillow alone what reading a file and `Recipe.apply` do.

    They need `Image` and `ImageOps`. With `side` also the processor's resize to it, for a network without a processor.
    """
    if recipe.side is None:
        return ["", "", "def prepare(image):", f"    return {_UPRIGHT}", "", ""]
    lines = ["", "", "def prepare(image):", f"    image = {_UPRIGHT}"]
    if recipe.kind == "crop":
        lines += [
            "    side = min(image.size)",
            "    left, top = (image.width - side) // 2, (image.height - side) // 2",
            "    image = image.crop((left, top, left + side, top + side))",
        ]
    square = f"image.resize(({recipe.side}, {recipe.side}), Image.Resampling.LANCZOS)"
    if side in (None, recipe.side):
        return [*lines, f"    return {square}", "", ""]
    lines.append(f"    image = {square}")
    return [*lines, f"    return image.resize(({side}, {side}), Image.Resampling.BICUBIC)", "", ""]
