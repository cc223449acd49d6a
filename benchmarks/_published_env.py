"""The environment of the published package, apart from ours because both are named relsim."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PINS = {
    "relsim": "0.1.0",
    "torch": "2.13.0",
    "transformers": "4.57.3",
    "peft": "0.18.0",
    "accelerate": "1.15.0",
    "pillow": "13.0.0",
    "qwen-vl-utils": "0.0.14",
}

_ASK_VERSIONS = """
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


class EnvironmentProblemError(Exception):
    """The published environment cannot be made or is another one."""


def published_python(folder: Path) -> Path:
    """The interpreter of the environment in `folder`, which is created, or completed after an interruption.

    An environment that holds another version of a pinned package is left alone and refused.
    """
    python = folder / "bin" / "python"
    if not python.exists():
        _call([sys.executable, "-m", "venv", str(folder)])
    found = _versions(python)
    wrong = {name: version for name, version in found.items() if version != PINS[name]}
    if wrong:
        raise EnvironmentProblemError(
            f"{folder} holds {wrong}, but the comparison needs {PINS}: name another folder with --published-env"
        )
    if found != PINS:
        pins = [f"{name}=={version}" for name, version in PINS.items()]
        _call([str(python), "-m", "pip", "install", "--quiet", *pins])
    return python


def _versions(python: Path) -> dict[str, str]:
    """Versions of those pinned packages that are installed, without the local part (`+cpu`)."""
    # -I: neither PYTHONPATH nor the current folder may offer our own relsim as an answer.
    answer = _call([str(python), "-I", "-c", _ASK_VERSIONS, *PINS])
    versions: dict[str, str] = json.loads(answer)
    return versions


def _call(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise EnvironmentProblemError(f"{' '.join(command[:4])} … failed:\n{done.stderr[-2000:]}")
    return done.stdout
