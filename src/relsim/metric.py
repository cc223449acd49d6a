"""The metric: two pictures, a picture and a sentence, or whole collections, in one space of 384 numbers.

`relsim()` is the published call with keyword-only additions; `RelationalSimilarity` is what it returns first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from relsim.data.images import preprocess_image
from relsim.data.records import ImageRecord
from relsim.encoders.base import Vectors
from relsim.encoders.relational import RelationalEncoder
from relsim.encoders.stream import budget_of, cut_by_cost, encode_all
from relsim.errors import CalibrationError
from relsim.fingerprint import Fingerprint
from relsim.models.embedded import DEFAULT
from relsim.models.loading import Engine, load_query_vlm
from relsim.models.memory import Halving
from relsim.models.pixels import Patches, limit_longest_edge
from relsim.models.query_vlm import QueryVLM
from relsim.models.text_encoder import CaptionEncoder

if TYPE_CHECKING:
    from relsim.encoders.base import AnyEncoder
    from relsim.explain.pair import Check, Explanation, Settings, Writer

Images: TypeAlias = Image.Image | Sequence[Image.Image]
Comparable: TypeAlias = Images | str | Sequence[str] | Tensor | Vectors
Preprocess = Callable[[Images], Any]


class RelationalSimilarity:
    """Scores and embeddings of one checkpoint. Embeddings are float32 tensors of unit rows, on the model's device."""

    def __init__(self, vlm: QueryVLM, *, cache_dir: str | Path | None = None) -> None:
        self.vlm = vlm
        self._cache_dir = cache_dir

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.vlm.device

    @property
    def fingerprint(self) -> Fingerprint:
        """What an embedding depends on: weights, prompt, recipe, precision."""
        return self.vlm.fingerprint

    @cached_property
    def encoder(self) -> RelationalEncoder:
        """This model as an encoder, for tables and retrieval runs."""
        return RelationalEncoder(self.vlm)

    @cached_property
    def text_encoder(self) -> CaptionEncoder:
        """The frozen encoder of sentences; its weights are loaded with the first sentence."""
        return CaptionEncoder(str(self.device), self._cache_dir)

    def __call__(self, first: Image.Image, second: Image.Image) -> float:
        """Relational similarity of two pictures, -1 to 1; higher is more alike."""
        embeddings = self.embed([first, second])
        return float(embeddings[0] @ embeddings[1])

    def eval(self) -> RelationalSimilarity:
        """Itself: the model has no other mode. Kept because the published class has it."""
        return self

    def embed(self, images: Images, max_image_size: int | None = None, micro_batch_size: int | None = None) -> Tensor:
        """Embeddings (N, 384) of one picture (N = 1) or a list, in order.

        `max_image_size` caps the longer side in pixels (Lanczos); a capped picture has another embedding, which the
        fingerprint does not tell. `micro_batch_size` caps the pictures per forward pass; without it batches are cut by
        memory. A row does not depend on its batch. Raises `TypeError` for what is no PIL image, `ImageError` for a
        picture that the recipe cannot take, `MemoryShortageError` where half a batch does not fit.
        """
        for name, value in (("max_image_size", max_image_size), ("micro_batch_size", micro_batch_size)):
            if value is not None and value < 0:
                raise ValueError(f"{name} is {value}; give a positive number of pixels or pictures, or None")
        if isinstance(images, Image.Image):
            images = [images]
        prepared = [
            self.vlm.prepare(limit_longest_edge(image, max_image_size)) for image in preprocess_image(list(images))
        ]
        embeddings = torch.empty((len(prepared), self.vlm.dimension), device=self.device)
        halving = Halving("a smaller micro_batch_size")
        for rows in self._batches(prepared, micro_batch_size):
            embeddings[rows] = torch.cat(halving.run([prepared[row] for row in rows], self.vlm.embed))
        return embeddings

    def embed_files(
        self, paths: Sequence[str | Path], *, workers: int | None = None, budget: int | None = None
    ) -> Vectors:
        """Vectors (N, 384) of image files, in order, read and prepared in threads ahead of the model.

        EXIF orientation is applied. Raises `ImageError` naming the first file that cannot be used; to go on past bad
        files, use `relsim.encoders.stream.encode_records`.
        """
        records = [ImageRecord(str(path), str(path)) for path in paths]
        return encode_all(records, self.encoder, workers=workers, budget=budget)

    def embed_text(self, captions: str | Sequence[str]) -> Tensor:
        """Embeddings (N, 384) of anonymous captions, in the space of the pictures."""
        sentences = [captions] if isinstance(captions, str) else list(captions)
        return torch.from_numpy(self.text_encoder.encode_text(sentences)).to(self.device)

    def similarity(self, xs: Comparable, ys: Comparable | None = None) -> Tensor:
        """Similarities (N, M) of pictures, captions or embeddings with others, or with themselves.

        A string is a caption, never the path of a file. Embeddings are tensors or arrays of shape (N, 384) or (384,).
        """
        first = self._embeddings(xs)
        return first @ (first if ys is None else self._embeddings(ys)).T

    def percentile(self, score: float) -> float:
        """Share of unrelated pairs, in percent, that score below `score`, by the checkpoint's null distribution.

        Raises `CalibrationError` for a checkpoint that carries none.
        """
        null = self.vlm.checkpoint.null_distribution
        if not null:
            raise CalibrationError(
                "this checkpoint carries no null distribution, so a score has no percentile; "
                "the published checkpoints do not either"
            )
        from relsim.vectors.calibration import percentile_of  # brings pyarrow along, which nothing else here needs

        return percentile_of(score, null)

    def explain(
        self,
        first: Image.Image,
        second: Image.Image,
        *,
        names: tuple[str, str] = ("first", "second"),
        attributes: AnyEncoder | None = None,
        writer: Writer | None = None,
        check: Check | None = None,
        settings: Settings | None = None,
    ) -> Explanation:
        """Why two pictures are alike: attention and occlusion maps, the captions near both, scores with percentiles.

        `attributes`, such as another model's `encoder`, gives the axis of looks; `writer`, such as a `Captioner`, says
        a sentence of each, and `check` (`relsim.captions.anonymity.check`) whether it names things. `settings`
        (`relsim.explain.pair.Settings`) has the rest. docs/explain.md says how far maps can be trusted.
        """
        from relsim.explain.pair import explain_pair

        return explain_pair(
            self.vlm,
            self.text_encoder,
            (first, second),
            names=names,
            attributes=attributes,
            writer=writer,
            check=check,
            settings=settings,
        )

    def _embeddings(self, items: Comparable) -> Tensor:
        if isinstance(items, np.ndarray):
            items = torch.from_numpy(np.array(items, np.float32))
        if isinstance(items, Tensor):
            rows = (items if items.dim() > 1 else items[None]).to(self.device, torch.float32)
            if rows.dim() != 2 or rows.shape[1] != self.vlm.dimension:
                raise ValueError(f"embeddings have shape (N, {self.vlm.dimension}), not {tuple(items.shape)}")
            return rows
        if isinstance(items, (str, Image.Image)):
            return self.embed_text(items) if isinstance(items, str) else self.embed(items)
        sentences = [item for item in items if isinstance(item, str)]
        if not sentences:
            return self.embed([item for item in items if not isinstance(item, str)])
        if len(sentences) < len(items):
            raise TypeError("pictures and sentences in one list: give them as two arguments")
        return self.embed_text(sentences)

    def _batches(self, prepared: Sequence[Patches], micro_batch_size: int | None) -> list[list[int]]:
        if micro_batch_size:
            rows = list(range(len(prepared)))
            return [rows[start : start + micro_batch_size] for start in range(0, len(rows), micro_batch_size)]
        return cut_by_cost([self.vlm.tokens(patches) for patches in prepared], budget_of(self.encoder))


def relsim(  # noqa: PLR0913 - three published parameters, the rest by name
    pretrained: bool = True,  # noqa: FBT001, FBT002 - the published signature
    checkpoint_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    *,
    base_model: str | Path | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    recipe: str | None = None,
    revision: str | None = None,
    engine: Engine | None = None,
    decode: str | None = None,
) -> tuple[RelationalSimilarity, Preprocess]:
    """A model and the preprocessing of its pictures, from a checkpoint.

    `checkpoint_dir` is a local folder, a Hub id or the name of an embedded checkpoint, by default `relsim-mini`, which
    comes with the package and knows drawings only; for photographs name thaoshibe/relsim-qwenvl25-lora. `base_model` is
    a local folder or Hub id, by default the one that the checkpoint names. `revision` is the checkpoint's, and
    downloads are kept in `cache_dir`. `device` is cuda where there is one, else cpu; `dtype` bfloat16 on cuda, on a CPU
    with AMX, and for large models on a CPU that multiplies it much faster, else float32. `recipe` is `native`,
    `crop<side>` or `squash<side>` such as `crop448`, by default the checkpoint's. `decode="draft"` reads large JPEG
    files at a part of their size, which is quicker and gives slightly other vectors; it wants a recipe of a fixed size.
    `engine="plain"` runs transformers' own forward pass, the slow oracle of ours, and `"compiled"` ours with norms and
    MLPs compiled by torch, which takes a minute and may pay on a GPU. Raises `CheckpointError` or `DeviceError`.
    """
    if not pretrained:
        raise ValueError("only pretrained=True is supported")
    vlm = load_query_vlm(
        DEFAULT if checkpoint_dir is None else checkpoint_dir,
        base_model=base_model,
        cache_dir=cache_dir,
        revision=revision,
        device=device,
        dtype=dtype,
        recipe=recipe,
        engine=engine,
        decode=decode,
    )
    return RelationalSimilarity(vlm, cache_dir=cache_dir), preprocess_image
