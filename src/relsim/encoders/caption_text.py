"""Encoders that read: a picture is its caption, and pictures are alike when their captions say alike.

    caption-minilm, caption-clip    a caption's vector for every picture (the paper's Qwen-T), in one space or the other
    clip-t                          pictures by their look, queries by their caption (the paper's CLIP-T)

The caption of a picture is the one that its record has (a manifest's field `caption`), else one that a captioner
writes. Where there is no captioner, a picture without a caption is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image

from relsim.data.cleaning import caption_to_use
from relsim.data.records import ImageRecord, LoadedImage, Status
from relsim.encoders.base import AnyEncoder, TextEncoder, Vectors
from relsim.encoders.clip import ClipEncoder
from relsim.encoders.towers import Pixels
from relsim.errors import ImageError
from relsim.fingerprint import Fact, Fingerprint

CAPTION_FIELD = "caption"
_KNOWN_COST = 32  # tokens of a caption that need not be written, about as many as it has


class PictureCaptioner(Protocol):
    """What writes captions, as an encoder needs it."""

    @property
    def facts(self) -> Mapping[str, Fact]:
        """What its captions depend on."""

    def prepare(self, image: Image.Image) -> Any:
        """Make one RGB image ready for `caption`. Thread-safe."""

    def cost(self, prepared: Any) -> int:
        """Tokens that a prepared picture takes."""

    def caption(self, batch: Sequence[Any]) -> list[str]:
        """One caption for each prepared picture, in order."""


@dataclass(frozen=True, slots=True)
class Caption:
    """A caption that is known already."""

    text: str


class CaptionTextEncoder:
    """The caption of a picture, embedded as a sentence. `facts` say what the text's vector depends on."""

    def __init__(
        self,
        name: str,
        texts: TextEncoder,
        dimension: int,
        facts: Mapping[str, Fact],
        captioner: PictureCaptioner | None,
        *,
        origin: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.dimension = dimension
        self.origin = dict(origin or {})
        self._texts, self._facts, self._captioner = texts, facts, captioner

    @property
    def fingerprint(self) -> Fingerprint:
        """The text encoder, and what writes captions where none is known."""
        written = {} if self._captioner is None else self._captioner.facts
        captions = {f"captioner_{name}": value for name, value in written.items()}
        known: dict[str, Fact] = {"caption_field": CAPTION_FIELD, "dimension": self.dimension}
        return Fingerprint.of({"encoder": self.name, **self._facts, **captions, **known})

    def prepare(self, image: Image.Image) -> Any:
        """Make a picture ready for the captioner. Thread-safe. Raises `ImageError` where there is none."""
        if self._captioner is None:
            raise ImageError(
                Status.ENCODER.value,
                f"it has no caption (field {CAPTION_FIELD}), and {self.name} was given no captioner",
            )
        return self._captioner.prepare(image)

    def prepare_record(self, loaded: LoadedImage) -> Any:
        """The caption of the record where it has one, else the picture, ready for the captioner."""
        text = self.given_caption(loaded.record)
        return self.prepare(loaded.image) if text is None else Caption(text)

    def given_caption(self, record: ImageRecord) -> str | None:
        """The caption that the record has; None where the captioner writes one."""
        text = caption_to_use(record.fields.get(CAPTION_FIELD), record.fields)
        return (text.strip() or None) if isinstance(text, str) else None

    def cost(self, prepared: Any) -> int:
        """Tokens of the captioner's question; a caption that is known costs about its own."""
        if isinstance(prepared, Caption) or self._captioner is None:
            return _KNOWN_COST
        return self._captioner.cost(prepared)

    def captions(self, batch: Sequence[Any]) -> list[str]:
        """The captions of prepared pictures, known or written, in order."""
        unknown = [row for row, item in enumerate(batch) if not isinstance(item, Caption)]
        texts = [item.text if isinstance(item, Caption) else "" for item in batch]
        if unknown and self._captioner is not None:
            for row, text in zip(unknown, self._captioner.caption([batch[row] for row in unknown]), strict=True):
                texts[row] = text
        return texts

    def encode(self, batch: Sequence[Any]) -> Vectors:
        """Vectors (len(batch), D) of the captions, in the order given."""
        return self.encode_text(self.captions(batch))

    def encode_text(self, sentences: Sequence[str]) -> Vectors:
        """Vectors (len(sentences), D) of sentences, in the space of the captions."""
        return np.asarray(self._texts.encode_text(sentences), np.float32)


class ClipT:
    """CLIP's image vectors for a collection, and for a query CLIP's text vector of its caption."""

    name = "clip-t"

    def __init__(self, clip: ClipEncoder, captioner: PictureCaptioner | None) -> None:
        self._clip = clip
        self._queries = CaptionTextEncoder(
            f"{self.name}-queries", clip, clip.dimension, clip.tower.facts, captioner, origin=clip.origin
        )

    @property
    def device(self) -> Any:
        """Where it computes, a `torch.device`."""
        return self._clip.device

    @property
    def dimension(self) -> int:
        """D, the length of a vector."""
        return self._clip.dimension

    @property
    def fingerprint(self) -> Fingerprint:
        """CLIP, and what writes the captions of queries; the fact `queries` tells that they are embedded otherwise."""
        facts = self._queries.fingerprint.to_dict()
        return Fingerprint.of({**facts, "encoder": self.name, "queries": CAPTION_FIELD})

    @property
    def origin(self) -> dict[str, str]:
        """Options that load this very model again."""
        return self._clip.origin

    @property
    def queries(self) -> AnyEncoder:
        """Embeds queries by their captions."""
        return self._queries

    def prepare(self, image: Image.Image) -> Pixels:
        """Pixels (3, H, W) by CLIP's own image processor. Thread-safe."""
        return self._clip.prepare(image)

    def cost(self, prepared: Pixels) -> int:
        """Patches that the picture is cut into."""
        return self._clip.cost(prepared)

    def encode(self, batch: Sequence[Pixels]) -> Vectors:
        """Vectors (len(batch), D) of pictures of the collection, in the order given."""
        return self._clip.encode(batch)

    def encode_text(self, sentences: Sequence[str]) -> Vectors:
        """Vectors (len(sentences), D) of sentences."""
        return self._clip.encode_text(sentences)
