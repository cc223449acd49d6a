"""Uploading a checkpoint to the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path

from relsim.errors import RelsimError


def push_checkpoint(folder: str | Path, repo_id: str, *, private: bool = False, message: str | None = None) -> str:
    """Upload a folder to a model repository on the Hub, made if it is not there; returns the address of the commit.

    The token is huggingface_hub's own (`hf auth login`, or $HF_TOKEN). Raises `RelsimError`.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OfflineModeIsEnabled

    api = HfApi()
    try:
        api.create_repo(repo_id, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=repo_id, folder_path=str(folder), commit_message=message or "Upload a checkpoint with relsim"
        )
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
    except Exception as error:  # what the HTTP client underneath raises for a cut connection changes between versions
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RelsimError(f"{repo_id} could not be pushed to the Hub: {reason}") from error
    return str(done.commit_url)
