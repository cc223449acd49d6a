"""Closed forms, brute force and autograd's own sum of the whole batch."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - the name the whole field uses

from relsim.models.text_encoder import CaptionEncoder, bundled_model
from relsim.training.objectives import (
    answer_loss,
    contrastive_both,
    contrastive_columns,
    contrastive_rows,
    embedding_gradient,
    group_numbers,
    same_group_mask,
    similar_caption_mask,
    yes_no_rows,
)


def units(rows, seed, size=16):
    return F.normalize(torch.randn(rows, size, generator=torch.Generator().manual_seed(seed)), dim=-1)


@pytest.fixture
def network():
    """`network()`: the same small network each time, 16 numbers in, a unit vector out."""

    def make():
        torch.manual_seed(0)
        layers = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.Tanh(), torch.nn.Linear(32, 16))
        return layers, lambda x: F.normalize(layers(x), dim=-1)

    return make


def gradients_of(layers):
    return torch.cat([parameter.grad.flatten() for parameter in layers.parameters()])


@pytest.mark.parametrize("micro", [1, 3, 5, 12])
@pytest.mark.parametrize("masked", [False, True], ids=["all texts", "masked"])
def test_micro_batches_add_up_to_the_whole_batch(network, micro, masked):
    """Loss and gradient, the temperature's too, against cross-entropy over the batch in one piece."""
    pictures, texts, targets = torch.randn(12, 16), units(12, 2), torch.arange(12)
    mask = (torch.rand(12, 12) < 0.3) & ~torch.eye(12).bool() if masked else torch.zeros(12, 12).bool()
    layers, embed = network()
    temperature = torch.tensor(0.2, requires_grad=True)
    logits = (embed(pictures) @ texts.T / temperature).masked_fill(mask, -torch.inf)
    whole = F.cross_entropy(logits, targets)
    whole.backward()
    expected, of_temperature = gradients_of(layers), temperature.grad.clone()

    layers, embed = network()
    temperature = torch.tensor(0.2, requires_grad=True)
    total = 0.0
    for part in torch.arange(12).split(micro):
        rows = contrastive_rows(
            embed(pictures[part]), texts, targets[part], temperature, mask[part] if masked else None
        )
        loss = rows.sum() / 12
        loss.backward()
        total += loss.item()
    assert total == pytest.approx(whole.item(), abs=1e-6)
    torch.testing.assert_close(gradients_of(layers), expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(temperature.grad, of_temperature, atol=1e-6, rtol=1e-5)


@pytest.mark.skipif(bundled_model() is None, reason="the offline copy of MiniLM is not installed")
def test_golden_batch_has_the_published_loss(golden, expected):
    batch = expected["train_batch"]
    images = torch.from_numpy(np.load(golden / "expected_train_embeddings_fp32.npy"))
    texts = torch.from_numpy(CaptionEncoder().encode_text(batch["captions"]))
    losses = contrastive_rows(images, texts, torch.arange(8), batch["temperature"])
    assert losses.mean().item() == pytest.approx(batch["loss"], abs=1e-5)


@pytest.mark.parametrize("loss", [contrastive_rows, contrastive_columns, contrastive_both])
def test_embeddings_that_are_all_equal_give_log_b(loss):
    same = units(1, 0).expand(9, -1)
    torch.testing.assert_close(loss(same, same, torch.arange(9), 0.07), torch.full((9,), math.log(9)))


@pytest.mark.parametrize("loss", [contrastive_rows, contrastive_columns, contrastive_both])
@pytest.mark.parametrize("temperature", [0.15, 0.5, 2.0])
def test_perfect_embeddings_and_the_gradient_of_the_temperature(loss, temperature):
    """Orthogonal pairs: log(1 + (B - 1) exp(-1 / t)), and its derivative by t."""
    axes, t = torch.eye(6), torch.tensor(temperature, requires_grad=True)
    value = loss(axes, axes, torch.arange(6), t).mean()
    rest = 5 * math.exp(-1 / temperature)
    assert value.item() == pytest.approx(math.log1p(rest), abs=1e-6)
    value.backward()
    assert t.grad.item() == pytest.approx(rest / temperature**2 / (1 + rest), rel=1e-4, abs=1e-7)


def test_masked_texts_do_not_count_and_the_own_text_always_does():
    images, texts, targets = units(4, 0), units(7, 1), torch.tensor([3, 3, 0, 6])
    mask = torch.rand(4, 7, generator=torch.Generator().manual_seed(0)) < 0.5
    mask[1, 3] = True
    losses = contrastive_rows(images, texts, targets, 0.3, mask)
    for i, target in enumerate(targets.tolist()):
        kept = [j for j in range(7) if j == target or not mask[i, j]]
        weights = {j: math.exp(float(images[i] @ texts[j]) / 0.3) for j in kept}
        assert losses[i].item() == pytest.approx(-math.log(weights[target] / sum(weights.values())), abs=1e-5)


def test_all_texts_masked_leaves_no_loss_and_no_gradient():
    images = units(3, 0).requires_grad_()
    losses = contrastive_rows(images, units(5, 1), torch.arange(3), 0.1, torch.ones(3, 5).bool())
    losses.sum().backward()
    assert losses.tolist() == [0, 0, 0]
    assert not images.grad.any()


def test_columns_compare_each_text_with_all_images():
    """By brute force, with a text that two pictures share and a mask that hides them from each other."""
    images, texts, targets = units(4, 0), units(3, 1), torch.tensor([2, 0, 2, 1])
    mask = torch.zeros(4, 3).bool()
    mask[0, 2] = mask[2, 2] = True
    losses = contrastive_columns(images, texts, targets, 0.3, mask)
    for i, target in enumerate(targets.tolist()):
        kept = [j for j in range(4) if j == i or not mask[j, target]]
        weights = {j: math.exp(float(images[j] @ texts[target]) / 0.3) for j in kept}
        assert losses[i].item() == pytest.approx(-math.log(weights[i] / sum(weights.values())), abs=1e-5)


@pytest.mark.parametrize("micro", [1, 4, 10])
def test_two_directions_through_the_cache_equal_one_graph(network, micro):
    pictures, texts, targets = torch.randn(10, 16), units(10, 2), torch.arange(10)

    def loss(images, temperature):
        return contrastive_both(images, texts, targets, temperature.exp()).mean()

    layers, embed = network()
    temperature = torch.tensor(-1.0, requires_grad=True)
    whole = loss(embed(pictures), temperature)
    whole.backward()
    expected, of_temperature = gradients_of(layers), temperature.grad.clone()

    layers, embed = network()
    temperature = torch.tensor(-1.0, requires_grad=True)
    with torch.no_grad():
        images = torch.cat([embed(part) for part in pictures.split(micro)])
    value, gradient = embedding_gradient(images, lambda images: loss(images, temperature))
    for part, direction in zip(pictures.split(micro), gradient.split(micro), strict=True):
        embed(part).backward(direction)
    assert value.item() == pytest.approx(whole.item(), abs=1e-6)
    torch.testing.assert_close(gradients_of(layers), expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(temperature.grad, of_temperature, atol=1e-6, rtol=1e-5)


def test_a_loss_of_something_else_has_no_embedding_gradient():
    with pytest.raises(ValueError, match="does not depend"):
        embedding_gradient(units(2, 0), lambda images: torch.ones((), requires_grad=True) * 2)


def test_group_mask_by_brute_force():
    groups = ["a", None, "b", "a", None, "a", "b"]
    targets = torch.tensor([5, 1, 2, 0, 0])
    mask = same_group_mask(group_numbers(groups), targets)
    for i, target in enumerate(targets.tolist()):
        for j, group in enumerate(groups):
            assert mask[i, j].item() == (group is not None and group == groups[target] and j != target)


@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.3, 0.999, 1.1])
def test_caption_mask_by_brute_force(threshold):
    texts = torch.cat([units(6, 0), units(6, 0)[:2]])  # the last two say what the first two say
    targets = torch.tensor([0, 3, 7, 7])
    mask = similar_caption_mask(texts, targets, threshold)
    for i, target in enumerate(targets.tolist()):
        for j in range(8):
            similar = j % 6 == target % 6 or float(texts[target] @ texts[j]) >= threshold
            assert mask[i, j].item() == (j != target and similar and threshold < 1.1)


def test_half_precision_embeddings_are_compared_in_float32():
    images, texts = units(5, 0).bfloat16(), units(5, 1)
    with torch.autocast("cpu", torch.bfloat16):
        losses = contrastive_rows(images, texts, torch.arange(5), 0.07)
    logits = images.float() @ texts.T / 0.07
    torch.testing.assert_close(losses, F.cross_entropy(logits, torch.arange(5), reduction="none"))


def test_answer_loss_is_the_mean_over_the_batchs_answer_tokens():
    sums, tokens = torch.tensor([3.0, 1.0, 8.0]), [2, 1, 5]
    parts = [answer_loss(part, sum(tokens)) for part in sums.split(2)]
    assert sum(parts).item() == pytest.approx(12 / 8)


def test_undecided_answers_cost_ln_2():
    losses = yes_no_rows(torch.tensor([[3.0, 3.0], [-1.0, -1.0]]), torch.tensor([True, False]))
    torch.testing.assert_close(losses, torch.full((2,), math.log(2)))


def test_yes_no_is_the_cross_entropy_of_two_classes():
    logits, labels = torch.randn(6, 2) * 5, torch.tensor([True, False, True, True, False, False])
    classes = F.cross_entropy(logits, (~labels).long(), reduction="none")
    torch.testing.assert_close(yes_no_rows(logits, labels), classes)
    torch.testing.assert_close(yes_no_rows(logits, labels, 8.5), torch.where(labels, 8.5 * classes, classes))
