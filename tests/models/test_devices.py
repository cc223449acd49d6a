"""Devices and precisions by name, and what a machine without CUDA answers."""

import pytest
import torch
from safetensors.torch import load_file

from relsim.captions.answering import load_answering
from relsim.captions.checkpoint import read_captioner
from relsim.errors import DeviceError
from relsim.models import devices
from relsim.models.base import count_products
from relsim.models.devices import MATTERS, WORTH_IT, bf16_is_quicker, choose_device, choose_dtype, has_amx
from relsim.models.embedded import NAMES
from relsim.models.hub import resolve_folder

CPU = torch.device("cpu")
without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")


@pytest.mark.parametrize("name", ["cpu", CPU])
def test_the_cpu_by_name(name):
    assert choose_device(name) == CPU


def test_the_default_is_what_the_machine_has():
    assert choose_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


@without_cuda
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:7", torch.device("cuda")])
def test_absent_cuda(name):
    with pytest.raises(DeviceError, match=r"no CUDA device"):
        choose_device(name)


@pytest.mark.parametrize("name", ["gpu", "", "cpu:x", "7e", "cuda:"])
def test_no_device_of_that_name(name):
    with pytest.raises(DeviceError, match=r"no device|examples"):
        choose_device(name)


@pytest.mark.parametrize("name", ["meta", "xla", "mps"])
def test_devices_that_are_not_used(name):
    with pytest.raises(DeviceError, match=r"cpu or cuda"):
        choose_device(name)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("float32", torch.float32), ("bfloat16", torch.bfloat16), (torch.bfloat16, torch.bfloat16)],
)
def test_precision_by_name(name, dtype):
    assert choose_dtype(CPU, name) is dtype


@pytest.mark.parametrize(
    ("capability", "dtype"),
    [((7, 0), torch.float32), ((7, 5), torch.float32), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)],
)
def test_gpus_that_only_emulate_bf16_compute_in_fp32(monkeypatch, capability, dtype):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert choose_dtype(torch.device("cuda")) is dtype
    assert choose_dtype(torch.device("cuda"), "bfloat16") is torch.bfloat16


@pytest.mark.parametrize("name", ["float64", "int8", "bf16", "", torch.float64])
def test_unknown_precision_names_the_known_ones(name):
    with pytest.raises(DeviceError, match=r"float32, bfloat16, float16"):
        choose_dtype(CPU, name)


def test_half_precision_is_not_for_a_cpu():
    with pytest.raises(DeviceError, match=r"float16 is for CUDA"):
        choose_dtype(CPU, "float16")


def test_bf16_only_where_it_has_hardware():
    """On a CPU that means AMX; the golden tests hold fp32 to the published numbers."""
    assert choose_dtype(CPU) is (torch.bfloat16 if has_amx() else torch.float32)


@pytest.fixture
def plain_cpu(monkeypatch):
    """A CPU without AMX, on which nothing has been measured yet."""
    monkeypatch.setattr(devices, "has_amx", lambda: False)
    bf16_is_quicker.cache_clear()
    yield
    bf16_is_quicker.cache_clear()


@pytest.fixture
def seconds(monkeypatch, plain_cpu):
    """`seconds(fp32, bf16)` makes products take that long and returns the list of those that were tried."""

    def pretend(fp32, bf16):
        tried = []

        def take(x, weight):
            assert x.dtype is weight.dtype
            assert torch.get_num_threads() == 1
            tried.append(x.dtype)
            return fp32 if x.dtype is torch.float32 else bf16

        monkeypatch.setattr(devices, "_seconds", take)
        return tried

    return pretend


def test_large_networks_take_what_is_quicker(seconds):
    seconds(WORTH_IT, 1.0)
    assert choose_dtype(CPU, weights=MATTERS) is torch.bfloat16


def test_a_little_quicker_is_not_worth_the_rounding(seconds):
    seconds(WORTH_IT - 0.01, 1.0)
    assert choose_dtype(CPU, weights=MATTERS) is torch.float32


def test_products_are_tried_once_in_a_process(seconds):
    tried = seconds(3.0, 1.0)
    for _ in range(3):
        choose_dtype(CPU, weights=10 * MATTERS)
    assert len(tried) == 12  # of each precision one to prepare and five that count


def test_emulated_products_are_not_tried_again(seconds):
    tried = seconds(1.0, 30.0)
    assert not bf16_is_quicker()
    assert tried.count(torch.bfloat16) == 2


@pytest.mark.parametrize("options", [{}, {"weights": MATTERS - 1}, {"weights": MATTERS, "name": "float32"}])
def test_nothing_is_tried_where_nothing_depends_on_it(seconds, options):
    tried = seconds(3.0, 1.0)
    assert choose_dtype(CPU, **options) is torch.float32
    assert tried == []


def test_trying_products_leaves_torch_as_it_was(plain_cpu):
    before = torch.get_num_threads()
    assert isinstance(bf16_is_quicker(), bool)
    assert torch.get_num_threads() == before


def test_tables_are_not_counted(golden):
    """A network of a few weights under a table of 152,064 rows is a small one."""
    tensors = load_file(golden / "base" / "model.safetensors")
    tables = sum(tensor.numel() for name, tensor in tensors.items() if "embed_tokens" in name or "lm_head" in name)
    assert count_products(golden / "base") == sum(tensor.numel() for tensor in tensors.values()) - tables > tables > 0


@pytest.mark.parametrize("name", [name for name in NAMES if "captioner" not in name])
def test_embedded_models_have_the_same_vectors_on_every_processor_without_amx(name):
    assert 0 < count_products(resolve_folder(name)) < MATTERS


@pytest.fixture
def quick_bf16(monkeypatch, plain_cpu):
    """A CPU with quick products in bf16, where every network is large enough."""
    monkeypatch.setattr(devices, "MATTERS", 1000)
    monkeypatch.setattr(devices, "bf16_is_quicker", lambda: True)


def test_the_metric_is_loaded_so(quick_bf16, load_golden, packed, golden_pictures, embed):
    """Rounded vectors agree with the exact ones, and a precision that is named counts for more."""
    chosen = load_golden(dtype=None)
    assert chosen.fingerprint.to_dict()["precision"] == "bfloat16"
    assert (embed(chosen, golden_pictures) * embed(packed, golden_pictures)).sum(1).min() >= 0.9995
    assert load_golden(dtype="float32").dtype is torch.float32


def test_what_answers_is_loaded_so(quick_bf16, golden):
    folder = golden / "captioner"
    answering = load_answering(folder, read_captioner(folder), base_model=golden / "base", device="cpu")
    assert answering.facts["precision"] == "bfloat16"
