"""Options that the verbs of training share, with the headings of their help pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from relsim.cli import options

DATA, RUN, LEARNING = "Data", "Run", "Learning"
PUBLISHED_BASE = "Qwen/Qwen2.5-VL-7B-Instruct"

ImageFolder = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Where the images of manifests are.", rich_help_panel=DATA)
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Any setting, as often as needed.", rich_help_panel=RUN),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on where a run in this folder stopped.", rich_help_panel=RUN)
]
Seed = Annotated[
    int | None, typer.Option(metavar="N", help="Seed of order, dropout and new weights.", rich_help_panel=RUN)
]
Precision = Annotated[str | None, typer.Option(metavar="NAME", help="auto, fp32, bf16 or fp16.", rich_help_panel=RUN)]
BaseModel = Annotated[
    str | None,
    typer.Option(
        metavar="DIR|ID",
        help=f"Base model. Default: $RELSIM_BASE_MODEL, else {PUBLISHED_BASE}.",
        rich_help_panel=options.MODEL_PANEL,
    ),
]
LearningRate = Annotated[
    float | None, typer.Option(metavar="X", help="Learning rate after warm-up.", rich_help_panel=LEARNING)
]
