"""Several encoders on one command line: `--encoder NAME`, or `--encoder NAME:option=value,…`, once for each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relsim.cli import options
from relsim.encoders import DEFAULT_ENCODER

if TYPE_CHECKING:
    from relsim.encoders.base import AnyEncoder, AnyPairwise
    from relsim.evaluation.encoder_specs import EncoderSpec

Encoders = Annotated[
    list[str] | None,
    typer.Option(
        "--encoder",
        metavar="[LABEL=]NAME[:OPTION=VALUE,...]",
        help="An encoder and its options, such as descriptors:side=128; again for more. Results call it by "
        f"LABEL, if there is one. Default: {DEFAULT_ENCODER}.",
    ),
]


One = Annotated[
    str,
    typer.Option(
        "--encoder",
        metavar="NAME[:OPTION=VALUE,...]",
        help="An encoder and its options, such as clip or clip:model=DIR (docs/encoders.md).",
    ),
]


def load_spec(spec: EncoderSpec, flags: Mapping[str, Any] | None = None) -> tuple[AnyEncoder, Mapping[str, Any]]:
    """The encoder that a spec names, and what a table records of it. Raises `EncoderError`, `CheckpointError`."""
    from relsim.encoders import registry

    given = all_options(spec, flags)
    encoder = registry.load_encoder(spec.name, **given)
    return encoder, registry.origin_of(spec.name, encoder, given)


def all_options(spec: EncoderSpec, flags: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The options with which a spec's encoder is made. Raises `EncoderError`.

    `flags` are options that were given beside it; those of the spec count for more. The relational one is looked for
    as everywhere: the checkpoint of the environment, else the default one.
    """
    options.refuse_foreign(spec.name, flags or {})
    given: dict[str, Any] = {**(flags or {}), **{name: _absolute(value) for name, value in spec.options.items()}}
    return dict(options.with_environment(given)) if spec.name == DEFAULT_ENCODER else given


def load_any(spec: EncoderSpec) -> AnyEncoder | AnyPairwise:
    """What a spec names, be it an encoder or a measure of pairs. Raises as `load_spec` does."""
    from relsim.encoders.registry import PAIRWISE

    return load_measure(spec) if spec.name in PAIRWISE else load_spec(spec)[0]


def load_measure(spec: EncoderSpec, flags: Mapping[str, Any] | None = None) -> AnyPairwise:
    """The measure of pairs that a spec names. Raises `EncoderError`."""
    from relsim.encoders.pairwise import load_pairwise

    return load_pairwise(spec.name, **{**(flags or {}), **spec.options})


def _absolute(value: Any) -> Any:
    """The absolute path of a folder, so that its encoder is found again from elsewhere; anything else as it is."""
    if isinstance(value, str) and value and Path(value).is_dir():
        return str(Path(value).resolve())
    return value
