"""Products in 8 bits: what they compute, who may ask for them, and that vectors which suffer are refused.

No GPU is needed: what is said of fp8 here is held with another rounding in the place of torchao's (see test_fp8.py).
"""

from dataclasses import replace

import pytest
import torch

from relsim.captions.captioner import Captioner
from relsim.encoders import registry
from relsim.errors import CheckpointError, DeviceError, MissingExtraError
from relsim.models import eight_bits
from relsim.models.eight_bits import LEAST_COSINE, check_device, check_vectors, drawn_pictures, int8_is_exact, to_int8
from relsim.models.layers import Linear, padded

exact_int8 = pytest.mark.skipif(not int8_is_exact(), reason="this processor has no exact 8-bit products")


@pytest.fixture
def linear():
    """A product of 48 numbers to 20, with bias."""
    generator = torch.Generator().manual_seed(0)
    return Linear(torch.randn(20, 48, generator=generator), torch.randn(20, generator=generator))


@pytest.fixture
def fake(monkeypatch):
    """`fake(rounding, name="fp8")` puts a rounding on the CPU in a name's place and lists the products it is given."""

    def install(rounding, name="fp8"):
        given = []

        def note(linear):
            given.append(linear)
            return rounding(linear)

        monkeypatch.setattr(eight_bits, "ROUNDINGS", {name: ("cpu", note)})
        monkeypatch.setattr("relsim.models.loading.ROUNDINGS", eight_bits.ROUNDINGS)
        return given

    return install


@exact_int8
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_product_of_whole_numbers_is_exact(dtype):
    """Where the largest of each row is 127, nothing is rounded."""
    generator = torch.Generator().manual_seed(1)
    x, weight = (torch.randint(-9, 10, size, generator=generator).float() for size in ((5, 24), (6, 24)))
    x[:, 0] = weight[:, 0] = 127
    found = to_int8(Linear(weight.to(dtype), torch.ones(6, dtype=dtype)))(x.to(dtype))
    assert found.dtype is dtype
    assert torch.equal(found, (x @ weight.T + 1).to(dtype))


@exact_int8
def test_rounding_errs_by_half_a_step_at_most(linear):
    """An input is off by half of its row's step at most, a weight by half of its own."""
    x = torch.randn(7, 48, generator=torch.Generator().manual_seed(2))
    steps, own = x.abs().amax(-1) / 127, linear.weight.abs().amax(-1) / 127
    bound = steps[:, None] / 2 * linear.weight.abs().sum(-1) + own / 2 * (x.abs() + steps[:, None] / 2).sum(-1)[:, None]
    off = (to_int8(linear)(x) - linear(x)).abs()
    assert (off <= bound * 1.0001 + 1e-6).all()
    assert off.max() > 0


@exact_int8
def test_a_row_does_not_depend_on_its_batch(linear):
    """Not to the last bit, in batches of any shape and beyond the rows that are taken at a time."""
    x = torch.randn(600, 48, generator=torch.Generator().manual_seed(3))
    x[17] *= 1e4
    x[18] = 0
    product = to_int8(linear)
    whole = product(x)
    assert torch.equal(whole[18], linear.bias)
    assert torch.equal(torch.cat([product(x[row : row + 1]) for row in (0, 17, 300, 599)]), whole[[0, 17, 300, 599]])
    assert torch.equal(product(x.view(6, 100, 48)).flatten(0, 1), whole)


@exact_int8
def test_the_metric_in_int8(load_golden, packed, golden_pictures, embed):
    """Near the exact vectors, told in the fingerprint, and independent of the batch as ever."""
    model = load_golden(dtype="int8")
    found = embed(model, golden_pictures)
    cosines = (found * embed(packed, golden_pictures)).sum(1)
    assert 0.995 < cosines.min() < cosines.max() < 1 - 1e-6
    assert model.fingerprint.to_dict() == {**packed.fingerprint.to_dict(), "precision": "int8"}
    alone = torch.cat([embed(model, [picture]) for picture in golden_pictures])
    assert (found * alone).sum(1).min() >= 0.9995


@exact_int8
def test_a_table_says_int8_and_its_queries_are_embedded_so(golden):
    options = {"checkpoint_dir": str(golden / "relsim"), "base_model": str(golden / "base"), "device": "cpu"}
    encoder = registry.load_encoder("relational", **options, dtype="int8")
    origin = registry.origin_of("relational", encoder, {**options, "dtype": "int8"})
    assert origin["dtype"] == "int8"
    assert registry.encoder_of(origin).fingerprint == encoder.fingerprint


def test_each_product_of_every_layer_is_rounded(load_golden, fake, embed, golden_pictures):
    """By another rounding under the name of fp8: vectors are its, and the prefix is read with it."""
    given = fake(lambda linear: Linear((linear.weight.float() * 1.02).to(linear.weight.dtype), linear.bias))
    model, usual = load_golden(dtype="fp8"), load_golden(dtype="bfloat16")
    blocks = [*usual._forward._vision.blocks, *usual._forward._language.blocks]
    blocks = [replace(block, mlp=padded(block.mlp, 16)) for block in blocks]
    assert [linear.weight.shape for linear in given] == [
        linear.weight.shape for block in blocks for linear in (block.qkv, block.out, block.mlp.gate, block.mlp.down)
    ]
    assert model.fingerprint.to_dict() == {**usual.fingerprint.to_dict(), "precision": "fp8"}
    assert not torch.equal(embed(model, golden_pictures[:2]), embed(usual, golden_pictures[:2]))
    for old, new in zip(usual._forward._language._prefix[1:], model._forward._language._prefix[1:], strict=True):
        assert not torch.equal(old[0], new[0])


def test_sides_are_brought_to_what_a_gpu_takes(load_golden, fake, embed, golden_pictures):
    """The golden tower's inner width of 180 becomes 192; with nothing rounded the vectors are the same."""
    given = fake(lambda linear: linear)
    model, usual = load_golden(dtype="fp8"), load_golden(dtype="bfloat16")
    assert not any(side % 16 for linear in given for side in linear.weight.shape)
    assert {linear.weight.shape[1] for linear in given} >= {192}
    assert usual._forward._vision.blocks[0].mlp.down.weight.shape[1] == 180
    cosines = (embed(model, golden_pictures) * embed(usual, golden_pictures)).sum(1)
    assert cosines.min() >= 0.99995


@pytest.mark.parametrize("spoil", [torch.zeros_like, lambda w: w.roll(1, 0), lambda w: w * float("nan")])
def test_a_model_that_suffers_is_refused(load_golden, fake, spoil):
    fake(lambda linear: Linear(spoil(linear.weight), linear.bias))
    with pytest.raises(CheckpointError, match=r"cosine of .* name another precision"):
        load_golden(dtype="fp8")


@pytest.mark.parametrize("name", ["int8", "fp8"])
@pytest.mark.parametrize(("above", "passes"), [(1e-4, True), (-1e-4, False)])
def test_the_worst_picture_decides(name, above, passes):
    cosine = LEAST_COSINE[name] + above
    exact = torch.eye(3)
    found = exact.clone()
    found[1] = torch.tensor([(1 - cosine**2) ** 0.5, cosine, 0])
    if passes:
        check_vectors(name, exact, found)
    else:
        with pytest.raises(CheckpointError, match=rf"in {name} .* {cosine:.4f} "):
            check_vectors(name, exact, found)


def test_drawn_pictures_are_different_and_always_the_same(packed, embed):
    first, again = (embed(packed, drawn_pictures()) for _ in range(2))
    assert torch.equal(first, again)
    assert (first @ first.T).fill_diagonal_(0).max() < 0.98


def test_each_is_for_its_device(load_golden):
    with pytest.raises(DeviceError, match="fp8 is for cuda, not for cpu"):
        load_golden(dtype="fp8")
    with pytest.raises(DeviceError, match="int8 is for cpu, not for cuda"):
        check_device("int8", torch.device("cuda"))


@pytest.mark.parametrize(("capability", "passes"), [((8, 0), False), ((8, 6), False), ((8, 9), True), ((9, 0), True)])
def test_fp8_is_for_gpus_that_have_such_products(monkeypatch, capability, passes):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(eight_bits, "find_spec", lambda name: name)
    if passes:
        check_device("fp8", torch.device("cuda:1"))
    else:
        with pytest.raises(DeviceError, match=rf"cuda:1 has no 8-bit floats: .* {'.'.join(map(str, capability))}, and"):
            check_device("fp8", torch.device("cuda:1"))


def test_fp8_asks_for_its_package_before_anything_is_loaded(monkeypatch):
    monkeypatch.setattr(eight_bits, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'torchao: pip install "relsim\[fp8\]"'):
        check_device("fp8", torch.device("cuda"))


def test_a_processor_whose_products_overflow_is_told(load_golden, monkeypatch):
    """With AVX2 alone a sum of two products stops at 16 bits, which the vectors would show."""
    monkeypatch.setattr(torch, "_int_mm", lambda x, y: torch.full((len(x), y.shape[1]), 2**15 - 1, dtype=torch.int32))
    int8_is_exact.cache_clear()
    try:
        with pytest.raises(DeviceError, match="no VNNI"):
            load_golden(dtype="int8")
    finally:
        int8_is_exact.cache_clear()


@exact_int8
def test_other_engines_and_captioners_have_no_such_products(load_golden, golden):
    with pytest.raises(CheckpointError, match="leave engine unset"):
        load_golden("/nowhere/else", dtype="int8", engine="plain")
    with pytest.raises(DeviceError, match="unknown precision 'int8'"):
        Captioner.load(golden / "captioner", base_model=golden / "base", dtype="int8")
