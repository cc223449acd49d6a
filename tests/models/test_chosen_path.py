"""The forward pass that is chosen where nobody names one, against transformers' own: recipe, precision, batch size."""

import pytest
import torch

from relsim.models.packed import PackedQwen25VL
from relsim.models.plain import PlainForward

RECIPES = ("native", "crop112", "squash140", "crop448", "squash448")  # 448: 16 whole windows; 140: one and a bit
SIZES = [(301, 199), (140, 140), (640, 360), (56, 220), (97, 112), (28, 28), (448, 448)]


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def precision(request):
    return request.param


@pytest.fixture(scope="module", params=RECIPES)
def both(request, load_golden, precision):
    """The golden network as it is loaded by default, and on transformers' own forward."""
    return tuple(load_golden(recipe=request.param, dtype=precision, engine=engine) for engine in (None, "plain"))


@pytest.fixture(scope="module")
def oracle(both, noise):
    """Vectors of transformers' own forward, each picture alone."""
    plain = both[1]
    assert isinstance(plain._forward, PlainForward)
    return torch.cat([plain.embed([plain.prepare(picture)]) for picture in pictures(noise)])


def pictures(noise):
    return [noise(*size, seed) for seed, size in enumerate(SIZES)]


@pytest.mark.parametrize("batch", [1, 3, 5, 7])
def test_the_chosen_path_computes_what_transformers_computes(both, oracle, precision, noise, batch):
    """Batches of one, of odd numbers and of all, the last one incomplete."""
    chosen = both[0]
    assert isinstance(chosen._forward, PackedQwen25VL)
    assert chosen.dtype is getattr(torch, precision)
    prepared = [chosen.prepare(picture) for picture in pictures(noise)]
    found = torch.cat([chosen.embed(prepared[start : start + batch]) for start in range(0, len(prepared), batch)])
    assert (found * oracle).sum(1).min() >= 0.9995
    if precision == "float32":
        assert (found - oracle).abs().max() <= 1e-4
    others = found @ oracle.T
    assert (others.argmax(1) == torch.arange(len(found))).all(), "each picture's own vector is the nearest"
