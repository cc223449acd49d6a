"""What the cards of the embedded checkpoints say beyond what any trained checkpoint's card can know."""

from __future__ import annotations

import re
from pathlib import Path

ABOUT = {
    "relsim-mini": (
        "Relational image similarity for schematic pictures: unit vectors of 384 numbers near the anonymous captions "
        'that state a picture\'s logic ("{Objects} arranged in a ring"), and near pictures that share it.'
    ),
    "relsim-mini-attributes": (
        "The look of schematic pictures: the network of relsim-mini, trained on captions that name what is seen. Its "
        "vectors are near pictures that look alike, whatever their logic. The second axis beside relsim-mini."
    ),
    "relsim-mini-base": (
        "A Qwen2.5-VL of 3.8 million parameters with a vocabulary of 1,536, which states the logic of a schematic "
        "picture and, in the next sentence, describes it by name. The base of relsim-mini-captioner."
    ),
    "relsim-mini-captioner": (
        "An adapter on relsim-mini-base that states the logic of a schematic picture and names nothing in it."
    ),
}
"""What each checkpoint is, in place of the sentence that fits any of its kind."""

_AVERAGED = "The weights are the mean of those that this training left and those of the stage {}."
_LIMITS = (
    "It was made from nothing on pictures of the package's drawn world and knows pictures of that kind alone; a "
    "photograph that is scored with it gets a warning that names the published checkpoint. What it reaches on objects, "
    "relations and styles that it has never seen is in docs/benchmarks.md, under Known truth, with intervals.{null} "
    "Pictures must be prepared as in training (crop160); the loader does so."
)
_NULL = " relsim.json holds the scores of unrelated pairs, so that a score has a percentile."
_LICENCE = "MIT, as the program that trained it. No picture, text or weight of anybody else went into it{texts}."
_TEXTS = ", but for the vectors of captions, which are those of all-MiniLM-L6-v2 (Apache-2.0)"


def complete(folder: Path, name: str, averaged: str | None = None) -> None:
    """Rewrite the card in `folder` for the embedded checkpoint `name`; doing it again changes nothing.

    `averaged` is the run whose weights were averaged with those that the card was written for.
    """
    path = folder / "README.md"
    text = path.read_text(encoding="utf-8").replace("path/to/this/folder", name)
    embeds = name in ("relsim-mini", "relsim-mini-attributes")
    text = re.sub(r"^# .*", f"# {name}: made by recipes/embedded", text, count=1, flags=re.MULTILINE)
    text = re.sub(r"(?<=recipes/embedded\n\n).*", lambda _: ABOUT[name], text, count=1)
    text = re.sub(r"(?<=\| base model \| )(?:runs/)?([\w-]+?)(?:/last)?(?= \|)", _base, text)
    if averaged and _AVERAGED.format(averaged) not in text:
        text = text.replace("\n\n## How good it is\n\n", f"\n\n{_AVERAGED.format(averaged)}\n\n## How good it is\n\n")
        text = text.replace(", as last measured in training:", ", as last measured in training, before averaging:")
    text = _section(text, "Limits", _LIMITS.format(null=_NULL if embeds else ""))
    text = _section(text, "Licence", _LICENCE.format(texts=_TEXTS if embeds else ""))
    path.write_text(text.rstrip() + "\n", encoding="utf-8")


def _base(found: re.Match[str]) -> str:
    """A run of the recipe by the name of its stage; no reader has the folder."""
    stage = found.group(1)
    return stage if stage.startswith("relsim-") else f"what the stage {stage} of recipes/embedded left"


def _section(text: str, heading: str, content: str) -> str:
    """The text with one section replaced, up to the next heading or the end."""
    return re.sub(
        rf"(?<=^## {heading}\n\n).*?(?=\n\n## |\Z)", lambda _: content, text, count=1, flags=re.MULTILINE | re.DOTALL
    )
