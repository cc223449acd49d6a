"""The Hugging Face Hub: fetching the files of a repository and pushing a folder, with errors in our own words.

The one place that talks to it. `HF_HUB_OFFLINE=1` is honoured: then only what the cache holds is used. The token is
huggingface_hub's own (`hf auth login`, or $HF_TOKEN).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from relsim.errors import RelsimError

Kind = Literal["model", "dataset"]


def fetch_folder(
    repo_id: str,
    *,
    kind: Kind = "model",
    patterns: Sequence[str],
    ignored: Sequence[str] = (),
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    error: type[RelsimError] = RelsimError,
) -> Path:
    """The folder in the local cache that holds the files of a repository that match `patterns`, fetched if needed.

    A repository without such files gives a folder without them. Raises `error`.
    """
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
                repo_type=kind,
                revision=revision,
                cache_dir=cache_dir,
                allow_patterns=list(patterns),
                ignore_patterns=list(ignored) or None,
            )
        )
    except GatedRepoError as fault:
        raise error(f"{repo_id} asks for a licence to be accepted on the Hub, then `hf auth login`") from fault
    except RepositoryNotFoundError as fault:
        raise error(f"{repo_id} is neither a local folder nor a repository on the Hub") from fault
    except RevisionNotFoundError as fault:
        raise error(f"{repo_id} has no revision {revision!r} on the Hub") from fault
    except LocalEntryNotFoundError as fault:
        raise error(
            f"{repo_id} is no folder here, it is not in the local cache, and the Hub cannot be reached; "
            "download it once while online, or name a folder that is there"
        ) from fault
    except HFValidationError as fault:
        raise error(f"there is no folder {repo_id!r}, and it is no Hub id: {fault}") from fault
    except Exception as fault:  # what the HTTP client underneath raises for a cut connection changes between versions
        raise error(f"{repo_id} could not be fetched from the Hub: {fault}") from fault


def push_folder(
    folder: str | Path,
    repo_id: str,
    *,
    kind: Kind = "model",
    private: bool = False,
    message: str = "Upload with relsim",
) -> str:
    """Upload a folder to a repository, made if it is not there; returns the address of the commit.

    Raises `RelsimError`.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OfflineModeIsEnabled

    api = HfApi()
    try:
        api.create_repo(repo_id, repo_type=kind, private=private, exist_ok=True)
        done = api.upload_folder(repo_id=repo_id, repo_type=kind, folder_path=str(folder), commit_message=message)
    except HFValidationError as error:
        raise RelsimError(f"{repo_id!r} is no Hub id of the form owner/name: {error}") from error
    except OfflineModeIsEnabled as error:
        raise RelsimError(f"{repo_id} cannot be pushed: HF_HUB_OFFLINE is set; unset it") from error
    except LocalTokenNotFoundError as error:
        raise RelsimError(f"{repo_id} cannot be pushed without a token: hf auth login, or set HF_TOKEN") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        advice = "; is the token allowed to write there? hf auth login" if status in (401, 403) else ""
        raise RelsimError(f"the Hub refuses {repo_id} (status {status}){advice}") from error
    except Exception as error:  # see fetch_folder
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RelsimError(f"{repo_id} could not be pushed to the Hub: {reason}") from error
    return str(done.commit_url)
