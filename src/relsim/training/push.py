"""Uploading a checkpoint to the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path

from relsim.hub import push_folder


def push_checkpoint(folder: str | Path, repo_id: str, *, private: bool = False, message: str | None = None) -> str:
    """Upload a folder to a model repository on the Hub, made if it is not there; returns the address of the commit.

    Raises `RelsimError`.
    """
    return push_folder(folder, repo_id, private=private, message=message or "Upload a checkpoint with relsim")
