"""Encoders that need a captioner, made here because captions stand above encoders: see `encoders/caption_text.py`.

`captioner` is a folder, a Hub id or an embedded checkpoint, by default the embedded one; "none" is for collections
whose captions are all known. Captions are written greedily, so that a picture has one caption.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from relsim.captions.captioner import Captioner
from relsim.encoders.caption_text import CaptionTextEncoder, ClipT, PictureCaptioner
from relsim.encoders.clip import load_clip
from relsim.fingerprint import Fact
from relsim.models.embedded import DEFAULT_CAPTIONER
from relsim.models.generation import Sampling
from relsim.models.text_encoder import DIMENSION, HUB_ID, CaptionEncoder

NO_CAPTIONER = "none"
_GREEDY = Sampling(greedy=True)


class GreedyCaptioner:
    """A captioner as encoders need it: one picture, one caption."""

    def __init__(self, captioner: Captioner) -> None:
        self._captioner = captioner

    @property
    def facts(self) -> Mapping[str, Fact]:
        """Weights, prompt, recipe, precision and the choice of tokens."""
        return {**self._captioner.fingerprint.to_dict(), **self._captioner.decoding(_GREEDY)}

    def prepare(self, image: Image.Image) -> Any:
        """Cut a picture into patches. Thread-safe."""
        return self._captioner.prepare(image)

    def cost(self, prepared: Any) -> int:
        """Merged tokens of the picture."""
        return int(len(prepared.pixels) // self._captioner.pixels.merge_size**2)

    def caption(self, batch: Sequence[Any]) -> list[str]:
        """One caption for each prepared picture, in order."""
        return [own[0].text.strip() for own in self._captioner.caption_prepared(batch, _GREEDY)]


def load_caption_minilm(
    *,
    captioner: str | Path | None = None,
    captioner_base: str | Path | None = None,
    cache_dir: str | Path | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> CaptionTextEncoder:
    """Captions in the space of all-MiniLM-L6-v2. Raises `CheckpointError`, `DeviceError` or `MissingExtraError`."""
    texts = CaptionEncoder(device or "cpu", cache_dir)
    facts = {"text": HUB_ID, "text_precision": "float32"}
    writer = _captioner(captioner, captioner_base, cache_dir, device, dtype)
    return CaptionTextEncoder("caption-minilm", texts, DIMENSION, facts, writer)


def load_caption_clip(
    *,
    model: str | Path | None = None,
    captioner: str | Path | None = None,
    captioner_base: str | Path | None = None,
    cache_dir: str | Path | None = None,
    revision: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> CaptionTextEncoder:
    """Captions in CLIP's space; `model` and `revision` are CLIP's. Raises `CheckpointError` or `DeviceError`."""
    clip = load_clip(model=model, cache_dir=cache_dir, revision=revision, device=device, dtype=dtype)
    facts = {name: clip.tower.facts[name] for name in ("weights", "precision")}
    writer = _captioner(captioner, captioner_base, cache_dir, device, dtype)
    return CaptionTextEncoder("caption-clip", clip, clip.dimension, facts, writer, origin=clip.origin)


def load_clip_t(
    *,
    model: str | Path | None = None,
    captioner: str | Path | None = None,
    captioner_base: str | Path | None = None,
    cache_dir: str | Path | None = None,
    revision: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> ClipT:
    """CLIP, whose queries are captions; `model` and `revision` are CLIP's. Raises `CheckpointError`, `DeviceError`."""
    clip = load_clip(model=model, cache_dir=cache_dir, revision=revision, device=device, dtype=dtype)
    return ClipT(clip, _captioner(captioner, captioner_base, cache_dir, device, dtype))


def _captioner(
    name: str | Path | None,
    base: str | Path | None,
    cache_dir: str | Path | None,
    device: str | None,
    dtype: str | None,
) -> PictureCaptioner | None:
    if name == NO_CAPTIONER:
        return None
    chosen = DEFAULT_CAPTIONER if name is None else name
    return GreedyCaptioner(Captioner.load(chosen, base_model=base, cache_dir=cache_dir, device=device, dtype=dtype))
