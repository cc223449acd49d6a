"""Norms: what transformers computes, and the input stays as it was."""

import pytest
import torch
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLRMSNorm

from relsim.models.layers import Norm


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
