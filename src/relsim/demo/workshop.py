"""The work of the demo, step by step, in one folder:

    world/       the gallery, as `relsim demo world` writes it
    relation/    its table of relational vectors
    look/        its table of attribute vectors

Everything follows from the seed. The example throughout is a conflict triplet of `EXAMPLE`, the relation of the Earth
and the peach; it is the first there is, whatever the scores.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from relsim.captions.captioner import Captioner
from relsim.data.manifest import ManifestRow, read_manifest
from relsim.data.sources import list_images
from relsim.demo.results import (
    Captioned,
    Drawn,
    Embedded,
    Match,
    Measured,
    PairScore,
    Picture,
    Ranking,
    Scored,
    Searched,
    Table,
)
from relsim.encoders.descriptors import DescriptorEncoder
from relsim.encoders.registry import origin_of
from relsim.errors import SourceError
from relsim.evaluation.triplet_runs import run_triplets
from relsim.evaluation.triplets import Triplet, read_triplets, score_triplets
from relsim.metric import RelationalSimilarity, relsim
from relsim.models.embedded import DEFAULT, DEFAULT_ATTRIBUTES, DEFAULT_CAPTIONER
from relsim.vectors.build import fill_table
from relsim.vectors.search import Hit, Searcher
from relsim.vectors.table import VectorTable
from relsim.vectors.two_axis import TwoAxisHit, TwoAxisSearcher
from relsim.world.gallery import IMAGES, MANIFEST, TRIPLETS, write_gallery
from relsim.world.looks import Split
from relsim.world.relations import relation_named

EXAMPLE = "layers_cutaway"
WANTED = "ring"
"""The relation that is searched for, by a sentence that training has not seen."""
SHOWN = 5


Watch: TypeAlias = Callable[[int], AbstractContextManager[Callable[[Any], None] | None]]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is drawn: single scenes, and triplets of each kind."""

    scenes: int = 300
    triplets: int = 200
    seed: int = 7


class Workshop:
    """The steps, in the order in which they need each other.

    `machine` may name `device` and `dtype` for all models. `watch` gets the number of pictures that are about to be
    embedded, and gives what is called for each.
    """

    def __init__(
        self,
        folder: Path,
        size: Size | None = None,
        machine: Mapping[str, str] | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.folder = folder
        self.size = size or Size()
        self.machine = dict(machine or {})
        self._watch: Watch = watch or (lambda _total: nullcontext())
        self.world, self.relation, self.look = (folder / name for name in ("world", "relation", "look"))

    @property
    def sentence(self) -> str:
        """The sentence that is searched for: the caption of its relation that training was not shown."""
        return relation_named(WANTED).captions[-1]

    @cached_property
    def model(self) -> RelationalSimilarity:
        """The relational checkpoint."""
        return self._load(DEFAULT)

    @cached_property
    def attributes(self) -> RelationalSimilarity:
        """The checkpoint of looks."""
        return self._load(DEFAULT_ATTRIBUTES)

    @cached_property
    def pictures(self) -> dict[str, Picture]:
        """Every picture of the gallery by its id."""
        return {row.image_hash: _picture(row, self.world / IMAGES) for row in self._rows}

    @cached_property
    def triplets(self) -> list[Triplet]:
        """All triplets of the gallery."""
        return read_triplets(self.world / TRIPLETS)

    @cached_property
    def example(self) -> tuple[Picture, Picture, Picture]:
        """Anchor, positive and negative: the first conflict triplet of `EXAMPLE`, or of any relation without one."""
        conflicts = [triplet for triplet in self.triplets if triplet.kind == "conflict"]
        chosen = next((triplet for triplet in conflicts if triplet.relation == EXAMPLE), conflicts[0])
        anchor, positive, negative = (self.pictures[image_id] for image_id in chosen.ids)
        return anchor, positive, negative

    @cached_property
    def stranger(self) -> Picture:
        """The first scene that shares neither family nor look with the example's anchor."""
        rows = {row.image_hash: row for row in self._rows}
        anchor = rows[self.example[0].image_id]
        return self.pictures[next((row for row in self._rows if _unrelated(row, anchor)), self._rows[-1]).image_hash]

    def draw(self) -> Drawn:
        """Draw the gallery: objects and palettes that the checkpoints were not trained on."""
        size = self.size
        write_gallery(self.world, split=Split.OBJECTS, count=size.scenes, triplets=size.triplets, seed=size.seed)
        by_relation = {picture.relation: picture for picture in reversed(self.pictures.values())}
        some = [by_relation[name] for name in Split.OBJECTS.relations if name in by_relation]
        return Drawn(tuple(some), len(self.pictures), len(by_relation), len(self.triplets))

    def score(self) -> Scored:
        """Score the example's anchor against a picture of its logic, one of its look, and one of neither."""
        anchor, positive, negative = self.example
        about = (
            ("same relation, different look", positive),
            ("same look, another relation", negative),
            ("neither relation nor look", self.stranger),
        )
        paths = [picture.path for picture in (anchor, *(picture for _, picture in about))]
        logic, looks = self.model.embed_files(paths), self.attributes.embed_files(paths)
        pairs = []
        for row, (text, picture) in enumerate(about, start=1):
            relational = float(logic[0] @ logic[row])
            pairs.append(
                PairScore(text, anchor, picture, relational, self._percentile(relational), float(looks[0] @ looks[row]))
            )
        return Scored(tuple(pairs))

    def caption(self) -> Captioned:
        """Write anonymous captions for the four pictures that were scored."""
        from relsim.data.images import read_image
        from relsim.data.records import ImageRecord

        captioner = Captioner.load(DEFAULT_CAPTIONER, **self.machine)
        shown = (*self.example, self.stranger)
        images = [read_image(ImageRecord(picture.image_id, str(picture.path))).image for picture in shown]
        captions = captioner.caption(images, greedy=True)
        return Captioned(tuple((picture, made.text.strip()) for picture, made in zip(shown, captions, strict=True)))

    def embed(self) -> Embedded:
        """Embed the gallery on both axes."""
        return Embedded(
            (
                self._fill(self.relation, self.model, DEFAULT),
                self._fill(self.look, self.attributes, DEFAULT_ATTRIBUTES),
            )
        )

    def search_two_axes(self) -> Searched:
        """Find what is like the example's anchor: in look, in relation, and in relation but not in look."""
        query = self.example[0]
        relation, look = VectorTable.open(self.relation), VectorTable.open(self.look)
        both = TwoAxisSearcher(relation, look).by_id(query.image_id, SHOWN, weight=1.0)
        rankings = (
            Ranking("Nearest in look", self._matches(Searcher(look).by_id(query.image_id, SHOWN), axis="attribute")),
            Ranking("Nearest in relation", self._matches(Searcher(relation).by_id(query.image_id, SHOWN))),
            Ranking("Same logic, different look", self._matches(both)),
        )
        return Searched(query, query.relation, rankings)

    def search_sentence(self) -> Searched:
        """Find pictures by an anonymous sentence. Raises `MissingExtraError` where no text encoder can be had."""
        vector = self.model.text_encoder.encode_text([self.sentence])[0]
        hits = Searcher(VectorTable.open(self.relation)).by_vector(vector, SHOWN)
        return Searched(self.sentence, WANTED, (Ranking("Nearest to the sentence", self._matches(hits)),))

    def measure(self) -> Measured:
        """Answer all triplets: by the vectors of both tables, and by colour and edge descriptors."""
        records = list_images([self.world / MANIFEST])
        return Measured(
            self.example,
            (
                (DEFAULT, score_triplets(_vectors(self.relation), self.triplets)),
                (DEFAULT_ATTRIBUTES, score_triplets(_vectors(self.look), self.triplets)),
                ("descriptors", run_triplets(records, self.triplets, DescriptorEncoder()).report),
            ),
        )

    @cached_property
    def _rows(self) -> list[ManifestRow]:
        return read_manifest(self.world / MANIFEST)

    def _load(self, name: str) -> RelationalSimilarity:
        options: dict[str, Any] = dict(self.machine)
        return relsim(checkpoint_dir=name, **options)[0]

    def _percentile(self, score: float) -> float | None:
        return self.model.percentile(score) if self.model.vlm.checkpoint.null_distribution else None

    def _fill(self, path: Path, model: RelationalSimilarity, name: str) -> Table:
        encoder = model.encoder
        origin = origin_of("relational", encoder, {"checkpoint_dir": name})
        started = time.monotonic()
        records = list_images([self.world / MANIFEST])
        with (
            VectorTable.open_or_create(path, encoder.fingerprint, encoder.dimension, origin=origin) as table,
            self._watch(len(records)) as advance,
        ):
            summary = fill_table(table, records, encoder, on_outcome=advance)
            if summary.failures:
                first = summary.failures[0]
                raise SourceError(f"{first.record.source}, drawn just now, cannot be used: {first.reason}")
            return Table(path, name, len(table), time.monotonic() - started)

    def _matches(self, hits: list[Hit] | list[TwoAxisHit], axis: str = "relational") -> tuple[Match, ...]:
        found = []
        for hit in hits:
            picture = self.pictures[hit.image_id]
            if isinstance(hit, TwoAxisHit):
                found.append(Match(picture, hit.relational, hit.attribute))
            else:
                found.append(Match(picture, **{axis: hit.score}))
        return tuple(found)


def _picture(row: ManifestRow, images: Path) -> Picture:
    return Picture(row.image_hash, images / f"{row.image_hash}.png", row.extra["relation"], row.extra["description"])


def _unrelated(row: ManifestRow, other: ManifestRow) -> bool:
    """Whether two pictures differ in family and in every part of their look."""
    one, two = row.extra["attributes"], other.extra["attributes"]
    return (
        row.extra["family"] != other.extra["family"]
        and not set(one["kinds"]) & set(two["kinds"])
        and all(one[part] != two[part] for part in ("palette", "background", "style"))
    )


def _vectors(path: Path) -> dict[str, NDArray[np.float32]]:
    return {row.image_id: np.asarray(row.vector) for row in VectorTable.open(path).rows()}
