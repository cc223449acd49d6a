"""Where patches and tokens stand, held to transformers' own index functions and to counting by hand."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from relsim.models.layout import Segments, batch_layout, equal_runs, grid_layout, prompt_positions

PATCH, MERGE, WINDOW_PIXELS = 14, 2, 112
WINDOW = WINDOW_PIXELS // MERGE // PATCH

GRIDS = [(2, 2), (2, 80), (80, 2), (8, 8), (10, 10), (6, 6), (26, 18), (18, 26), (32, 32), (4, 66)]


def random_grids(seed, count):
    rng = np.random.default_rng(seed)
    return [tuple(int(side) for side in 2 * rng.integers(1, 30, 2)) for _ in range(count)]


def thw(grids):
    return torch.tensor([[1, *grid] for grid in grids])


@pytest.mark.parametrize("grid", [*GRIDS, *random_grids(0, 30)], ids=str)
def test_windows_are_transformers_own(grid):
    from transformers.vision_utils import get_vision_window_index

    index, edges = get_vision_window_index(thw([grid]), MERGE, WINDOW_PIXELS, PATCH)
    layout = grid_layout(grid, MERGE, WINDOW)
    np.testing.assert_array_equal(layout.order.reshape(-1, 4)[:, 0] // 4, index)
    np.testing.assert_array_equal(layout.windows, edges.diff())
    np.testing.assert_array_equal(layout.reading, torch.argsort(index))


@pytest.mark.parametrize("grid", [*GRIDS, *random_grids(1, 30)], ids=str)
def test_patch_positions_are_transformers_own(grid):
    from transformers.vision_utils import get_vision_position_ids

    layout = grid_layout(grid, MERGE, WINDOW)
    np.testing.assert_array_equal(layout.positions, get_vision_position_ids(thw([grid]), MERGE)[layout.order])


@pytest.mark.parametrize("window", [1, 2, 3, 4, 7])
def test_a_window_holds_one_square_of_the_picture(window):
    """By brute force: two patches share a window exactly if they fall into the same square of tokens."""
    layout = grid_layout((18, 26), MERGE, window)
    number = np.repeat(np.arange(len(layout.windows)), layout.windows)
    squares = layout.positions // (MERGE * window)
    for i in range(0, len(number), 5):
        np.testing.assert_array_equal(number == number[i], (squares == squares[i]).all(axis=1))


@pytest.fixture(scope="module")
def rope_index():
    """`rope_index(ids, grids)`: transformers' multimodal positions (3, B, T) for padded prompts."""
    from transformers import Qwen2_5_VLConfig
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLModel

    with torch.device("meta"):
        model = Qwen2_5_VLModel(
            Qwen2_5_VLConfig(
                text_config={
                    "hidden_size": 16,
                    "num_hidden_layers": 1,
                    "num_attention_heads": 1,
                    "num_key_value_heads": 1,
                    "intermediate_size": 16,
                    "vocab_size": 32,
                    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]},
                },
                vision_config={"depth": 1, "hidden_size": 16, "num_heads": 1, "intermediate_size": 16},
            )
        )

    def run(types, grid):
        positions, _ = model.get_rope_index(
            input_ids=torch.ones_like(types), mm_token_type_ids=types, image_grid_thw=thw([grid])
        )
        return positions[:, 0].T.numpy()

    return run


@pytest.mark.parametrize("grid", [*GRIDS, *random_grids(2, 20)], ids=str)
@pytest.mark.parametrize(("prefix", "suffix"), [(15, 2), (1, 1), (4, 7)])
def test_token_positions_are_transformers_own(rope_index, grid, prefix, suffix):
    merged = (grid[0] // MERGE, grid[1] // MERGE)
    types = torch.tensor([[0] * prefix + [1] * (merged[0] * merged[1]) + [0] * suffix])
    np.testing.assert_array_equal(prompt_positions(merged, prefix, suffix), rope_index(types, grid)[prefix:])


@pytest.mark.parametrize("lengths", [(5,), (64, 64, 16), (1, 2, 1), (3, 3, 3), (4, 4, 2, 2, 2, 4)])
def test_runs_cover_every_segment_once(lengths):
    """Written out again, the runs give the lengths; no two runs in a row have the same length."""
    runs = equal_runs(lengths)
    assert [run.length for run in runs for _ in range(run.count)] == list(lengths)
    assert [run.start for run in runs] == [0, *(run.stop for run in runs[:-1])]
    assert all(a.length != b.length for a, b in pairwise(runs))


def test_runs_of_the_example():
    assert equal_runs((64, 64, 16)) == (Segments(0, 2, 64), Segments(128, 1, 16))


def batches():
    by_area = [sorted(random_grids(seed, 1 + seed % 6), key=lambda grid: grid[0] * grid[1]) for seed in range(12)]
    return [*by_area, [(8, 8)] * 3, [(2, 2), (2, 2), (8, 8)], [(8, 18), (12, 12)]]


@pytest.fixture(params=batches(), ids=str)
def batch(request):
    """Grids sorted by area, and the layout of their batch with 15 tokens before and 2 after the image."""
    return request.param, batch_layout(request.param, merge=MERGE, window=WINDOW, prefix=15, suffix=2)


def rows_of(segments):
    """Every segment as the set of its rows."""
    rows = []
    for run in segments:
        block = np.arange(run.start, run.stop) if run.rows is None else run.rows
        rows += [frozenset(segment.tolist()) for segment in block.reshape(run.count, run.length)]
    return rows


def owners(grids):
    """(patches, 3) of the batch in processor order: number of the picture, row and column of the patch."""
    from transformers.vision_utils import get_vision_position_ids

    return np.concatenate(
        [
            np.column_stack([np.full(grid[0] * grid[1], number), get_vision_position_ids(thw([grid]), MERGE)])
            for number, grid in enumerate(grids)
        ]
    )


def test_every_patch_stands_once(batch):
    grids, layout = batch
    np.testing.assert_array_equal(np.sort(layout.order), np.arange(sum(h * w for h, w in grids)))


def test_positions_go_with_their_patches(batch):
    grids, layout = batch
    np.testing.assert_array_equal(layout.positions, owners(grids)[layout.order, 1:])


def test_windows_hold_the_patches_that_share_a_square(batch):
    """By brute force over picture, row and column of every patch."""
    grids, layout = batch
    where = owners(grids)[layout.order]
    squares = np.column_stack([where[:, 0], where[:, 1:] // (MERGE * WINDOW)])
    wanted = {}
    for row, square in enumerate(squares.tolist()):
        wanted.setdefault(tuple(square), set()).add(row)
    assert set(rows_of(layout.windows)) == set(map(frozenset, wanted.values()))


def test_pictures_hold_the_patches_of_one_picture(batch):
    grids, layout = batch
    number = owners(grids)[layout.order, 0]
    assert set(rows_of(layout.pictures)) == {frozenset(np.flatnonzero(number == i).tolist()) for i in range(len(grids))}


def test_prompts_show_the_picture_in_reading_order_then_the_suffix(batch):
    """Row by row, merged tokens are followed by the two tokens of the suffix."""
    grids, layout = batch
    where = owners(grids)[layout.order].reshape(-1, MERGE**2, 3)[:, 0]
    start = 0
    for number, (height, width) in enumerate(grids):
        count = height * width // MERGE**2
        tokens = layout.tokens[start : start + count + 2]
        reading = [[number, row, column] for row in range(0, height, MERGE) for column in range(0, width, MERGE)]
        np.testing.assert_array_equal(where[tokens[:count]], reading)
        np.testing.assert_array_equal(tokens[count:], len(where) + np.arange(2))
        assert layout.last[number] == start + count + 1
        start += count + 2
    assert start == len(layout.tokens) == len(layout.token_positions) == layout.prompts[-1].stop
    assert sum(run.count for run in layout.prompts) == len(grids)
