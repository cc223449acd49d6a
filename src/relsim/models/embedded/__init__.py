"""Checkpoints that come with the package: small networks of the published architecture, trained on the drawn world.

    relsim-mini               pictures by how they work: the default of `relsim()` and of the command line
    relsim-mini-attributes    pictures by what they show
    relsim-mini-base          the network under both; describes a scene, with names
    relsim-mini-captioner     an adapter on the base; anonymous captions

They know schematic drawings and nothing of photographs. `recipes/embedded` in the repository makes them.
"""

from __future__ import annotations

from pathlib import Path

DEFAULT = "relsim-mini"
DEFAULT_ATTRIBUTES = "relsim-mini-attributes"
DEFAULT_CAPTIONER = "relsim-mini-captioner"
NAMES = (DEFAULT, DEFAULT_ATTRIBUTES, "relsim-mini-base", DEFAULT_CAPTIONER)
PUBLISHED = "thaoshibe/relsim-qwenvl25-lora"
"""The checkpoint for photographs: 7B parameters, on the Hugging Face Hub."""
PUBLISHED_CAPTIONER = "thaoshibe/relsim-anonymous-caption-qwen25vl-lora"
"""The captioner for photographs, an adapter on the same base."""

_HOME = Path(__file__).parent


def embedded_folder(name: str | Path) -> Path | None:
    """Folder of the embedded checkpoint of that name, None for any other name."""
    return _HOME / str(name) if str(name) in NAMES else None


def embedded_name(folder: Path) -> str | None:
    """Name of the embedded checkpoint that lies in this folder, None for any other folder."""
    return folder.name if folder.name in NAMES and folder.parent.resolve() == _HOME.resolve() else None
