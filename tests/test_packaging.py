"""What ships: the wheel's content, its command, its extras, its version, and the locked set beside it."""

from __future__ import annotations

import ast
import email
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import relsim

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "relsim"
LOCKED_EXTRAS = ("", "download", "endpoint", "figures", "index", "offline", "train", "web", "dev")


@dataclass(frozen=True)
class Wheel:
    names: frozenset[str]
    metadata: Message
    entry_points: str

    def requirements(self, *extras: str) -> list[Requirement]:
        """Requirements that apply on this machine for any of these extras; "" is the plain install."""
        found = [Requirement(text) for text in self.metadata.get_all("Requires-Dist", [])]
        return [
            needed
            for needed in found
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras)
        ]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Wheel:
    """The wheel that the build backend makes of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    code = f"from hatchling.build import build_wheel; print(build_wheel({str(folder)!r}))"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        names = frozenset(archive.namelist())
        info = next(name.partition("/")[0] for name in names if ".dist-info/" in name)
        return Wheel(
            names,
            email.message_from_bytes(archive.read(f"{info}/METADATA")),
            archive.read(f"{info}/entry_points.txt").decode(),
        )


@pytest.fixture
def installed() -> metadata.Distribution:
    """The installed distribution; skips where the package is used from the checkout."""
    if Path(relsim.__path__[0]).resolve() == SOURCE:
        pytest.skip("relsim is imported from the checkout, not from an installed wheel")
    return metadata.distribution("relsim")


def pins() -> dict[str, str]:
    """The lines of constraints.txt that are not comments, by name."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = [line for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(re.split(r"[=<>!~@ ]", line, maxsplit=1)[0]): line for line in found}


def extras_asked_for() -> Iterator[tuple[str, str]]:
    """Every extra that the code or a page names, with the file that names it."""
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "MissingExtraError":
                given = dict(zip(("package", "extra", "purpose"), node.args, strict=False))
                given |= {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
                if isinstance(given["extra"], ast.Constant):
                    yield given["extra"].value, path.name
    for path in [*SOURCE.rglob("*.py"), *ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for names in re.findall(r"relsim\[([a-z][a-z, -]*)\]", path.read_text(encoding="utf-8")):
            yield from ((name.strip(), path.name) for name in names.split(","))


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    shipped = {name.removeprefix("relsim/") for name in wheel.names if ".dist-info/" not in name}
    written = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*")
        if path.is_file()
        and not any(part == "__pycache__" or part[0] == "." for part in path.relative_to(SOURCE).parts)
    }
    assert shipped == written
    assert "py.typed" in shipped


def test_the_wheel_carries_its_licence(wheel):
    assert wheel.metadata["License-Expression"] == "MIT"
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel.names)


def test_the_command_is_relsim(wheel):
    assert wheel.entry_points.split() == ["[console_scripts]", "relsim", "=", "relsim.cli.main:main"]


def test_the_module_is_the_command(installed):
    (script,) = installed.entry_points.select(group="console_scripts", name="relsim")
    assert callable(script.load())
    result = subprocess.run([sys.executable, "-m", "relsim", "--help"], capture_output=True, text=True, check=True)
    assert "Usage" in result.stdout
    assert result.stderr == ""


def test_an_unknown_verb_exits_2():
    result = subprocess.run(
        [sys.executable, "-m", "relsim", "no-such-verb"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert result.stdout == ""


def test_the_version_is_written_in_one_place(wheel):
    assert wheel.metadata["Version"] == relsim.__version__
    places = [
        path for path in [ROOT / "pyproject.toml", *SOURCE.rglob("*.py")] if relsim.__version__ in path.read_text()
    ]
    assert places == [SOURCE / "_version.py"]


def test_the_installed_version_is_this_one(installed):
    assert installed.version == relsim.__version__


def test_every_extra_that_is_named_exists(wheel):
    declared = set(wheel.metadata.get_all("Provides-Extra"))
    assert [(extra, file) for extra, file in extras_asked_for() if extra not in declared] == []


def test_all_is_every_extra_for_users(wheel):
    declared = set(wheel.metadata.get_all("Provides-Extra"))
    everything = {str(needed).partition(";")[0] for needed in wheel.requirements("all")}
    one_by_one = {str(needed).partition(";")[0] for needed in wheel.requirements(*(declared - {"all", "dev"}))}
    assert everything == one_by_one


def test_the_locked_set_pins_every_requirement_within_its_range(wheel):
    locked = pins()
    for needed in wheel.requirements(*LOCKED_EXTRAS):
        line = locked[canonicalize_name(needed.name)]
        name, version = line.split("==")
        assert needed.specifier.contains(version), f"{name} {version} is outside {needed}"


def test_the_locked_set_holds_exact_public_versions_only():
    wrong = [line for line in pins().values() if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line)]
    assert wrong == []


def test_what_is_installed_is_the_locked_set(installed, wheel):
    locked = pins()
    names = {canonicalize_name(needed.name) for needed in wheel.requirements(*LOCKED_EXTRAS)}
    found = {name: f"{name}=={metadata.version(name).partition('+')[0]}" for name in names}
    assert found == {
        name: line.replace(line.partition("==")[0], name) for name, line in locked.items() if name in names
    }
