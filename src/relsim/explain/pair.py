"""Two pictures explained: where the model looks, what their similarity depends on, and the sentences that are near.

model.explain(first, second)             the same for a model in hand
explain_pair(vlm, text_encoder, (first, second))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

from relsim.data.images import preprocess_image
from relsim.encoders.base import AnyEncoder, TextEncoder, Vectors, query_side
from relsim.encoders.relational import RelationalEncoder
from relsim.encoders.stream import encode_images
from relsim.explain.faithfulness import Curve, curves, rank_correlation
from relsim.explain.nearest import NearCaptions, nearest, packaged_captions
from relsim.explain.occlusion import SHARE, STEPS, Box, Occlusion, means_in, occlude, similarity_to
from relsim.fingerprint import Fingerprint
from relsim.models.attention import Map, QueryAttention, spread
from relsim.models.pixels import Recipe
from relsim.models.query_vlm import QueryVLM
from relsim.vectors.calibration import percentile_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA = "relsim.explain/1"


class Sentence(Protocol):
    """What a captioner says of a picture."""

    @property
    def text(self) -> str:
        """The sentence."""


class Writer(Protocol):
    """A captioner, such as `relsim.captions.captioner.Captioner`."""

    def caption(self, images: Sequence[Image.Image], *, greedy: bool) -> Sequence[Sentence]:
        """One sentence for each picture, in order."""


Check = Callable[[str], Any]
"""Says of a sentence whether it is anonymous (`ok`) and what it names (`findings` with `word` and `kind`)."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What is measured, and how finely."""

    steps: int = STEPS  # places of the patch along each side
    share: float = SHARE  # side of the patch, as a share of what is seen
    curves: bool = True  # deletion and insertion: more work than the occlusion
    towards: str | None = None  # a sentence that occlusion asks about, in place of the other picture
    captions: Sequence[str] | None = None  # the bank that is searched; None for the one that comes along
    count: int = 5  # captions of each kind
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Axis:
    """A score of two pictures, and the share of unrelated pairs in percent that score below it, where that is known."""

    encoder: str
    score: float
    percentile: float | None
    fingerprint: Fingerprint

    def to_json(self) -> dict[str, Any]:
        """As a plain dictionary."""
        return {
            "encoder": self.encoder,
            "score": self.score,
            "percentile": self.percentile,
            "fingerprint": self.fingerprint.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class Said:
    """A captioner's sentence, whether it is anonymous and what it names; None where nobody has looked."""

    caption: str
    anonymous: bool | None
    names: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As a plain dictionary."""
        return {"caption": self.caption, "anonymous": self.anonymous, "names": list(self.names)}


@dataclass(frozen=True, slots=True)
class PictureExplanation:
    """One of the two pictures: the attention, the occlusion, and how far the one agrees with the other."""

    image: Image.Image
    source: str
    recipe: Recipe
    attention: QueryAttention
    occlusion: Occlusion
    agreement: float | None  # rank correlation of the two maps over the attention's cells
    curves: dict[str, Curve]  # by attention, occlusion and random; empty where they were not asked for
    said: Said | None

    @property
    def seen(self) -> Box:
        """The part of the picture that the model sees."""
        return self.recipe.seen(*self.image.size)

    @property
    def attention_map(self) -> Map:
        """Attention (H, W) on the picture's own pixels, adding up to 1."""
        return spread(self.attention.cells(), *self.image.size, self.recipe)

    @property
    def occlusion_map(self) -> Map:
        """Falls of the similarity (H, W) on the picture's own pixels."""
        return self.occlusion.spread(*self.image.size)

    def to_json(self) -> dict[str, Any]:
        """As a plain dictionary; maps as rows of cells over the part that is seen."""
        layers, heads, _ = self.attention.weights.shape
        return {
            "source": self.source,
            "width": self.image.width,
            "height": self.image.height,
            "seen": list(self.seen),
            "attention": {
                "cells": self.attention.cells().tolist(),
                "layers": layers,
                "heads": heads,
                "on_picture": self.attention.on_picture,
            },
            "occlusion": {
                "falls": self.occlusion.falls.tolist(),
                "boxes": [list(box) for box in self.occlusion.boxes],
                "similarity": self.occlusion.similarity,
            },
            "faithfulness": {
                "rank_correlation": self.agreement,
                "curves": {name: curve.to_json() for name, curve in self.curves.items()} or None,
            },
            "sentence": None if self.said is None else self.said.to_json(),
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """Two pictures, their scores on one axis or two, and the captions near them.

    `towards` is what occlusion asks about: a sentence, or None for the other picture.
    """

    pictures: tuple[PictureExplanation, PictureExplanation]
    relational: Axis
    attribute: Axis | None
    captions: NearCaptions
    towards: str | None

    def to_json(self) -> dict[str, Any]:
        """The document `relsim.explain/1` (docs/formats.md)."""
        return {
            "schema": SCHEMA,
            "pictures": [picture.to_json() for picture in self.pictures],
            "relational": self.relational.to_json(),
            "attribute": None if self.attribute is None else self.attribute.to_json(),
            "captions": self.captions.to_json(),
            "towards": self.towards,
        }

    def maps(self) -> dict[str, Map]:
        """The four maps on the pixels of the pictures, by name, as `numpy.savez` takes them."""
        return {
            f"{name}_{place}": getattr(picture, f"{name}_map")
            for place, picture in zip(("first", "second"), self.pictures, strict=True)
            for name in ("attention", "occlusion")
        }

    def figure(self, *, title: str | None = None) -> Figure:
        """All of it as one matplotlib figure. Raises `MissingExtraError` without matplotlib."""
        from relsim.explain.picture import draw_explanation

        return draw_explanation(self, title=title)


def explain_pair(
    vlm: QueryVLM,
    text_encoder: TextEncoder,
    images: tuple[Image.Image, Image.Image],
    *,
    names: tuple[str, str] = ("first", "second"),
    attributes: AnyEncoder | None = None,
    writer: Writer | None = None,
    check: Check | None = None,
    settings: Settings | None = None,
) -> Explanation:
    """Explain two PIL pictures.

    `attributes` gives the second axis, `writer` and `check` the sentences and what they name; `names` say in figure
    and document which picture is which. Raises `TypeError` for what is no PIL image, `ImageError` for a picture that
    cannot be taken.
    """
    settings = settings or Settings()
    first, second = preprocess_image(list(images))
    encoder = RelationalEncoder(vlm)
    vectors = encode_images(encoder, [first, second])
    bank = packaged_captions() if settings.captions is None else list(settings.captions)
    towards = settings.towards
    sentences = text_encoder.encode_text([*bank, *([] if towards is None else [towards])])
    targets = vectors[::-1] if towards is None else np.stack([sentences[-1]] * 2)
    looked = vlm.attention([vlm.prepare(first), vlm.prepare(second)])
    said = _said(writer, check, [first, second])
    parts = [
        _explain_one(image, name, encoder, target, attention, sentence, settings)
        for image, name, target, attention, sentence in zip((first, second), names, targets, looked, said, strict=True)
    ]
    return Explanation(
        (parts[0], parts[1]),
        _axis(encoder, vectors[0], vectors[1]),
        None if attributes is None else _axis_of(attributes, first, second),
        nearest(bank, sentences[: len(bank)], vectors, settings.count),
        towards,
    )


def _explain_one(
    image: Image.Image,
    name: str,
    encoder: RelationalEncoder,
    target: Vectors,
    attention: QueryAttention,
    said: Said | None,
    settings: Settings,
) -> PictureExplanation:
    recipe, similarity = encoder.vlm.recipe, similarity_to(encoder, target)
    found = occlude(image, recipe, similarity, steps=settings.steps, share=settings.share)
    falls = found.spread(*image.size)
    agreement = rank_correlation(attention.cells(), means_in(falls, recipe.seen(*image.size), attention.grid))
    maps = {"attention": spread(attention.cells(), *image.size, recipe), "occlusion": falls}
    drawn = curves(image, recipe, similarity, maps, seed=settings.seed) if settings.curves else {}
    return PictureExplanation(image, name, recipe, attention, found, agreement, drawn, said)


def _axis(encoder: AnyEncoder, first: Vectors, second: Vectors) -> Axis:
    score = float(first @ second)
    null = encoder.vlm.checkpoint.null_distribution if isinstance(encoder, RelationalEncoder) else None
    return Axis(encoder.name, score, percentile_of(score, null) if null else None, encoder.fingerprint)


def _axis_of(encoder: AnyEncoder, first: Image.Image, second: Image.Image) -> Axis:
    return _axis(encoder, encode_images(query_side(encoder), [first])[0], encode_images(encoder, [second])[0])


def _said(writer: Writer | None, check: Check | None, images: Sequence[Image.Image]) -> list[Said | None]:
    if writer is None:
        return [None for _ in images]
    found: list[Said | None] = []
    for sentence in writer.caption(images, greedy=True):
        verdict = None if check is None else check(sentence.text)
        words = () if verdict is None else tuple(f"{item.word} ({item.kind})" for item in verdict.findings)
        found.append(Said(sentence.text, None if verdict is None else bool(verdict.ok), words))
    return found
