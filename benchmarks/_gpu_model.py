"""Random Qwen2.5-VL models made on the device they run on, and the published way of running them.

Random weights cost what trained ones cost. They are drawn from a seed, on the device, and never written: the same call
gives the same network, so each way of running it may take a copy apart.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from full_size import SHAPE_7B
from models import SHAPES, model_config, write_tokenizer
from relsim.models import eight_bits
from relsim.models.checkpoint import Checkpoint
from relsim.models.compiled import compile_blocks
from relsim.models.packed import PackedQwen25VL
from relsim.models.pixels import PixelConfig, Recipe
from relsim.models.prompt import CAPTION_PROMPT, Prompt, load_tokenizer, read_prompt, read_question
from relsim.models.query_vlm import Forward, QueryVLM
from relsim.models.text_encoder import DIMENSION
from relsim.training.config import ModelSection
from relsim.training.network import with_lora

SIZES = {"7b": SHAPE_7B, "tiny": SHAPES["20m"]}
RECIPE = Recipe.SQUASH448
TAIL = "<|im_end|>\n<|im_start|>assistant\n"
"""What the published prompt has after the query token."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What all measurements share: the shape of the network, where it is, and its prompts."""

    size: str
    device: torch.device
    dtype: torch.dtype
    config: Any
    pixels: PixelConfig
    prompt: Prompt
    question: Prompt
    tail: tuple[int, ...]

    @classmethod
    def make(cls, size: str, device: torch.device, dtype: torch.dtype, golden: Path, scratch: Path) -> Bench:
        """`golden` holds the tokenizer, which is filled up to the stock vocabulary in `scratch`."""
        from transformers import Qwen2_5_VLConfig

        stored = json.loads((golden / "base" / "config.json").read_text(encoding="utf-8"))
        folders = {name: scratch / f"words-{name}" for name in ("base", "relsim")}
        for name, folder in folders.items():
            folder.mkdir(parents=True, exist_ok=True)
            write_tokenizer(golden / name, folder)
        tail = load_tokenizer(folders["relsim"])(TAIL, add_special_tokens=False)["input_ids"]
        return cls(
            size,
            device,
            dtype,
            Qwen2_5_VLConfig.from_dict(model_config(SIZES[size], stored)),
            PixelConfig(),
            read_prompt(folders["relsim"]),
            read_question(folders["base"], CAPTION_PROMPT),
            tuple(tail),
        )

    def network(self) -> Any:
        """A new network with its head, not to be trained; the same weights each time."""
        from transformers import Qwen2_5_VLForConditionalGeneration

        before = torch.get_default_dtype()
        torch.set_default_dtype(self.dtype)
        try:
            with self.device:
                network = Qwen2_5_VLForConditionalGeneration(self.config)
        finally:
            torch.set_default_dtype(before)
        draw_weights(network, torch.Generator(self.device).manual_seed(0))
        return network.eval().requires_grad_(requires_grad=False)

    def adapted(self) -> Any:
        """The same with peft's adapters on it, whose second matrix is not zero, so that they do something."""
        model = with_lora(self.network(), ModelSection(base="random", recipe=RECIPE.value))
        generator = torch.Generator(self.device).manual_seed(1)
        for name, parameter in model.named_parameters():
            if ".lora_" in name:
                parameter.data = parameter.data.to(self.device, self.dtype)
                parameter.data.normal_(0, 0.02, generator=generator)
        return model

    def merged(self) -> Any:
        """The same with the adapters merged."""
        return self.adapted().merge_and_unload().eval().requires_grad_(requires_grad=False)

    def packed(self, *, fp8: bool = False, compiled: bool = False) -> PackedQwen25VL:
        """Ours, over weights of its own; with products in 8-bit floats, and with blocks compiled, if so wanted."""
        if fp8:
            eight_bits.check_device("fp8", self.device)
        forward = PackedQwen25VL(self.merged().model, self.pixels, self.prompt.prefix, self.prompt.suffix)
        if fp8:
            forward.change_blocks(lambda block: eight_bits.rounded(block, eight_bits.to_fp8))
        if compiled:
            compile_blocks(forward)
        return forward

    def vlm(self, forward: Forward, recipe: Recipe = RECIPE) -> QueryVLM:
        """The metric over a forward pass."""
        generator = torch.Generator().manual_seed(2)
        hidden = self.config.text_config.hidden_size
        weight = torch.randn(DIMENSION, hidden, generator=generator) / math.sqrt(hidden)
        checkpoint = Checkpoint(weight, torch.zeros(DIMENSION), self.prompt.query, recipe=recipe)
        return QueryVLM(forward, checkpoint, self.prompt, self.pixels, weights="random")


def draw_weights(network: nn.Module, generator: torch.Generator) -> None:
    """Norms of one; matrices that keep the scale of their input, so that the picture reaches the embedding."""
    for name, parameter in network.named_parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0, 1 / math.sqrt(math.prod(parameter.shape[1:])), generator=generator)
        elif name.endswith("bias"):
            parameter.data.normal_(0, 0.02, generator=generator)
        else:
            parameter.data.fill_(1)


def published_way(bench: Bench, model: Any) -> Callable[[Any], Tensor]:
    """One picture's hidden state as the published code computes it: whole template, head, every hidden state kept."""
    from relsim.models.pixels import normalized

    def embed(patches: Any) -> Tensor:
        prompt = bench.prompt.ids(len(patches.pixels) // bench.pixels.merge_size**2)
        ids = torch.tensor([[*prompt, *bench.tail]], device=bench.device)
        with torch.no_grad():
            output = model(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                pixel_values=torch.from_numpy(normalized(patches, bench.pixels)).to(bench.device, bench.dtype),
                image_grid_thw=torch.tensor([[1, *patches.grid]], device=bench.device),
                mm_token_type_ids=(ids == bench.prompt.image).long(),
                output_hidden_states=True,
            )
        states: Tensor = output.hidden_states[-1][:, len(prompt) - 1]
        return states

    return embed
