"""`relsim export`: a checkpoint in another layout, into a folder or onto the Hub."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer

from relsim.cli import options
from relsim.cli.output import emit, print_json
from relsim.errors import RelsimError


def export(
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="A folder, or an id on the Hugging Face Hub.")
    ],
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="DIR", help="The new folder.")] = None,
    push: Annotated[
        str | None, typer.Option(metavar="OWNER/NAME", help="Upload it to this repository on the Hub.")
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="A repository that --push makes is seen by its owner only.")
    ] = False,
    layout: Annotated[
        Literal["published", "whole", "sentence-transformers", "onnx", "openvino"] | None,
        typer.Option(
            metavar="published|whole|sentence-transformers|onnx|openvino",
            help="The adapter, for the published package too; or merged with its base model; or with the text encoder "
            "as one model that sentence-transformers loads without relsim; or for ONNX Runtime or OpenVINO, which run "
            "without torch. Default: as it is.",
        ),
    ] = None,
    base_model: options.BaseModel = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Precision of merged weights. Default: that of the base model, float32 for other libraries.",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Pixels of an onnx or openvino model. Default: the checkpoint's recipe."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Write a checkpoint into a folder, or push it to the Hub.

    Its model card goes along.
    """
    if out is None and push is None:
        raise RelsimError("nowhere to export to; name a folder (--out DIR), a repository (--push OWNER/NAME), or both")
    from relsim.training.export import export_checkpoint
    from relsim.training.push import push_checkpoint

    base = options.model_options(checkpoint, base_model, None, None, None).get("base_model")
    usual = options.with_environment(options.model_options(checkpoint, None, None, None, None)).get("base_model")
    with tempfile.TemporaryDirectory(prefix="relsim-export-") as temporary:
        # A checkpoint is a folder of its own, so that a temporary one is not there yet either.
        folder = out or Path(temporary) / "checkpoint"
        export_checkpoint(
            checkpoint, folder, layout=layout, base_model=base, usual_base=usual, dtype=dtype, recipe=recipe
        )
        address = None if push is None else push_checkpoint(folder, push, private=private)
    if as_json:
        print_json({"schema": "relsim.export/1", "out": out and str(out), "push": push, "commit": address})
        return
    if out is not None:
        emit(str(out))
    if address is not None:
        emit(address)
