"""Muon against the singular value decomposition, and against torch's own for one matrix at a time."""

import pytest
import torch

from relsim.training.flat import FlatParameters
from relsim.training.loop import train
from relsim.training.muon import Muon, orthogonal
from relsim.training.state import load_state


def matrices(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(4, 24, 24), (3, 16, 40), (2, 40, 16)])
def test_a_step_has_the_directions_of_the_matrix_and_singular_values_near_one(shape):
    stack = matrices(*shape)
    u, _, vh = torch.linalg.svd(stack, full_matrices=False)
    found = u.mT @ orthogonal(stack) @ vh.mT
    values = found.diagonal(dim1=1, dim2=2)
    assert torch.allclose(found - torch.diag_embed(values), torch.zeros_like(found), atol=2e-3)
    assert values.median() > 0.7  # the smallest ones of a square matrix take more than five steps
    assert values.max() < 1.3


def test_a_matrix_of_zeros_does_not_move():
    assert not orthogonal(torch.zeros(2, 8, 8)).any()


def test_steps_are_those_of_torch():
    """torch rounds to bf16 inside, so its steps are the same to two digits."""
    values = [matrices(16, 32, seed=1), matrices(16, 32, seed=2)]
    ours = {str(number): torch.nn.Parameter(value.clone()) for number, value in enumerate(values)}
    theirs = [torch.nn.Parameter(value.clone()) for value in values]
    flat = FlatParameters(ours, stacked=frozenset(ours), dtype=torch.float32)
    assert flat.decay_groups(0.1) == []
    optimizer = Muon(flat.stacks(0.1), lr=0.02)
    oracle = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for step in range(3):
        for number, (mine, other) in enumerate(zip(ours.values(), theirs, strict=True)):
            gradient = matrices(16, 32, seed=10 * step + number + 5)
            mine.grad.copy_(gradient)
            other.grad = gradient.clone()
        optimizer.step()
        oracle.step()
    for mine, other, value in zip(ours.values(), theirs, values, strict=True):
        moved, expected = mine.detach() - value, other.detach() - value
        assert torch.nn.functional.cosine_similarity(moved.flatten(), expected.flatten(), dim=0) > 0.999
        assert moved.norm().item() == pytest.approx(expected.norm().item(), rel=0.02)


def test_matrices_of_a_shape_that_needs_padding_are_stacked_alike():
    named = {"a": torch.nn.Parameter(matrices(3, 5)), "b": torch.nn.Parameter(matrices(3, 5, seed=3))}
    before = [parameter.detach().clone() for parameter in named.values()]
    flat = FlatParameters(named, stacked=frozenset(named), dtype=torch.float32)
    (group,) = flat.stacks(0.0)
    assert torch.equal(group["stack"](flat.masters[0].detach()), torch.stack(before))


def test_words_and_projection_are_left_to_adamw(settings, tmp_path):
    """A run with Muon: its state holds moments of both kinds, and it learns."""
    options = ["model.tune=all", "model.vision_tuned=true", "optimizer.kind=muon", "run.threads=1"]
    outcome = train(settings(tmp_path / "run", *options))
    (path,) = outcome.out.glob("state-*")
    tensors = load_state(path).tensors
    assert any(name.startswith("momentum.") for name in tensors)
    assert any(name.startswith("exp_avg_sq.") for name in tensors)


def test_a_run_with_muon_goes_on_to_the_same_weights(settings, tmp_path):
    options = ["model.tune=all", "model.vision_tuned=true", "optimizer.kind=muon", "run.threads=1", "run.save_every=2"]
    whole = train(settings(tmp_path / "whole", *options))
    train(settings(tmp_path / "parts", *options, "run.stop_at=2"))
    train(settings(tmp_path / "parts", *options), resume=True)
    states = [max((tmp_path / name).glob("state-*")) for name in ("whole", "parts")]
    first, second = (load_state(path) for path in states)
    assert first.step == second.step == whole.steps
    assert all(torch.equal(tensor, second.tensors[name]) for name, tensor in first.tensors.items())
