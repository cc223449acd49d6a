"""Options that several verbs share, and the objects that they name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relsim.errors import RelsimError

if TYPE_CHECKING:
    from relsim.encoders.base import AnyEncoder
    from relsim.metric import RelationalSimilarity

MODEL_PANEL = "Model"

Checkpoint = Annotated[
    str | None,
    typer.Option(
        "--checkpoint",
        "-c",
        metavar="DIR|ID",
        envvar="RELSIM_CHECKPOINT",
        help="Checkpoint: a folder, or an id on the Hugging Face Hub.",
        rich_help_panel=MODEL_PANEL,
    ),
]
BaseModel = Annotated[
    str | None,
    typer.Option(
        "--base-model",
        metavar="DIR|ID",
        envvar="RELSIM_BASE_MODEL",
        help="Base model, in place of the one that the checkpoint names.",
        rich_help_panel=MODEL_PANEL,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="cpu, cuda or cuda:N. Default: cuda if there is one.",
        rich_help_panel=MODEL_PANEL,
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        metavar="NAME",
        help="float32 or bfloat16 (float16 on cuda). Default: what the device is best at.",
        rich_help_panel=MODEL_PANEL,
    ),
]
Recipe = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="NAME",
        help="Pixels: native, crop448 or squash448. Default: the checkpoint's own.",
        rich_help_panel=MODEL_PANEL,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs (docs/formats.md) in place of a table.")]

DEFAULT_ENCODER = "relational"


def model_options(
    checkpoint: str | None, base_model: str | None, device: str | None, dtype: str | None, recipe: str | None
) -> dict[str, Any]:
    """The options that were given, under the names that `relsim()` takes; local folders as absolute paths."""
    given = {
        "checkpoint_dir": _absolute(checkpoint),
        "base_model": _absolute(base_model),
        "device": device,
        "dtype": dtype,
        "recipe": recipe,
    }
    return {name: value for name, value in given.items() if value is not None}


def load_model(options: dict[str, Any]) -> RelationalSimilarity:
    """The model of these options. Raises `CheckpointError` or `DeviceError`."""
    from relsim.metric import relsim

    model, _ = relsim(**options)
    return model


def load_encoder(name: str, options: dict[str, Any]) -> AnyEncoder:
    """The encoder of that name. Options of a model are refused for an encoder that has none."""
    if name == DEFAULT_ENCODER:
        return load_model(options).encoder
    if options:
        given = ", ".join("--" + option.removesuffix("_dir").replace("_", "-") for option in options)
        raise RelsimError(f"the encoder {name} takes no {given}; those belong to --encoder {DEFAULT_ENCODER}")
    from relsim.encoders import registry

    return registry.load_encoder(name)


def encoder_of(origin: Mapping[str, Any], given: Mapping[str, Any]) -> AnyEncoder:
    """The encoder that made a table, from the origin that the table recorded; options given now take precedence."""
    recorded = dict(origin)
    name = recorded.pop("encoder", DEFAULT_ENCODER)
    return load_encoder(name, {**recorded, **(given if name == DEFAULT_ENCODER else {})})


def _absolute(name: str | None) -> str | None:
    """A folder's absolute path, so that it is found again from elsewhere; a Hub id as it is."""
    if name is not None and Path(name).expanduser().is_dir():
        return str(Path(name).expanduser().resolve())
    return name
