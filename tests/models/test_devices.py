"""Devices and precisions by name, and what a machine without CUDA answers."""

import pytest
import torch

from relsim.errors import DeviceError
from relsim.models.devices import choose_device, choose_dtype, has_amx

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
    assert choose_dtype(torch.device("cuda")) is torch.bfloat16
