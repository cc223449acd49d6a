"""Labelled pictures as retrieval tasks of MTEB: any manifest that tells a relation or a group, and captions.

Two tasks are made of a collection. In `<name>I2IRetrieval` every picture that shares its label with another is a query
among all pictures; itself does not count. In `<name>T2IRetrieval` every distinct caption is a query, and the pictures
of its label, or labels, are relevant. The main score is nDCG at 10, which is the `ndcg@10` of
`relsim.evaluation.retrieval_metrics` where no scores tie (mteb breaks ties by the larger id, this package by the
smaller).

The drawn world is such a collection (see `relsim.world.benchmark`), and so is a download of the seed groups. Nothing is
fetched: pictures are read, by this package's decoder, when mteb loads the task. Those that cannot be read are logged
and left out.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from relsim.data.cleaning import caption_to_use
from relsim.data.images import decode_image, read_bytes
from relsim.data.records import ImageRecord, Status
from relsim.errors import ImageError, MissingExtraError, SourceError
from relsim.evaluation.labels import relation_of

try:
    import datasets
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata
except ImportError as missing:
    raise MissingExtraError("mteb", "mteb", "running MTEB") from missing

_log = logging.getLogger(__name__)
_SPLIT = "test"
_ENGLISH = "eng-Latn"


def collection_tasks(
    records: Sequence[ImageRecord], name: str, *, label: str | None = None, description: str | None = None
) -> list[AbsTaskRetrieval]:
    """Both tasks of a collection, as far as it has labels and captions. Raises `SourceError` where it has neither.

    `name` is letters and digits; `label` is as in `relsim.evaluation.labels.relation_of`.
    """
    told = description or f"Pictures of {name} that share a relation."
    labels = {record.image_id: found for record in records if (found := relation_of(record, label)) is not None}
    tasks: list[AbsTaskRetrieval] = []
    if len(set(labels.values())) < len(labels):
        facts = _metadata(f"{name}I2IRetrieval", told, "i2i", ["image"], _revision(labels))
        tasks.append(_named(_PictureTask, facts)(records, labels))
    captioned = _captions(records, labels)
    if captioned:
        revision = _revision({**labels, **{text: "\0".join(found) for text, found in captioned.items()}})
        facts = _metadata(f"{name}T2IRetrieval", told, "t2i", ["text", "image"], revision)
        tasks.append(_named(_CaptionTask, facts)(records, labels, captioned))
    if not tasks:
        raise SourceError(
            f"no task can be made of {len(records):,} pictures: two must share a label (field relation or group, or "
            "another that is named), or one have a label and a caption"
        )
    return tasks


class _LabelledTask(AbsTaskRetrieval):
    """What both tasks share: the corpus is every picture that can be read."""

    def __init__(
        self,
        records: Sequence[ImageRecord],
        labels: Mapping[str, str],
        captions: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__()
        self._records, self._labels, self._captions = records, labels, captions or {}

    def load_data(self, num_proc: int | None = None, **_: Any) -> None:  # noqa: ARG002 - mteb's signature
        """Read the pictures."""
        if self.data_loaded:
            return
        pictures = _pictures(self._records)
        by_label: defaultdict[str, list[str]] = defaultdict(list)
        for image_id in pictures:
            if image_id in self._labels:
                by_label[self._labels[image_id]].append(image_id)
        queries, relevant = self._queries(pictures, by_label)
        split: Any = {"corpus": _dataset(pictures), "queries": queries, "relevant_docs": relevant, "top_ranked": None}
        self.dataset = {"default": {_SPLIT: split}}
        self.data_loaded = True

    def _queries(self, pictures: Mapping[str, bytes], by_label: Mapping[str, Sequence[str]]) -> tuple[Any, Any]:
        raise NotImplementedError


class _PictureTask(_LabelledTask):
    ignore_identical_ids = True

    def _queries(self, pictures: Mapping[str, bytes], by_label: Mapping[str, Sequence[str]]) -> tuple[Any, Any]:
        relevant = {
            image_id: {other: 1 for other in same if other != image_id}
            for same in by_label.values()
            for image_id in same
            if len(same) > 1
        }
        return _dataset({image_id: pictures[image_id] for image_id in relevant}), relevant


class _CaptionTask(_LabelledTask):
    def _queries(self, _: Mapping[str, bytes], by_label: Mapping[str, Sequence[str]]) -> tuple[Any, Any]:
        relevant, texts = {}, {}
        for number, (text, found) in enumerate(self._captions.items()):
            images = {image_id: 1 for label in found for image_id in by_label.get(label, ())}
            if images:
                texts[f"caption-{number}"], relevant[f"caption-{number}"] = text, images
        return datasets.Dataset.from_dict({"id": list(texts), "text": list(texts.values())}), relevant


def _named(kind: type[_LabelledTask], metadata: TaskMetadata) -> type[_LabelledTask]:
    """The task as a class of its own, since mteb takes a task's metadata from its class."""
    return type(metadata.name, (kind,), {"metadata": metadata})


def _captions(records: Sequence[ImageRecord], labels: Mapping[str, str]) -> dict[str, list[str]]:
    """Distinct captions, in order, with the labels of the pictures that have them."""
    found: dict[str, list[str]] = {}
    for record in records:
        text = caption_to_use(record.fields.get("caption"), record.fields)
        label = labels.get(record.image_id)
        if text and text.strip() and label is not None and label not in found.setdefault(text, []):
            found[text].append(label)
    return found


def _pictures(records: Sequence[ImageRecord]) -> dict[str, bytes]:
    """Files by image id from which mteb's decoder makes the pixels that this package sees."""
    found = {}
    for record in records:
        try:
            data = read_bytes(record.source)
            found[record.image_id] = _same_for_all(data, decode_image(data))
        except ImageError as error:
            _log.warning("left out of the task: %s: %s (%s)", record.image_id, error.reason, Status(error.status).value)
    return found


def _same_for_all(data: bytes, image: Image.Image) -> bytes:
    """The file itself where a plain decoder gives the same pixels, else a PNG of them (turned, 16-bit, …)."""
    try:
        with Image.open(io.BytesIO(data)) as plain:
            if plain.getexif().get(0x0112, 1) == 1 and plain.mode in ("RGB", "L", "RGBA", "P", "CMYK"):
                same = plain.convert("RGB")
                if same.size == image.size and same.tobytes() == image.tobytes():
                    return data
    except Exception:  # noqa: BLE001 - what a plain decoder cannot read it gets as PNG
        _log.debug("stored as PNG", exc_info=True)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _dataset(pictures: Mapping[str, bytes]) -> datasets.Dataset:
    images = [{"bytes": data, "path": None} for data in pictures.values()]
    features = datasets.Features({"id": datasets.Value("string"), "image": datasets.Image()})
    return datasets.Dataset.from_dict({"id": list(pictures), "image": images}, features=features)


def _metadata(name: str, description: str, category: str, modalities: list[str], revision: str) -> TaskMetadata:
    facts: dict[str, Any] = {
        "name": name,
        "description": description,
        "dataset": {"path": f"relsim/{name}", "revision": revision},
        "type": "Any2AnyRetrieval",
        "category": category,
        "modalities": modalities,
        "eval_splits": [_SPLIT],
        "eval_langs": [_ENGLISH],
        "main_score": "ndcg_at_10",
    }
    return TaskMetadata(**facts)


def _revision(facts: Mapping[str, str]) -> str:
    """A digest of what is relevant to what, so that results of another collection are not taken for these."""
    digest = hashlib.sha256()
    for key in sorted(facts):
        digest.update(f"{key}\0{facts[key]}\n".encode(errors="backslashreplace"))
    return digest.hexdigest()[:40]
