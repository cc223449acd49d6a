"""DINOv2 (arXiv 2304.07193): pictures alike in what they show, learned without words. The vector is the CLS token's."""

from __future__ import annotations

from pathlib import Path

from relsim.encoders.towers import TowerEncoder, load_tower


def load_dino(
    *,
    model: str | Path | None = None,
    cache_dir: str | Path | None = None,
    revision: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> TowerEncoder:
    """DINOv2 from a folder or Hub id, by default the large one as in the paper.

    Raises `CheckpointError` or `DeviceError`.
    """
    return TowerEncoder(
        "dino", load_tower("dino", model, cache_dir=cache_dir, revision=revision, device=device, dtype=dtype)
    )
