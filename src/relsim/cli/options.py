"""Options that several verbs share, and the objects that they name."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from relsim.encoders import DEFAULT_ENCODER
from relsim.errors import RelsimError
from relsim.models.embedded import DEFAULT, NAMES

if TYPE_CHECKING:
    from relsim.data.records import ImageRecord
    from relsim.encoders.base import AnyEncoder
    from relsim.metric import RelationalSimilarity

MODEL_PANEL = "Model"
SOURCES_HELP = (
    "Image files, folders, shard folders, patterns, manifests (.jsonl), each also at an address such as "
    "s3://bucket/photos, or - for a list on stdin."
)

Checkpoint = Annotated[
    str | None,
    typer.Option(
        "--checkpoint",
        "-c",
        metavar="DIR|ID|NAME",
        help=f"Checkpoint: a folder, an id on the Hugging Face Hub, or one of {', '.join(NAMES[:2])}. "
        f"Default: $RELSIM_CHECKPOINT, else {DEFAULT}.",
        rich_help_panel=MODEL_PANEL,
    ),
]
BaseModel = Annotated[
    str | None,
    typer.Option(
        "--base-model",
        metavar="DIR|ID",
        help="Base model, in place of the one that the checkpoint names. Default: $RELSIM_BASE_MODEL.",
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
        help="float32 or bfloat16 (float16 on cuda); a metric's products also in int8 (cpu) or fp8 (cuda). Default: "
        "$RELSIM_DTYPE (judges apart), else what the device is best at.",
        rich_help_panel=MODEL_PANEL,
    ),
]
AnswerDtype = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        metavar="NAME",
        help="float32 or bfloat16 (float16 on cuda). Default: $RELSIM_DTYPE, else what the device is best at.",
        rich_help_panel=MODEL_PANEL,
    ),
]
Recipe = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="NAME",
        help="Pixels: native, crop<side> or squash<side>, such as crop448. Default: the checkpoint's own.",
        rich_help_panel=MODEL_PANEL,
    ),
]
Decode = Annotated[
    Literal["exact", "draft"],
    typer.Option(
        "--decode",
        metavar="exact|draft",
        help="Decode JPEG files whole, or where the recipe makes them smaller, at a part of their size: quicker, and "
        "slightly other vectors.",
        rich_help_panel=MODEL_PANEL,
    ),
]
ImageFolder = Annotated[
    str | None, typer.Option(metavar="DIR", help="Where the images of a manifest are: a folder, or an address.")
]
Workers = Annotated[int | None, typer.Option(metavar="N", min=1, help="Decoding threads. Default: one per core.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs (docs/formats.md) in place of a table.")]

FLAGS = ("checkpoint_dir", "base_model", "device", "dtype", "recipe", "decode")
_VARIABLES = {"checkpoint_dir": "RELSIM_CHECKPOINT", "base_model": "RELSIM_BASE_MODEL", "dtype": "RELSIM_DTYPE"}


def model_options(
    checkpoint: str | None,
    base_model: str | None,
    device: str | None,
    dtype: str | None,
    recipe: str | None,
    decode: str = "exact",
) -> dict[str, str]:
    """The options that were given, under the names that `relsim()` takes; local folders as absolute paths."""
    given = {
        "checkpoint_dir": _absolute(checkpoint),
        "base_model": _absolute(base_model),
        "device": device,
        "dtype": dtype,
        "recipe": recipe,
        "decode": None if decode == "exact" else decode,
    }
    return {name: value for name, value in given.items() if value is not None}


def with_environment(given: Mapping[str, str], *, answers: bool = False) -> dict[str, str]:
    """The options, with the environment's checkpoint, base model and precision where none was given.

    An embedded checkpoint is whole, so the environment's base model is none of its business. Nor are 8 bits, which are
    for metrics, that of a model which `answers` in words.
    """
    found = {name: _absolute(os.environ.get(variable)) for name, variable in _VARIABLES.items()}
    if answers and found["dtype"]:
        from relsim.models.eight_bits import ROUNDINGS

        if found["dtype"] in ROUNDINGS:
            del found["dtype"]
    options = {"checkpoint_dir": DEFAULT} | {name: value for name, value in found.items() if value} | dict(given)
    if options["checkpoint_dir"] in NAMES and "base_model" not in given:
        options.pop("base_model", None)
    return options


def check_local(out: Path) -> None:
    """Refuse an address, which is read from but not written to. Raises `RelsimError`."""
    scheme, colon, rest = str(out).partition(":/")  # a path has lost the second stroke
    if colon and scheme.isalnum() and len(scheme) > 1 and not out.exists():
        raise RelsimError(f"{scheme}://{rest} is an address; --out names a place on this machine, to be copied later")


def check_target(out: Path, sources: Sequence[str], *, example: str) -> None:
    """Refuse a folder, and a file that is one of the sources, as what `--out` names. Raises `RelsimError`."""
    check_local(out)
    if out.is_dir():
        raise RelsimError(f"{out} is a folder; --out names a file, such as {example}")
    if out.exists() and any(Path(source).is_file() and out.samefile(source) for source in sources):
        raise RelsimError(f"{out} is one of the sources; --out names another file")


def check_label(records: Sequence[ImageRecord], label: str | None) -> None:
    """Refuse a field, named by `--label`, that no picture has, before any work. Raises `typer.BadParameter`."""
    if label is None or any(record.fields.get(label) is not None for record in records):
        return
    known = sorted({name for record in records for name, value in record.fields.items() if value is not None})
    there = f"there are {', '.join(known)}" if known else "these pictures have no fields; a manifest gives them"
    raise typer.BadParameter(f"no picture has the field {label!r}; {there}", param_hint="--label")


def check_document(path: Path, kind: str) -> None:
    """Refuse to write a document over a file that is there and is of another kind. Raises `RelsimError`."""
    from relsim.evaluation.result_files import read_result

    if not path.exists():
        return
    try:
        found = read_result(path).kind
    except RelsimError:
        found = "none that is known"
    if found != kind:
        raise RelsimError(
            f"{path} is there, and is no document of the kind {kind} (but {found}), which would be written over it; "
            "name another file"
        )


def load_model(options: Mapping[str, str]) -> RelationalSimilarity:
    """The model of these options, loaded once. Raises `CheckpointError` or `DeviceError`."""
    return _load_model(tuple(sorted(options.items())))


def load_encoder(name: str, options: Mapping[str, Any]) -> AnyEncoder:
    """The encoder of that name. An option that it does not take is refused under its name on the command line."""
    if name == DEFAULT_ENCODER:
        return load_model(options).encoder
    from relsim.encoders import registry

    refuse_foreign(name, options)
    return registry.load_encoder(name, **options)


def refuse_foreign(name: str, given: Mapping[str, Any]) -> None:
    """Refuse options of the command line that the encoder `name` does not take. Raises `RelsimError`."""
    from relsim.encoders import registry

    takes = registry.options_of(name)
    if foreign := [flag(option) for option in given if option in FLAGS and option not in takes]:
        raise RelsimError(
            f"the encoder {name} takes no {', '.join(foreign)}; its options are {', '.join(sorted(takes)) or 'none'}"
        )


def encoder_of(origin: Mapping[str, Any], given: Mapping[str, str]) -> AnyEncoder:
    """The encoder that made a table, from the origin that the table recorded; options given now take precedence."""
    recorded = dict(origin)
    name = recorded.pop("encoder", DEFAULT_ENCODER)
    if name != DEFAULT_ENCODER:
        return load_encoder(name, recorded)
    options = {**recorded, **given}
    return load_encoder(name, options if "checkpoint_dir" in options else with_environment(options))


def flag(option: str) -> str:
    """The command line's name of an option of `relsim()`."""
    return "--" + option.removesuffix("_dir").replace("_", "-")


@functools.lru_cache(maxsize=1)
def _load_model(options: tuple[tuple[str, str], ...]) -> RelationalSimilarity:
    from relsim.metric import relsim

    model, _ = relsim(**dict(options))  # type: ignore[arg-type]  # mypy matches the values with every parameter
    return model


def _absolute(name: str | None) -> str | None:
    """A folder's absolute path, so that it is found again from elsewhere; a Hub id as it is."""
    expanded = os.path.expanduser(name) if name else ""  # noqa: PTH111 - Path raises for the home of an unknown user
    return str(Path(expanded).resolve()) if expanded and Path(expanded).is_dir() else name
