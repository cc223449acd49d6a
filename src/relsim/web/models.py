"""The models behind the page: the encoders that made the tables, the encoder of sentences, and percentiles.

Each is loaded once, in a thread, when it is first needed or when the server has time for it; a query by id needs none.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from relsim.encoders.base import AnyEncoder, TextEncoder, Vectors
from relsim.encoders.registry import encoder_of
from relsim.encoders.stream import encode_images
from relsim.errors import SearchError
from relsim.figures.similarity_space import null_scores_of
from relsim.models.embedded import DEFAULT, DEFAULT_CAPTIONER
from relsim.vectors.calibration import percentile_of
from relsim.vectors.table import VectorTable
from relsim.web.library import Library

if TYPE_CHECKING:
    from relsim.captions.captioner import Captioner


@dataclass(frozen=True, slots=True)
class PictureVectors:
    """A picture on either axis."""

    relation: Vectors
    look: Vectors | None


class Models:
    """The encoders of a library. Thread-safe: each is made once, whoever asks first."""

    def __init__(self, library: Library, options: Mapping[str, Any] | None = None) -> None:
        self._library = library
        self._options = dict(options or {})
        self._lock, self._working = threading.Lock(), threading.Lock()
        self._made: dict[str, Any] = {}
        self._nulls: dict[str, Mapping[str, Any] | None] = {}

    def warm_up(self) -> None:
        """Load what a first question by picture or sentence would wait for."""
        self.pictures([Image.new("RGB", (32, 32))])
        if self.reads_sentences:
            self.sentences(["{Objects}"])

    @property
    def reads_sentences(self) -> bool:
        """Whether the space of relation has sentences: that of a query-token model does."""
        return self._library.relation.fingerprint.to_dict().get("encoder") == "relational"

    def pictures(self, images: Sequence[Image.Image]) -> list[PictureVectors]:
        """Vectors of RGB pictures on the axes that the library has, in order."""
        relation, look = self._encoders()
        with self._working:
            relations = encode_images(relation, list(images))
            looks = None if look is None else encode_images(look, list(images))
        if looks is None:
            return [PictureVectors(vector, None) for vector in relations]
        return [PictureVectors(*pair) for pair in zip(relations, looks, strict=True)]

    @contextlib.contextmanager
    def alone(self) -> Iterator[tuple[AnyEncoder, AnyEncoder | None, TextEncoder, Captioner | None]]:
        """The encoders of relation, of look and of sentences, and a captioner, while nobody else encodes pictures.

        Who looks into a model changes for a moment how it computes. Only the embedded model has a captioner.
        """
        relation, look = self._encoders()
        sentences, captioner = self._sentence_encoder(), self._captioner()
        with self._working:
            yield relation, look, sentences, captioner

    def sentences(self, texts: Sequence[str]) -> list[Vectors]:
        """Vectors (D,) of anonymous sentences in the space of relation. Raises `SearchError` where it has none."""
        if not self.reads_sentences:
            raise SearchError("the space of this collection has no sentences; ask with a picture")
        return list(self._sentence_encoder().encode_text(list(texts)))

    def percentile(self, axis: str, score: float) -> float | None:
        """Share in percent of unrelated pictures that score less; None for an encoder without scores of such.

        They are in the checkpoint: a page that shows scores does not wait for a model.
        """
        if axis not in self._nulls:
            table = self._library.relation if axis == "relation" else self._library.look
            self._nulls[axis] = None if table is None else null_scores_of({**table.origin, **self._options})
        # A checkpoint that is only named, as on the Hub, tells its scores when it is loaded.
        vlm = getattr(self._made.get(axis), "vlm", None)
        null = self._nulls[axis] or (None if vlm is None else vlm.checkpoint.null_distribution)
        return percentile_of(score, null) if null else None

    def _encoders(self) -> tuple[AnyEncoder, AnyEncoder | None]:
        relation = self._encoder("relation", self._library.relation)
        return relation, None if self._library.look is None else self._encoder("look", self._library.look)

    def _captioner(self) -> Captioner | None:
        if {**self._library.relation.origin, **self._options}.get("checkpoint_dir") != DEFAULT:
            return None

        def make() -> Captioner:
            from relsim.captions.captioner import Captioner

            placed = {name: value for name, value in self._options.items() if name in ("device", "dtype")}
            return Captioner.load(DEFAULT_CAPTIONER, **placed)

        made: Captioner = self._once("captioner", make)
        return made

    def _encoder(self, axis: str, table: VectorTable) -> AnyEncoder:
        def make() -> AnyEncoder:
            encoder = encoder_of({**table.origin, **self._options})
            table.require_fingerprint(encoder.fingerprint)
            return encoder

        made: AnyEncoder = self._once(axis, make)
        return made

    def _sentence_encoder(self) -> TextEncoder:
        def make() -> TextEncoder:
            from relsim.models.text_encoder import CaptionEncoder

            return CaptionEncoder()

        made: TextEncoder = self._once("sentences", make)
        return made

    def _once(self, name: str, make: Any) -> Any:
        with self._lock:
            if name not in self._made:
                self._made[name] = make()
            return self._made[name]
