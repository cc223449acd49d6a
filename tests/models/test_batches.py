"""A row does not depend on the rest of its batch, and the packed pass computes what transformers computes."""

import numpy as np
import pytest
import torch

from relsim.metric import RelationalSimilarity

TOLERANCE = 1e-5

ODD_GRIDS = {  # width x height in pixels
    "smallest": (28, 28),
    "one row, 40:1": (1120, 28),
    "one column, 1:40": (28, 1120),
    "one window exactly": (112, 112),
    "one token more than a window": (140, 140),
    "one token less than a window": (84, 84),
    "13 x 9 tokens": (13 * 28, 9 * 28),
    "5 x 4 tokens": (5 * 28, 4 * 28),
    "4 x 5 tokens": (4 * 28, 5 * 28),
    "rounded sides": (301, 199),
    "enlarged to the smallest area": (3, 5),
}


@pytest.fixture(scope="module")
def pictures(golden_pictures):
    """The golden pictures but the largest, which takes as long as the others together."""
    return golden_pictures[:10] + golden_pictures[11:]


@pytest.fixture(scope="module")
def alone(vlm, pictures):
    """Each picture embedded in a batch of its own."""
    return torch.cat([vlm.embed([vlm.prepare(picture)]) for picture in pictures])


@pytest.mark.parametrize("size", [1, 4, 16])
def test_batch_size_changes_nothing(vlm, pictures, alone, size):
    found = RelationalSimilarity(vlm).embed(pictures[:: 4 if size == 1 else 1], micro_batch_size=size)
    assert (found - alone[:: 4 if size == 1 else 1]).abs().max() <= TOLERANCE


def test_batches_cut_by_memory_change_nothing(packed, golden_pictures, embed):
    """Among them a picture that fills a batch by itself."""
    found = RelationalSimilarity(packed).embed(golden_pictures)
    assert (found - embed(packed, golden_pictures)).abs().max() <= TOLERANCE


def test_order_changes_nothing(vlm, pictures, alone, embed):
    order = np.random.default_rng(3).permutation(len(pictures))
    found = embed(vlm, [pictures[i] for i in order])
    assert (found - alone[order]).abs().max() <= TOLERANCE


def test_duplicates_get_equal_rows(vlm, pictures, alone, embed):
    rows = [1, 3, 1, 5, 3, 1]
    found = embed(vlm, [pictures[i] for i in rows])
    assert (found - alone[rows]).abs().max() <= TOLERANCE


def test_empty_batch_gives_no_row(vlm):
    assert vlm.embed([]).shape == (0, 384)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_number_of_lanes_changes_nothing(packed, golden_pictures, embed, threads):
    """On a CPU a batch runs in as many lanes as torch has threads."""
    pictures = golden_pictures[:6]
    before, reference = torch.get_num_threads(), embed(packed, pictures)
    torch.set_num_threads(threads)
    try:
        found = embed(packed, pictures)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert (found - reference).abs().max() <= TOLERANCE


@pytest.mark.parametrize("name", ODD_GRIDS)
def test_odd_grid_alone(packed, plain, noise, embed, name):
    picture = noise(*ODD_GRIDS[name])
    assert (embed(packed, [picture]) - embed(plain, [picture])).abs().max() <= TOLERANCE


def test_odd_grids_together(vlm, packed, noise, embed):
    pictures = [noise(*size, seed) for seed in range(2) for size in ODD_GRIDS.values()]
    single = torch.cat([embed(packed, [picture]) for picture in pictures])
    assert (embed(vlm, pictures) - single).abs().max() <= TOLERANCE


@pytest.mark.parametrize("seed", range(6))
def test_packed_equals_plain_on_random_batches(packed, plain, noise, embed, seed):
    rng = np.random.default_rng(seed)
    pictures = [noise(*(int(side) for side in rng.integers(5, 420, 2)), seed) for _ in range(int(rng.integers(2, 9)))]
    pictures += pictures[:1]
    assert (embed(packed, pictures) - embed(plain, pictures)).abs().max() <= TOLERANCE


@pytest.fixture(scope="module")
def in_bf16(load_golden, pictures, embed):
    """Embeddings in bf16 by engine."""
    return {engine: embed(load_golden(engine=engine, dtype="bfloat16"), pictures) for engine in ("packed", "plain")}


@pytest.mark.parametrize("engine", ["packed", "plain"])
def test_bf16_stays_near_fp32(in_bf16, packed, pictures, embed, engine):
    """Embeddings come back as fp32 unit rows whatever the network's precision."""
    found = in_bf16[engine]
    assert found.dtype == torch.float32
    cosine = (found * embed(packed, pictures)).sum(1)
    assert cosine.min() >= 0.9995


def test_bf16_packed_is_as_near_to_fp32_as_plain(in_bf16, packed, pictures, embed):
    """The packed pass rounds no more than transformers' own forward does."""
    reference = embed(packed, pictures)
    loss = {engine: (1 - (found * reference).sum(1)).mean().item() for engine, found in in_bf16.items()}
    assert loss["packed"] <= 1.5 * loss["plain"]
