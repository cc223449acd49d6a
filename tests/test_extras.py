"""The second set of packages, `make test-extras`: what it pins, and that no test which needs it is forgotten."""

import ast
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
OTHERWISE = {"python-dateutil"}
"""What both sets have, in different versions: botocore asks for an older one."""
LEFT_OUT = {"baselines", "tracking", "judge", "mteb", "all", "dev"}
"""Extras that this set has not: `baselines` needs torchvision, of which there is no build for the pinned torch, and
`tracking` has trackio, which refuses the pinned pillow. The others are names for the same, or in the first set."""


def pins(name):
    lines = [line for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line)] == []
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


@pytest.fixture(scope="module")
def setting():
    """`setting(name)` gives the words of a variable of the Makefile."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")

    def words(name):
        (found,) = re.findall(rf"(?m)^{name} := (.*)$", text)
        return re.split(r"[,\s]+", found)

    return words


@pytest.fixture(scope="module")
def extras():
    """The requirements of each extra."""
    tomllib = pytest.importorskip("tomllib", reason="Python has it from 3.11 on, as the locked set asks for")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {name: [Requirement(text) for text in texts] for name, texts in project["optional-dependencies"].items()}


def test_both_sets_together_pin_every_extra_within_its_range(setting, extras):
    first, second = pins("constraints.txt"), pins("constraints-extras.txt")
    assert {name for name in first if name in second} == OTHERWISE
    assert all(first[name] != second[name] for name in OTHERWISE)
    both = first | second
    for extra in setting("EXTRA_PACKAGES"):
        for needed in extras[extra]:
            version = both[canonicalize_name(needed.name)]
            assert needed.specifier.contains(version), f"{needed.name} {version} is outside {needed}"
    for word in setting("EXTRA_BESIDE"):
        assert canonicalize_name(Requirement(word).name) in second


def test_every_extra_is_in_one_of_the_sets_or_left_out_by_name(setting, extras):
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    (locked,) = re.findall(r'"\$\(WHEEL\)\[([a-z,]+)\]"\n\ttouch \$@ \$\(VENV\)', text)
    assert {*locked.split(","), *setting("EXTRA_PACKAGES"), *LEFT_OUT} == extras.keys()


def skips():
    """Every test file, or folder of one by its conftest, that skips for want of a package, and the package's name."""
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "importorskip":
                package = node.args[0].value.partition(".")[0] if isinstance(node.args[0], ast.Constant) else None
                yield path.parent if path.name == "conftest.py" else path, package


def test_every_test_that_skips_without_an_extra_is_run_by_the_target(setting):
    """A name that is a parameter may be any package's, so its file counts."""
    listed = [ROOT / word for word in setting("EXTRA_TESTS")]
    assert [path for path in listed if not path.exists()] == []
    here = {"fsspec", "mteb", "tomllib", "usearch"}  # in the first set, or in Python
    without_weights = {"dreamsim", "lpips"}  # LEFT_OUT
    forgotten = {
        path.relative_to(ROOT).as_posix()
        for path, package in skips()
        if package not in here | without_weights and not any(path.is_relative_to(one) for one in listed)
    }
    assert forgotten == set()
