"""Gradients written out equal autograd's own of the plain formula; attention equals a loop over places."""

import pytest
import torch

from relsim.models import kernels
from relsim.models.kernels import attend, attend_causal, rms_norm, split_heads
from relsim.models.layers import rotation_of


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def gradients(function, *leaves):
    """Outputs of the function and the gradients of its leaves for one random direction."""
    leaves = [leaf.clone().requires_grad_() for leaf in leaves]
    outputs = function(*leaves)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    directions = [draw(*output.shape, seed=5 + i) for i, output in enumerate(outputs)]
    return [*outputs, *torch.autograd.grad(outputs, leaves, directions)]


def equal(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=2e-6, rtol=2e-5)


@pytest.mark.parametrize("shape", [(7, 96), (3, 5, 192), (2, 3, 4, 8)], ids=str)
def test_rms_norm_is_the_formula(shape):
    def formula(x, weight):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * weight

    leaves = draw(*shape), draw(shape[-1], seed=1)
    equal(gradients(lambda x, w: rms_norm(x, w, 1e-6), *leaves), gradients(formula, *leaves))


def test_rms_norm_computes_only_the_gradients_that_are_asked_for():
    x, weight = draw(4, 8), draw(8, seed=1).requires_grad_()
    rms_norm(x, weight, 1e-6).sum().backward()
    assert weight.grad is not None
    x.requires_grad_()
    rms_norm(x, weight.detach(), 1e-6).sum().backward()
    assert x.grad is not None


def test_rms_norm_of_bfloat16_is_taken_in_float32():
    x, weight = draw(64, 96).bfloat16(), draw(96, seed=1).bfloat16()
    whole = rms_norm(x.float(), weight.float(), 1e-6)
    found = rms_norm(x, weight, 1e-6)
    assert found.dtype is torch.bfloat16
    torch.testing.assert_close(found.float(), whole, atol=0.05, rtol=0.02)


def rotate_half(x, angles):
    """Transformers' rotary embedding of x (B, n, heads, d), with its pairs put side by side."""
    cos, sin = (torch.cat([part, part], -1)[:, None] for part in (angles.cos(), angles.sin()))
    first, second = x.chunk(2, -1)
    turned = x * cos + torch.cat([-second, first], -1) * sin
    return turned.unflatten(-1, (2, -1)).transpose(-1, -2).flatten(-2)


@pytest.mark.parametrize(("heads", "turned"), [((6, 6, 6), 2), ((6, 2, 2), 2), ((2, 2), 1), ((6,), 1)], ids=str)
def test_split_heads_turns_and_cuts(heads, turned):
    angles = draw(5, 4, seed=3)

    def formula(x):
        parts = x.unflatten(-1, (sum(heads), 8)).split(heads, 2)
        return *(rotate_half(part, angles) for part in parts[:turned]), *parts[turned:]

    x = draw(3, 5, sum(heads) * 8)
    equal(gradients(lambda x: split_heads(x, rotation_of(angles), heads, turned), x), gradients(formula, x))


def by_hand(q, k, v):
    """Attention of the last places of a sequence, one place at a time."""
    heads, t, s = q.shape[2], q.shape[1], k.shape[1]
    k, v = (part.repeat_interleave(heads // part.shape[2], 2) for part in (k, v))
    rows = []
    for place in range(t):
        seen = s - t + place + 1
        scores = torch.einsum("bhd,bshd->bhs", q[:, place], k[:, :seen]) / q.shape[-1] ** 0.5
        rows.append(torch.einsum("bhs,bshd->bhd", scores.softmax(-1), v[:, :seen]).flatten(1))
    return torch.stack(rows, 1)


@pytest.mark.parametrize("explicit", [kernels.EXPLICIT_SCORES, 0], ids=["products", "fused"])
@pytest.mark.parametrize(("t", "s"), [(1, 9), (4, 9), (9, 9), (1, 1)], ids=str)
@pytest.mark.parametrize("key_heads", [2, 6])
def test_causal_attention_of_the_last_places(monkeypatch, explicit, t, s, key_heads):
    monkeypatch.setattr(kernels, "EXPLICIT_SCORES", explicit)
    leaves = draw(3, t, 6, 8), draw(3, s, key_heads, 8, seed=1), draw(3, s, key_heads, 8, seed=2)
    equal(gradients(attend_causal, *leaves), gradients(by_hand, *leaves))


def test_attention_of_all_to_all_is_that_of_each_place_as_the_last():
    q, k, v = draw(2, 5, 4, 8), draw(2, 5, 4, 8, seed=1), draw(2, 5, 4, 8, seed=2)
    whole = torch.cat([by_hand(q[:, [place]], k, v) for place in range(5)], 1)
    torch.testing.assert_close(attend(q, k, v), whole, atol=2e-6, rtol=2e-5)
