"""Tables of a batch are made once for the batches that come again, and give what fresh ones give."""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from relsim.models.layers import frequencies, rotation_of
from relsim.models.layout import batch_layout
from relsim.models.tables import KEPT_TABLES, PatchRotations, TableMaker, TokenRotations

GRIDS = ((4, 6), (8, 10), (12, 8), (16, 16))


@pytest.fixture
def maker():
    """Tables of heads of 16 numbers, half of the frequencies for each of rows and columns."""
    own = frequencies(10_000.0, 8)
    text = TokenRotations(frequencies(1e6, 16), [2, 3, 3])
    return TableMaker(PatchRotations(own), text, 2, 4, 5, 2, torch.device("cpu"))


def test_rotations_are_those_of_the_angles(maker):
    """Row and column times the frequencies for a patch; for a token the position on the axis of each frequency."""
    tables, layout = maker.make(GRIDS), batch_layout(GRIDS, merge=2, window=4, prefix=5, suffix=2)
    angles = torch.from_numpy(layout.positions)[..., None] * frequencies(10_000.0, 8)
    assert torch.equal(tables.rotation, rotation_of(angles.flatten(1)))
    places = torch.from_numpy(layout.token_positions)
    axes = torch.tensor([0, 0, 1, 1, 1, 2, 2, 2])
    assert torch.equal(tables.token_rotation, rotation_of(places[:, axes] * frequencies(1e6, 16)))
    for name in ("order", "tokens", "last"):
        assert getattr(tables, name).tolist() == getattr(layout, name).tolist()
    assert [run.rows.tolist() for run in tables.pictures] == [run.rows.tolist() for run in layout.pictures]


def test_a_larger_grid_lengthens_the_table(maker):
    small, large = maker.make(GRIDS[:1]), maker.make(((60, 2),))
    assert torch.equal(maker.make(GRIDS[:1]).rotation, small.rotation)
    rows = torch.from_numpy(large.layout.positions[:, :1])
    assert rows.max() == 59
    assert torch.equal(large.rotation[:, :, :4], rotation_of(rows * frequencies(10_000.0, 8)))


def test_the_same_grids_have_one_table_and_few_are_kept(maker):
    tables = maker.kept()
    first = tables(GRIDS)
    assert tables(GRIDS) is first
    assert tables(GRIDS[::-1]) is not first
    for count in range(1, KEPT_TABLES + 1):
        tables(((2, 2),) * count)
    assert tables(GRIDS) is not first
    assert torch.equal(tables(GRIDS).rotation, first.rotation)


def test_threads_may_ask_at_the_same_time(maker):
    """Grids of growing sizes, so that the table of places is made anew under the others' hands."""
    wanted = [((2 * size, 4),) for size in range(1, 40)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(maker.kept(), wanted))
    for grids, tables in zip(wanted, found, strict=True):
        assert torch.equal(tables.rotation, maker.make(grids).rotation)


def test_a_batch_that_comes_again_gives_the_same(packed, golden_pictures):
    """Also after other batches, and in any order of its pictures."""
    prepared = [packed.prepare(picture) for picture in golden_pictures[:6]]
    first = packed._forward(prepared)
    packed._forward(prepared[:3])
    assert torch.equal(packed._forward(prepared), first)
    assert torch.equal(packed._forward(prepared[::-1]).flip(0), first)


def test_the_network_is_not_kept_alive_by_its_tables(load_golden, golden_pictures):
    """It goes with its last owner, without waiting for the garbage collector."""
    model = load_golden(engine="packed")
    model.embed([model.prepare(golden_pictures[0])])
    network = weakref.ref(model._forward)
    gc.disable()
    try:
        del model
        assert network() is None
    finally:
        gc.enable()
