"""The pass that is trained equals transformers' own, in its values and in the gradient of every weight."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from PIL import Image
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from relsim.errors import CheckpointError
from relsim.models import dense as dense_module
from relsim.models import kernels
from relsim.models.dense import DenseQwen25VL
from relsim.models.pixels import Recipe, cut_squares, normalized
from relsim.models.plain import PlainForward

GRIDS = [(8, 8), (10, 10), (16, 16), (6, 10), (18, 8)]  # windows are 8 by 8 patches: one, cut off, four, cut off


def load_base(golden, rows=1047):
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(golden / "base", dtype=torch.float32)
    model.resize_token_embeddings(rows, mean_resizing=False)
    return model.eval()


@pytest.fixture
def base(golden):
    """The golden base with room for the query token, all of it trainable."""
    return load_base(golden)


@pytest.fixture
def adapted(golden, base):
    """`adapted()` is the golden adapter on its base; `adapted("all-linear")` a random one on those modules."""

    def adapt(targets=None):
        if targets is None:
            return PeftModel.from_pretrained(base, golden / "relsim", is_trainable=True).eval()
        torch.manual_seed(0)
        config = LoraConfig(r=4, lora_alpha=8, target_modules=targets, init_lora_weights=False)
        return get_peft_model(base, config).eval()

    return adapt


@pytest.fixture(scope="module")
def pictures_on(packed):
    """`pictures_on(grid, count)`: random patches (count, n, 588) on that grid, as uint8."""

    def draw(grid, count=2):
        generator = torch.Generator().manual_seed(grid[0])
        return torch.randint(0, 256, (count, grid[0] * grid[1], 588), dtype=torch.uint8, generator=generator)

    return draw


def whole_inputs(vlm, patches, grid, after):
    """Arguments of transformers' forward for pictures on one grid; `after` (B, S) follows the image."""
    count = len(patches)
    before = [*vlm.prompt.prefix, *([vlm.prompt.image] * (grid[0] * grid[1] // 4))]
    ids = torch.cat([torch.tensor(before).expand(count, -1), after], dim=1)
    values = [normalized(SimpleNamespace(pixels=rows.numpy()), vlm.pixels) for rows in patches]
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "pixel_values": torch.from_numpy(np.concatenate(values)),
        "image_grid_thw": torch.tensor([[1, *grid]] * count),
        "mm_token_type_ids": (ids == vlm.prompt.image).long(),
    }


def their_states(model, vlm, patches, grid, after):
    """Transformers' last hidden states (B, H) of the last token."""
    backbone = model.get_base_model().model if hasattr(model, "get_base_model") else model.model
    return backbone(**whole_inputs(vlm, patches, grid, after), use_cache=False).last_hidden_state[:, -1]


def query_suffix(vlm, patches):
    return torch.tensor(vlm.prompt.suffix).expand(len(patches), -1)


def gradients(model, loss):
    model.zero_grad(set_to_none=True)
    loss.backward()
    return {name: tensor.grad.clone() for name, tensor in model.named_parameters() if tensor.grad is not None}


def equal_gradients(ours, theirs):
    """The same weights have one, and each differs by at most 1e-4 of its largest entry."""
    assert {name for name, value in theirs.items() if value.any()} <= ours.keys() <= theirs.keys()
    for name, gradient in ours.items():
        scale = theirs[name].abs().max().clamp(min=1e-6)
        assert ((gradient - theirs[name]).abs().max() / scale) < 1e-4, name


@pytest.fixture
def crops(golden, expected, packed):
    """Patches (8, 1024, 588) of the golden training pictures under `crop448`."""
    names = expected["train_batch"]["image_hashes"]
    pictures = [Image.open(golden / "train" / "images" / f"{name}.png").convert("RGB") for name in names]
    squares = [Recipe.CROP448.apply(picture) for picture in pictures]
    return torch.from_numpy(cut_squares(np.stack([np.asarray(square) for square in squares]), packed.pixels))


@pytest.mark.parametrize("engine", ["packed", "plain"])
def test_query_states_equal_the_engines_of_scoring(load_golden, golden, adapted, expected, crops, engine):
    vlm = load_golden(engine=engine, recipe="crop448")
    assert isinstance(vlm._forward, PlainForward) == (engine == "plain")
    pass_ = DenseQwen25VL(adapted(), vlm.pixels)
    names = expected["train_batch"]["image_hashes"][:3]
    pictures = [vlm.prepare(Image.open(golden / "train" / "images" / f"{name}.png").convert("RGB")) for name in names]
    with torch.no_grad():
        tokens = pass_.image_tokens(crops[:3], (32, 32))
        states = pass_.query_states(tokens, vlm.prompt.prefix, vlm.prompt.suffix)
    assert (states - vlm._forward(pictures)).abs().max() < 1e-5


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_states_and_gradients_of_all_weights_equal_transformers(base, packed, pictures_on, grid):
    patches = pictures_on(grid)
    direction = torch.randn(2, 96, generator=torch.Generator().manual_seed(1))
    theirs = their_states(base, packed, patches, grid, query_suffix(packed, patches))
    expected = gradients(base, (theirs * direction).sum())

    pass_ = DenseQwen25VL(base, packed.pixels)
    ours = pass_.query_states(pass_.image_tokens(patches, grid), packed.prompt.prefix, packed.prompt.suffix, grid=grid)
    assert (ours - theirs).abs().max() < 1e-5
    equal_gradients(gradients(base, (ours * direction).sum()), expected)


@pytest.mark.parametrize("targets", [None, ["q_proj", "v_proj"], "all-linear", ["gate_proj", "qkv", "k_proj"]], ids=str)
def test_gradients_of_adapters_equal_transformers(adapted, packed, pictures_on, targets):
    """Peft's layers stay in their places; what is frozen gets no gradient."""
    model, patches, grid = adapted(targets), pictures_on((10, 10)), (10, 10)
    direction = torch.randn(2, 96, generator=torch.Generator().manual_seed(1))
    theirs = their_states(model, packed, patches, grid, query_suffix(packed, patches))
    expected = gradients(model, (theirs * direction).sum())

    pass_ = DenseQwen25VL(model, packed.pixels)
    ours = pass_.query_states(pass_.image_tokens(patches, grid), packed.prompt.prefix, packed.prompt.suffix)
    assert (ours - theirs).abs().max() < 1e-5
    found = gradients(model, (ours * direction).sum())
    equal_gradients(found, expected)
    assert all("lora_" in name for name in found)
    assert len(found) > 0


def test_large_weights_and_fused_attention_give_the_same(monkeypatch, base, packed, pictures_on):
    """What a 7B network takes on a GPU: projections one by one, no score matrix in memory."""
    pass_, patches = DenseQwen25VL(base, packed.pixels), pictures_on((8, 8))
    prompt = packed.prompt

    def run():
        states = pass_.query_states(pass_.image_tokens(patches, (8, 8)), prompt.prefix, prompt.suffix)
        return states.detach(), gradients(base, states.sin().sum())

    small = run()
    monkeypatch.setattr(dense_module, "JOIN_BYTES", 0)
    monkeypatch.setattr(kernels, "EXPLICIT_SCORES", 0)
    large = run()
    assert (small[0] - large[0]).abs().max() < 1e-5
    equal_gradients(large[1], small[1])


def test_a_frozen_tower_leaves_no_graph(adapted, packed, pictures_on):
    pass_ = DenseQwen25VL(adapted(), packed.pixels)
    assert not pass_.image_tokens(pictures_on((8, 8)), (8, 8)).requires_grad


@pytest.mark.parametrize("frozen", [False, True], ids=["trained", "frozen"])
def test_weights_are_read_anew_at_each_call(base, packed, pictures_on, frozen):
    """An optimizer's step or a loaded state counts, in the folded patch embedding too."""
    base.requires_grad_(not frozen)
    pass_, patches = DenseQwen25VL(base, packed.pixels), pictures_on((8, 8))
    before = pass_.image_tokens(patches, (8, 8))
    with torch.no_grad():
        base.model.visual.patch_embed.proj.weight.mul_(1.1)
    assert (pass_.image_tokens(patches, (8, 8)) - before).abs().max() > 1e-4


def test_query_row_stands_in_for_the_last_embedding(base, packed, pictures_on):
    """With the table's own row nothing changes, and the row's gradient is the one that the table would get."""
    pass_, patches, prompt = DenseQwen25VL(base, packed.pixels), pictures_on((8, 8)), packed.prompt
    tokens = pass_.image_tokens(patches, (8, 8)).detach()
    table = base.get_input_embeddings().weight
    plain = pass_.query_states(tokens, prompt.prefix, prompt.suffix)
    (of_table,) = torch.autograd.grad(plain.square().sum(), table)

    row = table[prompt.query].detach().clone().requires_grad_()
    states = pass_.query_states(tokens, prompt.prefix, prompt.suffix, row)
    assert torch.equal(states, plain)
    (of_row,) = torch.autograd.grad(states.square().sum(), row)
    torch.testing.assert_close(of_row, of_table[prompt.query], atol=1e-5, rtol=1e-4)
    other = pass_.query_states(tokens, prompt.prefix, prompt.suffix, row + 1)
    assert (other - states).abs().max() > 1e-3


@pytest.fixture
def answers():
    """Tokens (3, 9) after the image, answers of 5, 2 and 4 tokens behind a question of four, filled up on the right."""
    tokens = torch.randint(0, 1000, (3, 9), generator=torch.Generator().manual_seed(2))
    mask = torch.zeros(3, 9, dtype=torch.bool)
    for row, length in enumerate((5, 2, 4)):
        mask[row, 4 : 4 + length] = True
        tokens[row, 4 + length :] = 1024
    return tokens, mask


@pytest.mark.parametrize("grid", [(8, 8), (6, 10)], ids=str)
def test_caption_loss_and_gradients_equal_transformers(base, packed, pictures_on, answers, grid):
    """Transformers' own loss, with attention masked at the filling."""
    (tokens, mask), patches = answers, pictures_on(grid, 3)
    inputs = whole_inputs(packed, patches, grid, tokens)
    start = inputs["input_ids"].shape[1] - 9
    length = torch.where(mask, torch.arange(1, 10), 0).amax(1)
    inputs["attention_mask"][:, start:] = torch.arange(9) < length[:, None]
    labels = torch.full_like(inputs["input_ids"], -100)
    labels[:, start:][mask] = tokens[mask]
    theirs = base(**inputs, labels=labels).loss
    expected = gradients(base, theirs)

    pass_ = DenseQwen25VL(base, packed.pixels)
    sums = pass_.caption_loss(pass_.image_tokens(patches, grid), packed.prompt.prefix, tokens, mask, grid=grid)
    assert sums.shape == (3,)
    ours = sums.sum() / mask.sum()
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
    equal_gradients(gradients(base, ours), expected)


def test_caption_losses_are_each_pictures_own(base, packed, pictures_on, answers):
    """A picture alone has the loss that it has in the batch, however its neighbours are filled up."""
    (tokens, mask), patches = answers, pictures_on((8, 8), 3)
    pass_, prefix = DenseQwen25VL(base, packed.pixels), packed.prompt.prefix
    image = pass_.image_tokens(patches, (8, 8)).detach()
    together = pass_.caption_loss(image, prefix, tokens, mask)
    for row in range(3):
        length = int(mask[row].nonzero().max()) + 1
        alone = pass_.caption_loss(image[[row]], prefix, tokens[[row], :length], mask[[row], :length])
        assert alone.item() == pytest.approx(together[row].item(), abs=1e-4)


def test_an_answer_right_behind_the_image_is_predicted_from_the_image(base, packed, pictures_on):
    patches, tokens = pictures_on((8, 8)), torch.tensor([[7, 8], [9, 7]])
    inputs = whole_inputs(packed, patches, (8, 8), tokens)
    with torch.no_grad():
        logits = base(**inputs).logits[:, -3:-1].log_softmax(-1)
        pass_ = DenseQwen25VL(base, packed.pixels)
        sums = pass_.caption_loss(
            pass_.image_tokens(patches, (8, 8)), packed.prompt.prefix, tokens, torch.ones_like(tokens).bool()
        )
    torch.testing.assert_close(sums, -logits.gather(2, tokens[..., None]).sum((1, 2)), atol=1e-4, rtol=1e-5)


def test_no_answer_costs_nothing(base, packed, pictures_on):
    pass_, patches = DenseQwen25VL(base, packed.pixels), pictures_on((8, 8))
    tokens = torch.tensor([[7, 8], [9, 7]])
    image = pass_.image_tokens(patches, (8, 8))
    assert pass_.caption_loss(image, packed.prompt.prefix, tokens, tokens < 0).tolist() == [0, 0]


def test_answer_logits_are_those_of_the_next_token(base, packed, pictures_on):
    patches, suffix = pictures_on((8, 8)), [5, 6, 7]
    inputs = whole_inputs(packed, patches, (8, 8), torch.tensor([suffix, suffix]))
    with torch.no_grad():
        theirs = base(**inputs).logits[:, -1, [30, 12]]
        pass_ = DenseQwen25VL(base, packed.pixels)
        ours = pass_.answer_logits(pass_.image_tokens(patches, (8, 8)), packed.prompt.prefix, suffix, [30, 12])
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_mixed_precision_stays_near(base, packed, pictures_on):
    pass_, patches = DenseQwen25VL(base, packed.pixels), pictures_on((8, 8))
    prompt = packed.prompt
    exact = pass_.query_states(pass_.image_tokens(patches, (8, 8)), prompt.prefix, prompt.suffix)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = pass_.query_states(pass_.image_tokens(patches, (8, 8)), prompt.prefix, prompt.suffix)
    assert torch.cosine_similarity(mixed.float(), exact).min() > 0.999
    mixed.float().sum().backward()
    assert base.model.visual.patch_embed.proj.weight.grad.isfinite().all()


def test_bfloat16_weights_keep_exact_positions(golden, packed, pictures_on):
    """Moving a network to bfloat16 rounds the rotary frequencies in its buffers; the pass does not read those."""
    exact = DenseQwen25VL(load_base(golden), packed.pixels)
    rounded = DenseQwen25VL(load_base(golden).bfloat16(), packed.pixels)
    tables = [one._vision._tables_of((16, 16), torch.device("cpu")).rotation for one in (exact, rounded)]
    assert torch.equal(*tables)
    states = rounded.query_states(rounded.image_tokens(pictures_on((8, 8)), (8, 8)), [1, 2], [3, 4])
    assert states.dtype is torch.bfloat16


def test_tokens_that_do_not_lie_on_the_grid_are_refused(base, packed):
    pass_ = DenseQwen25VL(base, packed.pixels)
    for grid in (None, (8, 8)):
        with pytest.raises(ValueError, match="do not lie on a grid"):
            pass_.query_states(torch.zeros(1, 15, 96), [1], [2], grid=grid)


def test_an_adapter_on_the_patch_embedding_is_refused(base, packed):
    model = get_peft_model(base, LoraConfig(target_modules=["proj"]))
    with pytest.raises(CheckpointError, match="patch embedding"):
        DenseQwen25VL(model, packed.pixels)


def test_a_network_that_computes_something_else_is_refused(golden, packed):
    config = json.loads((golden / "base" / "config.json").read_text())
    config["text_config"]["hidden_act"] = "gelu"
    model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig.from_dict(config))
    with pytest.raises(CheckpointError, match="dense pass"):
        DenseQwen25VL(model, packed.pixels)
