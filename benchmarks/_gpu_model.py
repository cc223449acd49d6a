"""Random Qwen2.5-VL models made on the device they run on, and the levers that `gpu.py` pulls on the packed pass.

Random weights cost what trained ones cost. They are drawn from a seed, on the device, and never written: the same call
gives the same network, so each way of running it may take a copy apart.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the whole field uses

from full_size import SHAPE_7B
from models import SHAPES, model_config, write_tokenizer
from relsim.models import eight_bits, layers
from relsim.models.checkpoint import Checkpoint
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

    def packed(self) -> PackedQwen25VL:
        """Ours, over weights of its own."""
        return PackedQwen25VL(self.merged().model, self.pixels, self.prompt.prefix, self.prompt.suffix)

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


@contextmanager
def compiled_blocks() -> Iterator[None]:
    """Norms and gated MLPs of the packed pass compiled. Their weights are arguments: one program for all layers."""
    norm, gated = torch.compile(_norm), torch.compile(_gated)

    def call_norm(self: layers.Norm, x: Tensor) -> Tensor:
        found: Tensor = norm(x, self.weight, self.epsilon)
        return found

    def call_gated(self: layers.GatedMLP, x: Tensor) -> Tensor:
        up = None if self.up is None else (self.up.weight, self.up.bias)
        found: Tensor = gated(x, (self.gate.weight, self.gate.bias), up, (self.down.weight, self.down.bias))
        return found

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(layers.Norm, "__call__", call_norm))
        stack.enter_context(mock.patch.object(layers.GatedMLP, "__call__", call_gated))
        yield
    torch.compiler.reset()


def _norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    wide = x.float()
    return (wide * (wide.square().mean(-1, keepdim=True) + epsilon).rsqrt()).to(x.dtype) * weight


_Product = tuple[Tensor, Tensor | None]


def _gated(x: Tensor, gate: _Product, up: _Product | None, down: _Product) -> Tensor:
    first, second = F.linear(x, *gate).chunk(2, dim=-1) if up is None else (F.linear(x, *gate), F.linear(x, *up))
    return F.linear(F.silu(first) * second, *down)


def to_fp8(forward: PackedQwen25VL) -> PackedQwen25VL:
    """The same packed pass, its products from now on in 8-bit floats, scaled by row (torchao)."""
    eight_bits.check_device("fp8", forward.device)
    forward.change_blocks(lambda block: eight_bits.rounded(block, eight_bits.to_fp8))
    return forward


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
