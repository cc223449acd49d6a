"""One small demo, told once for all tests."""

import pytest

from relsim.demo.chapters import tell
from relsim.demo.report import write_report
from relsim.demo.workshop import Size, Workshop


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    """Thirty scenes and fifteen triplets of each kind: room for one of the example's relation."""
    folder = tmp_path_factory.mktemp("demo") / "demo"
    return Workshop(folder, Size(scenes=30, triplets=15, seed=7), {"device": "cpu", "dtype": "float32"})


@pytest.fixture(scope="session")
def begun():
    """The chapters in the order in which they began."""
    return []


@pytest.fixture(scope="session")
def told(workshop, begun):
    """Every step, done."""
    return list(tell(workshop, begins=begun.append))


@pytest.fixture(scope="session")
def page(told, workshop):
    """The report of that demo."""
    path = workshop.folder / "report.html"
    write_report(path, told)
    return path.read_text(encoding="utf-8")
