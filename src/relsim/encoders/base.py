"""What an encoder is: a protocol, so that a user's own model fits without a base class.

An encoder works in two steps. `prepare` turns one image into whatever the model eats; it runs in decode
threads, ahead of the model, and must be thread-safe. `encode` turns a batch of prepared images into vectors;
it is called from one thread at a time. `cost` tells how much of the memory budget a prepared image takes.

Vectors are float32, shape (N, D), rows of unit length. A row never depends on the rest of its batch.

An encoder may know more than that: sentences (`TextEncoder`), what a manifest says of a picture (`RecordEncoder`), or
that queries are embedded otherwise than what they are to find (`QueryEncoder`), be content with files that are
decoded in part (`Drafting`), or begin by making pictures smaller (`Shrinking`). A measure that has no vectors, only
distances of pairs, is `Pairwise`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from relsim.data.records import ImageRecord, LoadedImage
from relsim.fingerprint import Fingerprint

Vectors = NDArray[np.float32]
"""Shape (N, D), float32, rows of unit length."""

PreparedT = TypeVar("PreparedT")
PreparedT_co = TypeVar("PreparedT_co", covariant=True)


@runtime_checkable
class Encoder(Protocol[PreparedT]):
    """Images in, unit vectors out."""

    @property
    def name(self) -> str:
        """Short name for people: `relational`, `descriptors`."""

    @property
    def dimension(self) -> int:
        """D, the length of a vector."""

    @property
    def fingerprint(self) -> Fingerprint:
        """What the vectors depend on: weights, prompt, recipe, precision."""

    def prepare(self, image: Image.Image) -> PreparedT:
        """Make one RGB image ready for `encode`. Thread-safe. Raises `ImageError` for an image it cannot take."""

    def cost(self, prepared: PreparedT) -> int:
        """Length of the prepared image in tokens (or a like unit of memory); batches keep to a budget of it."""

    def encode(self, batch: Sequence[PreparedT]) -> Vectors:
        """Vectors of shape (len(batch), D) for prepared images, in order."""


@runtime_checkable
class TextEncoder(Protocol):
    """Sentences in, unit vectors out, in the space of an image encoder."""

    def encode_text(self, sentences: Sequence[str]) -> Vectors:
        """Vectors of shape (len(sentences), D)."""


AnyEncoder = Encoder[Any]


@runtime_checkable
class RecordEncoder(Protocol[PreparedT_co]):
    """An encoder that makes use of what a manifest says of a picture, such as its caption."""

    def prepare_record(self, loaded: LoadedImage) -> PreparedT_co:
        """Take the place of `prepare` where the picture comes with its record. Thread-safe."""


@runtime_checkable
class CaptionReader(Protocol):
    """A `RecordEncoder` that embeds a picture's caption, and of the record reads nothing else."""

    def given_caption(self, record: ImageRecord) -> str | None:
        """The caption that the record has, which then alone decides the vector; None where one would be written."""


@runtime_checkable
class QueryEncoder(Protocol):
    """An encoder whose queries are embedded by another one, into the same space."""

    @property
    def queries(self) -> AnyEncoder:
        """What embeds a query; the encoder itself embeds the collection."""


def query_side(encoder: AnyEncoder) -> AnyEncoder:
    """What embeds queries to a collection that `encoder` embeds: most often itself."""
    return encoder.queries if isinstance(encoder, QueryEncoder) else encoder


@runtime_checkable
class Placed(Protocol):
    """An encoder whose network is on some device; batches suit it (`relsim.encoders.stream.budget_of`)."""

    @property
    def device(self) -> Any:
        """Where it computes, a `torch.device`."""


@runtime_checkable
class Drafting(Protocol):
    """What makes vectors or captions of image files and may be content with JPEG files decoded smaller."""

    @property
    def draft(self) -> int | None:
        """The least side in pixels that it needs, None where files are to be decoded whole."""


def draft_of(reader: object) -> int | None:
    """The least side in pixels that an encoder or captioner needs of a file, None where it needs the whole."""
    return reader.draft if isinstance(reader, Drafting) else None


Shrink = Callable[[Image.Image], Image.Image]
"""Makes of an RGB picture one of fewer pixels. It can be pickled, and raises nothing."""


@runtime_checkable
class Shrinking(Protocol):
    """What makes vectors or captions of pictures that it makes smaller first, so that the smaller ones would do."""

    @property
    def shrink(self) -> Shrink:
        """Gives a picture, or itself, of which `prepare` makes the same as of the whole one, bit for bit."""


def shrink_of(reader: object) -> Shrink | None:
    """How pictures may be made smaller before an encoder, captioner or filter gets them; None where they may not."""
    return reader.shrink if isinstance(reader, Shrinking) else None


@runtime_checkable
class Pairwise(Protocol[PreparedT]):
    """A distance of two pictures that no vectors stand behind."""

    @property
    def name(self) -> str:
        """Short name for people: `lpips`."""

    @property
    def fingerprint(self) -> Fingerprint:
        """What the distances depend on."""

    def prepare(self, image: Image.Image) -> PreparedT:
        """Make one RGB image ready for `distance`. Thread-safe."""

    def distance(self, batch_a: Sequence[PreparedT], batch_b: Sequence[PreparedT]) -> NDArray[np.float32]:
        """Distances (N,) of N pairs, the smaller the more alike."""


AnyPairwise = Pairwise[Any]
