"""From the name of a checkpoint to a folder on this machine: a local one, an embedded one, or a repository on the Hub.

Only configuration, tokenizer and tensor files are fetched. `HF_HUB_OFFLINE=1` is honoured: then only what the cache
holds is used.
"""

from __future__ import annotations

import re
from pathlib import Path

from relsim.errors import CheckpointError
from relsim.models.embedded import NAMES, embedded_folder

PATTERNS = ("*.json", "*.jinja", "*.txt", "*.safetensors")
"""Files that make a model; weights in pickles are not fetched."""

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def resolve_folder(
    name: str | Path,
    *,
    cache_dir: str | Path | None = None,
    revision: str | None = None,
    also: tuple[str, ...] = (),
) -> Path:
    """The local folder for `name`; `also` names further files to fetch. Raises `CheckpointError`."""
    folder = Path(name).expanduser()
    if str(name) and folder.is_dir():
        return folder
    if str(name) and folder.exists():
        raise CheckpointError(f"{name} is a file; a checkpoint is a folder")
    embedded = embedded_folder(name)
    if embedded is not None:
        return embedded
    if not _HUB_ID.fullmatch(str(name)):
        raise CheckpointError(
            f"there is no folder {str(name)!r}; it is none of the embedded checkpoints ({', '.join(NAMES)}) "
            "and no Hub id of the form owner/name"
        )
    return _download(str(name), cache_dir, revision, also)


def _download(repo_id: str, cache_dir: str | Path | None, revision: str | None, also: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(
            snapshot_download(
                repo_id,
                revision=revision,
                cache_dir=cache_dir,
                allow_patterns=[*PATTERNS, *also],
                ignore_patterns=["*/*"],
            )
        )
    except GatedRepoError as error:
        raise CheckpointError(
            f"{repo_id} asks for a licence to be accepted on the Hub, then `hf auth login`"
        ) from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(f"{repo_id} is neither a local folder nor a repository on the Hub") from error
    except RevisionNotFoundError as error:
        raise CheckpointError(f"{repo_id} has no revision {revision!r} on the Hub") from error
    except LocalEntryNotFoundError as error:
        raise CheckpointError(
            f"{repo_id} is not in the local cache and the Hub cannot be reached; "
            "download it once while online, or name a local folder"
        ) from error
    except HFValidationError as error:
        raise CheckpointError(f"there is no folder {repo_id!r}, and it is no Hub id: {error}") from error
    except Exception as error:  # what the HTTP client underneath raises for a cut connection changes between versions
        raise CheckpointError(f"{repo_id} could not be fetched from the Hub: {error}") from error
