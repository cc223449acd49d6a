"""The plan of docs/scale.md: the arithmetic, and that the page has it."""

import importlib.util
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("plan_scale", DOCS / "plan_scale.py")
    module = importlib.util.module_from_spec(spec)
    # Its dataclass looks its own module up.
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "plan_scale", module)
        spec.loader.exec_module(module)
        yield module


def test_the_page_has_the_table_of_the_script(script):
    assert script.table(script.Assumptions()) in (DOCS / "scale.md").read_text()


def test_round_assumptions_give_round_costs(script):
    """36 million images at 100 a second are 100 hours: 5 GPUs for a day that is 24 hours."""
    given = replace(
        script.Assumptions(), images_per_gpu_second=100, busy=1, days=1, cpu_milliseconds=20, image_bytes=1e6,
        vector_bytes=800, row_bytes=200, part_rows=1000, gpu_price=2, storage_price=10,
    )  # fmt: skip
    images, hours, gpus, cores, stored, table, parts, compute, storage = script.plan(36_000_000, given)
    assert (images, hours, gpus, cores) == ("36,000,000", "100", str(math.ceil(100 / 24)), "10")
    assert (stored, table, parts) == ("36", "36", "36,000")
    assert (compute, storage) == ("200", "360")
