"""The query token's attention is transformers' own, and its way back to the picture loses nothing."""

import numpy as np
import pytest
import torch

from relsim.models.attention import QueryAttention, spread
from relsim.models.pixels import Recipe, normalized


@pytest.fixture(scope="module")
def oracle(peft_merged, golden, packed):
    """Weights (layers, heads, n) by transformers' eager attention over the whole prompt, and the row's rest."""
    model = peft_merged(golden / "relsim").model
    model.set_attn_implementation("eager")
    prompt = packed.prompt

    def run(patches):
        count = len(patches.pixels) // packed.pixels.merge_size**2
        ids = torch.tensor([prompt.ids(count)])
        with torch.inference_mode():
            output = model(
                input_ids=ids,
                pixel_values=torch.from_numpy(normalized(patches, packed.pixels)),
                image_grid_thw=torch.tensor([[1, *patches.grid]]),
                mm_token_type_ids=(ids == prompt.image).long(),
                output_attentions=True,
            )
        rows = torch.stack([layer[0, :, -1] for layer in output.attentions])
        assert (rows.sum(-1) - 1).abs().max() < 1e-5
        return rows[..., len(prompt.prefix) : len(prompt.prefix) + count].numpy()

    return run


def test_the_weights_are_those_of_transformers_for_golden_pictures(vlm, oracle, golden_pictures):
    batch = [vlm.prepare(picture) for picture in golden_pictures]
    batch = [patches for patches in batch if vlm.tokens(patches) < 400]  # transformers holds all places by all others
    assert len(batch) == 15
    for found, patches in zip(vlm.attention(batch), batch, strict=True):
        assert found.weights.shape == (3, 6, found.grid[0] * found.grid[1])
        assert found.grid == (patches.grid[0] // 2, patches.grid[1] // 2)
        np.testing.assert_allclose(found.weights, oracle(patches), atol=1e-5)


def test_a_picture_has_the_same_weights_alone_and_in_a_batch(vlm, golden_pictures):
    batch = [vlm.prepare(picture) for picture in golden_pictures[:5]]
    alone = [vlm.attention([patches])[0] for patches in batch]
    for one, other in zip(alone, vlm.attention(batch), strict=True):
        np.testing.assert_allclose(one.weights, other.weights, atol=1e-5)


def test_looking_at_the_weights_changes_no_embedding(vlm, embed, golden_pictures, golden_embeddings):
    vlm.attention([vlm.prepare(golden_pictures[0])])
    np.testing.assert_allclose(embed(vlm, golden_pictures[:3]), golden_embeddings[:3], atol=1e-4)


def test_after_looking_transformers_attends_as_before(plain, golden_pictures):
    config = plain._forward._backbone.config
    before = config._attn_implementation
    plain.attention([plain.prepare(golden_pictures[5])])
    assert config._attn_implementation == before != "eager"


def test_cells_are_the_mean_over_layers_and_heads_as_shares():
    weights = np.array([[[1, 2, 3, 0], [1, 0, 1, 0]], [[0, 2, 0, 0], [2, 0, 0, 4]]], np.float32) / 16
    found = QueryAttention(weights, (2, 2))
    np.testing.assert_allclose(found.cells(), np.array([[4, 4], [4, 4]]) / 16)
    assert found.on_picture == pytest.approx((6 + 2 + 2 + 6) / 4 / 16)


@pytest.mark.parametrize("recipe", [Recipe.NATIVE, Recipe.SQUASH448, Recipe.CROP448])
@pytest.mark.parametrize("size", [(40, 40), (55, 31), (7, 90), (3, 2)])
@pytest.mark.parametrize("grid", [(4, 4), (3, 5), (1, 1)])
def test_spreading_is_what_counting_fine_dots_gives(recipe, size, grid):
    """Each pixel is cut into 60 x 60 dots (all edges fall between dots); a dot takes its cell's share for its area."""
    width, height = size
    cells = np.random.default_rng(0).random(grid).astype(np.float32)
    fine = 60
    side = min(size)
    left, top, wide, high = (0, 0, width, height) if recipe.kind != "crop" else (
        (width - side) // 2, (height - side) // 2, side, side,
    )  # fmt: skip
    expected = np.zeros((height * fine, width * fine))
    rows = np.arange(high * fine) * grid[0] // (high * fine)
    columns = np.arange(wide * fine) * grid[1] // (wide * fine)
    dots = cells[rows][:, columns] * grid[0] * grid[1] / (wide * high * fine * fine)
    expected[top * fine : (top + high) * fine, left * fine : (left + wide) * fine] = dots
    expected = expected.reshape(height, fine, width, fine).sum(axis=(1, 3))
    found = spread(cells, width, height, recipe)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)
    assert found.sum() == pytest.approx(cells.sum(), rel=1e-5)


@pytest.mark.parametrize("size", [(300, 200), (201, 300), (160, 160)])
@pytest.mark.parametrize("recipe", [Recipe.NATIVE, Recipe.CROP448, Recipe.SQUASH448])
def test_what_is_seen_decides_what_the_processor_is_shown(noise, recipe, size):
    """Another picture around the part that is seen makes no difference, and within it every pixel can."""
    picture = noise(*size)
    left, top, right, bottom = recipe.seen(*size)
    around = noise(*size, seed=1)
    around.paste(picture.crop((left, top, right, bottom)), (left, top))
    assert recipe.apply(around).tobytes() == recipe.apply(picture).tobytes()
    for corner in ((left, top), (right - 1, bottom - 1)):
        changed = picture.copy()
        changed.putpixel(corner, tuple(255 - value for value in picture.getpixel(corner)))
        assert recipe.apply(changed).tobytes() != recipe.apply(picture).tobytes()
