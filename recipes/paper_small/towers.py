"""Small CLIP and DINOv2 networks with random weights, in folders as transformers saves them."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPModel, Dinov2Config, Dinov2Model
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

SIDE, PATCH = 112, 14
_SIZES = {"shortest_edge": SIDE}, {"height": SIDE, "width": SIDE}
_LAYERS = {"hidden_size": 96, "num_hidden_layers": 4, "num_attention_heads": 4}


def write_clip(folder: Path, seed: int) -> None:
    """CLIP's vision tower of 0.5 million parameters; its text side is as small as can be and never read."""
    torch.manual_seed(seed)
    text = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    vision = {**_LAYERS, "intermediate_size": 384, "image_size": SIDE, "patch_size": PATCH}
    config = CLIPConfig(
        text_config={**text, "vocab_size": 8, "bos_token_id": 6, "eos_token_id": 7, "pad_token_id": 7},
        vision_config=vision,
        projection_dim=96,
    )
    CLIPModel(config).save_pretrained(folder)
    CLIPImageProcessorPil(size=_SIZES[0], crop_size=_SIZES[1]).save_pretrained(folder)


def write_dino(folder: Path, seed: int) -> None:
    """DINOv2 of 0.5 million parameters."""
    torch.manual_seed(seed)
    Dinov2Model(Dinov2Config(**_LAYERS, image_size=SIDE, patch_size=PATCH)).save_pretrained(folder)
    BitImageProcessorPil(size=_SIZES[0], crop_size=_SIZES[1]).save_pretrained(folder)


WRITERS = {"clip": write_clip, "dino": write_dino}
