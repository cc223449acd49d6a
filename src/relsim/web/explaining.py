"""Why two pictures are alike, for the page: heat maps, scores and sentences of `relsim.explain`, one pair at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, final

from PIL import Image

from relsim.captions.anonymity import check
from relsim.data.records import ImageRecord
from relsim.errors import SearchError
from relsim.web.library import Library, Question
from relsim.web.models import Models

if TYPE_CHECKING:  # the rest of relsim.explain brings torch, for which the first view shall not wait
    from relsim.explain.pair import Explanation, PictureExplanation

_CELLS = 28  # along each side of a map of occlusion; the patch is a quarter of the side, so finer shows no more
_NEIGHBOURS = 24  # of each picture, whose captions are compared beside those that come along
_KEPT = 64
_DIGITS = 4

Rows = list[list[float]]


@dataclass(frozen=True, slots=True)
class Shown:
    """One of two pictures: an image of the collection by its id, or the file of what is kept of an upload."""

    image_id: str | None
    file: bytes | None
    question: Question


@dataclass(frozen=True, slots=True)
class Explained:
    """One of two pictures as it was explained.

    `seen` is the part that the model sees (left, top, right, bottom as shares of the sides). `attention` holds rows of
    cells of it, as multiples of an even spread; `occlusion` rows of cells with falls of the similarity. `agreement` is
    the rank correlation of the two. `sentence` is the captioner's, `names` what makes it not anonymous.
    """

    width: int
    height: int
    seen: tuple[float, float, float, float]
    attention: Rows
    occlusion: Rows
    agreement: float | None
    caption: str | None
    sentence: str | None
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Why:
    """Two pictures explained: scores and percentiles on both axes, and the captions that are nearest to them."""

    relation: float
    relation_percentile: float | None
    look: float | None
    look_percentile: float | None
    pictures: tuple[Explained, Explained]
    shared: tuple[str, ...]
    first: tuple[str, ...]
    second: tuple[str, ...]
    captions: int


@final
class Explainer:
    """Explains pairs with the models of a library; the last ones are kept. For one thread.

    `read` gives the picture of a record; it raises `ImageError`.
    """

    def __init__(self, library: Library, models: Models, read: Callable[[ImageRecord], Image.Image]) -> None:
        self._library, self._models, self._read = library, models, read
        self._kept: OrderedDict[tuple[Any, Any], Why] = OrderedDict()

    def explain(self, pairs: Sequence[tuple[Shown, Shown]]) -> list[Why]:
        """Each pair in order. Raises `SearchError` for a space that has no query token, `ImageError` of a picture."""
        return [self._one(*pair) for pair in pairs]

    def _one(self, first: Shown, second: Shown) -> Why:
        key = ((first.image_id, first.file), (second.image_id, second.file))
        if key not in self._kept:
            self._kept[key] = self._made(first, second)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def _made(self, first: Shown, second: Shown) -> Why:
        from relsim.encoders.relational import RelationalEncoder
        from relsim.explain.nearest import packaged_captions
        from relsim.explain.pair import Settings, explain_pair

        if not self._models.reads_sentences:
            raise SearchError("the encoder of this collection has no query token, so there is nothing to look into")
        images = self._image(first), self._image(second)
        captions = [*self._captions(first, second), *packaged_captions()]
        with self._models.alone() as (relation, look, sentences, captioner):
            assert isinstance(relation, RelationalEncoder)  # noqa: S101 - that is what `reads_sentences` says
            found = explain_pair(
                relation.vlm,
                sentences,
                images,
                attributes=look,
                writer=captioner,
                check=check,
                settings=Settings(curves=False, captions=list(dict.fromkeys(captions))),
            )
        return _why(found, (self._caption(first), self._caption(second)))

    def _image(self, shown: Shown) -> Image.Image:
        record = None if shown.image_id is None else self._library.record(shown.image_id)
        if record is not None:
            return self._read(record)
        # The server wrote this file itself.
        return Image.open(BytesIO(shown.file or b"")).convert("RGB")

    def _caption(self, shown: Shown) -> str | None:
        return None if shown.image_id is None else self._library.caption(shown.image_id)

    def _captions(self, first: Shown, second: Shown) -> list[str]:
        """Captions of what is nearest to either picture."""
        near = self._library.search([first.question, second.question])
        own = (self._library.caption(hit.image_id) for hits in near for hit in hits)
        return [caption for caption in own if caption is not None]


def question_near(question: Question) -> Question:
    """The question for what is nearest by relation alone."""
    return Question(question.relation, None, _NEIGHBOURS, without=question.without)


def _why(found: Explanation, captions: tuple[str | None, str | None]) -> Why:
    first, second = (_explained(*pair) for pair in zip(found.pictures, captions, strict=True))
    look = found.attribute
    near = found.captions
    return Why(
        relation=found.relational.score,
        relation_percentile=found.relational.percentile,
        look=None if look is None else look.score,
        look_percentile=None if look is None else look.percentile,
        pictures=(first, second),
        shared=tuple(one.caption for one in near.shared),
        first=tuple(one.caption for one in near.first),
        second=tuple(one.caption for one in near.second),
        captions=near.bank,
    )


def _explained(picture: PictureExplanation, caption: str | None) -> Explained:
    from relsim.explain.occlusion import means_in

    width, height = picture.image.size
    left, top, right, bottom = picture.seen
    cells = picture.attention.cells()
    grid = min(_CELLS, bottom - top), min(_CELLS, right - left)
    said = picture.said
    return Explained(
        width=width,
        height=height,
        seen=(left / width, top / height, right / width, bottom / height),
        attention=_rounded(cells * cells.size),
        occlusion=_rounded(means_in(picture.occlusion_map, picture.seen, grid)),
        agreement=picture.agreement,
        caption=caption,
        sentence=None if said is None else said.caption,
        names=() if said is None else said.names,
    )


def _rounded(values: Iterable[Iterable[float]]) -> Rows:
    return [[round(float(value), _DIGITS) for value in row] for row in values]
