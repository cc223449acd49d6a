"""The plan of docs/scale.md: the arithmetic, and that the page has it."""

import importlib.util
import inspect
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

from relsim.vectors.build import PART_ROWS

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


@pytest.fixture(scope="module")
def given(script):
    """Round numbers: no share is lost, and a day is 24 hours."""
    return replace(
        script.Assumptions(), mini_images_per_second=200, mini_milliseconds=4, small_photo_milliseconds=16,
        cpu_seconds=5, gpu_images_per_second=100, large_photo_milliseconds=25, ray_share=1, busy=1, image_bytes=1e6,
        vector_bytes=800, row_bytes=200, list_bytes=500, part_rows=1000, images_per_request=10, days=1,
        machine_cores=4, core_price=0.25, gpu_price=2, storage_price=10, request_price=0.5,
    )  # fmt: skip


def test_the_page_has_the_tables_of_the_script(script):
    page = (DOCS / "scale.md").read_text(encoding="utf-8")
    for table in script.tables(script.Assumptions()):
        assert f"\n\n{table}\n\n" in page


def test_round_assumptions_give_round_times_and_costs(script, given):
    """36 million images at 100 a second are 100 hours: five machines for a day that is 24 hours."""
    rows = [script.computed(36_000_000, route, given)[3:] for route in script.routes(given)]
    assert rows == [
        # Twice the two cores that were measured, at $1 an hour.
        ("400", "4", "25", "2", "12.5", "25"),
        # 20 ms of a core each, on four cores.
        ("200", "4", "50", "3", "16.7", "50"),
        # A picture takes two cores five seconds.
        ("0.4", "4", "25,000", "1,042", "24", "25,000"),
        # 100 images/s ask for 2.5 cores that decode.
        ("100", "3", "100", "5", "20", "200"),
    ]


def test_shares_that_are_lost_make_it_longer(script, given):
    (hours,) = {script.computed(36_000_000, script.routes(given)[3], replace(given, ray_share=0.8, busy=0.5))[5]}
    assert hours == "250"


def test_round_assumptions_give_round_sizes(script, given):
    """36 TB of pictures and 36 GB of table at $10 a TB; a request for ten images at $0.5 a million."""
    assert script.stored(36_000_000, given) == ("36,000,000", "36", "36", "36,000", "3.6", "1.8", "18", "360")


def test_what_is_extrapolated_says_so_and_the_default_is_the_programs(script):
    given = script.Assumptions()
    assert [route.origin for route in script.routes(given)] == [
        "measured", "the sum of two measured", "measured", "**extrapolated**",
    ]  # fmt: skip
    assert given.part_rows == PART_ROWS
    assert given.vector_bytes == 4 * 384
    origins = {one.name: one.metadata["origin"] for one in fields(given)}
    assert origins["gpu_images_per_second"] == "extrapolated"
    assert all(origins.values())


def test_every_assumption_is_an_option(script, monkeypatch, capsys):
    options = [f"--{one.name.replace('_', '-')}" for one in fields(script.Assumptions)]
    assert set(options) <= set(script.tables(script.Assumptions())[2].replace("`", " ").split())
    monkeypatch.setattr(sys, "argv", ["plan_scale.py", *(word for option in options for word in (option, "1"))])
    script.main()
    ones = script.Assumptions(**dict.fromkeys(inspect.signature(script.Assumptions).parameters, 1.0))
    assert capsys.readouterr().out == "\n\n".join(script.tables(ones)) + "\n"
