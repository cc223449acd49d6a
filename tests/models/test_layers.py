"""Norms: what transformers computes, and the input stays as it was. Gated MLPs: padding changes nothing."""

import pytest
import torch
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLRMSNorm

from relsim.models.layers import GatedMLP, Linear, Norm, padded


# a sum of squares in another order is some units of fp32 off: in bf16 a step of rounding before and after the weight
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2 * 2**-7)])
@pytest.mark.parametrize("width", [80, 3584])
def test_a_norm_is_that_of_transformers_and_leaves_its_input(dtype, tolerance, width):
    generator = torch.Generator().manual_seed(width)
    module = Qwen2_5_VLRMSNorm(width, eps=1e-6).to(dtype)
    module.weight.data.normal_(generator=generator)
    x = (3 * torch.randn(50, width, generator=generator)).to(dtype)
    before = x.clone()
    with torch.inference_mode():
        expected, found = module(x), Norm.of(module)(x)
    assert found.dtype is dtype
    assert torch.equal(x, before)
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=0)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("joined", [True, False])
def test_a_padded_mlp_computes_the_same(bias, joined):
    """Inner width 45 as 48, gate and up joined and apart."""
    generator = torch.Generator().manual_seed(4)
    gate, up, down = (
        Linear(
            torch.randn(rows, columns, generator=generator, dtype=torch.float64),
            torch.randn(rows, generator=generator, dtype=torch.float64) if bias else None,
        )
        for rows, columns in ((45, 20), (45, 20), (20, 45))
    )
    mlp = GatedMLP(gate, up, down)
    if joined:
        both = None if gate.bias is None else torch.cat([gate.bias, up.bias])
        mlp = GatedMLP(Linear(torch.cat([gate.weight, up.weight]), both), None, down)
    wide = padded(mlp, 16)
    assert wide.down.weight.shape == (20, 48)
    assert wide.gate.weight.shape == (96 if joined else 48, 20)
    x = torch.randn(7, 20, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(wide(x), mlp(x), rtol=1e-12, atol=1e-12)


def test_an_mlp_that_fits_stays_as_it_is():
    mlp = GatedMLP(Linear(torch.ones(64, 8)), None, Linear(torch.ones(8, 32)))
    assert padded(mlp, 16) is mlp
