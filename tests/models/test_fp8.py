"""Products in 8-bit floats by torchao itself, on a CPU, where torch computes them slowly and in the same way."""

from types import MappingProxyType

import pytest
import torch

from relsim.errors import CheckpointError, DeviceError
from relsim.models import eight_bits, loading
from relsim.models.eight_bits import LEAST_COSINE, to_fp8
from relsim.models.layers import Linear

quant_api = pytest.importorskip("torchao.quantization.quant_api", reason='the extra "fp8" is not installed')

STEP = 2**-4
"""Half of the step between 8-bit floats with three bits after the point, of a number between 1 and 2."""


@pytest.fixture
def on_cpu(monkeypatch):
    """torchao without its question for a GPU, and fp8 for this device."""
    monkeypatch.setattr(quant_api, "_check_hardware_support", lambda granularity: None)
    roundings = MappingProxyType({"fp8": ("cpu", to_fp8)})
    monkeypatch.setattr(eight_bits, "ROUNDINGS", roundings)
    monkeypatch.setattr(loading, "ROUNDINGS", roundings)
    monkeypatch.setattr(loading, "check_device", lambda name, device: None)


@pytest.fixture
def drawn():
    """`drawn(rows, columns)`: numbers in bf16, always the same."""
    generator = torch.Generator().manual_seed(0)
    return lambda *shape: torch.randn(*shape, generator=generator).bfloat16()


def product(linear, x):
    with torch.inference_mode():
        return linear(x).float()


def test_a_product_is_that_of_numbers_rounded_by_row(on_cpu, drawn):
    linear, x = Linear(drawn(32, 48), drawn(32)), drawn(7, 48)
    exact, found = product(linear, x), product(to_fp8(linear), x)
    most = 2 * STEP * (x.float().abs() @ linear.weight.float().abs().T) + STEP
    assert ((found - exact).abs() <= most).all()
    assert not torch.equal(found, exact)
    # By row: a picture's numbers do not depend on the rest of its batch, nor a large row on a small one.
    assert torch.equal(found[:1], product(to_fp8(linear), x[:1]))
    scaled = product(to_fp8(Linear(torch.cat([linear.weight[:1], 1024 * linear.weight[1:]]), None)), x)
    assert torch.equal(scaled[:, 0], product(to_fp8(Linear(linear.weight, None)), x)[:, 0])


def test_rows_of_zeros_stay_zero(on_cpu, drawn):
    """Of a weight, as of a widened MLP, and of what it is multiplied with; torchao alone makes NaN of both."""
    weight, x = drawn(32, 48), drawn(5, 48)
    weight[-3:] = 0
    x[2] = 0
    found = product(to_fp8(Linear(weight)), x)
    assert found.isfinite().all()
    assert found[:, -3:].abs().max() < 1e-9
    assert found[2].abs().max() == 0
    assert (weight[-3:] == 0).all()  # the one that was given stays as it was


@pytest.mark.parametrize("shape", [(3420, 1280), (1280, 3420)])
def test_sides_that_the_hardware_does_not_take_stay(on_cpu, shape):
    linear = Linear(torch.ones(shape))
    assert to_fp8(linear) is linear


def test_what_torchao_says_against_a_device_is_one_line():
    with pytest.raises(DeviceError, match=r"no products in fp8 on cpu: Float8 dynamic quantization requires"):
        to_fp8(Linear(torch.ones(32, 32).bfloat16()))


def test_a_metric_in_fp8_is_near_the_one_in_bf16(on_cpu, load_golden, golden_pictures, embed, monkeypatch):
    """That its small random network is far from the gate is found by the gate."""
    with pytest.raises(CheckpointError, match=rf"in fp8 .* cosine of 0\.9\d+ .* {LEAST_COSINE['fp8']}"):
        load_golden(dtype="fp8")
    monkeypatch.setattr(eight_bits, "LEAST_COSINE", {"fp8": 0.98})
    found, usual = (embed(load_golden(dtype=name), golden_pictures) for name in ("fp8", "bfloat16"))
    assert (found * usual).sum(dim=1).min() > 0.98


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own compiler, when it is imported
def test_it_may_be_compiled(on_cpu, load_golden, golden_pictures, embed, monkeypatch):
    monkeypatch.setattr(eight_bits, "LEAST_COSINE", {"fp8": 0.98})
    found, usual = (embed(load_golden(dtype="fp8", engine=engine), golden_pictures) for engine in ("compiled", None))
    assert (found * usual).sum(dim=1).min() > 0.995


def test_settings_of_the_process_stay_as_they_were(on_cpu, drawn):
    """torchao's own advice is to round products in fp32, for everyone."""
    import torch._inductor.config as inductor

    before = torch.get_float32_matmul_precision(), inductor.get_config_copy()
    to_fp8(Linear(drawn(32, 48)))
    assert (torch.get_float32_matmul_precision(), inductor.get_config_copy()) == before
