"""The `relsim` command: what all verbs share, and how it begins and ends. The verbs are in `relsim.cli.verbs`.

Results go to stdout, everything else to stderr. Exit codes: 0 done; 1 a known error, in one line; 2 wrong usage;
3 done, but some images could not be used; 130 interrupted. An unknown error shows its traceback: it is ours to mend.
"""

from __future__ import annotations

import gc
import logging
import sys
import warnings
from typing import Annotated

import typer

from relsim._version import __version__
from relsim.cli.output import emit
from relsim.cli.verbs import VERBS, group_class

app = typer.Typer(
    name="relsim",
    cls=group_class(VERBS),
    help="Relational visual similarity: find images that work alike, whatever they look like.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:  # noqa: FBT001 - typer's callback signature
    if value:
        emit(f"relsim {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens, to stderr.")] = False,
    version: Annotated[  # noqa: ARG001 - handled by its callback
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    gc.enable()  # a verb follows: see `main`
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="relsim: %(message)s")
    if verbose:
        logging.getLogger("relsim").setLevel(logging.DEBUG)
    else:
        # Pillow warns of odd metadata in pictures that it reads perfectly well.
        warnings.filterwarnings("ignore", module=r"PIL\.")


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    gc.disable()  # until a verb begins nothing is given up that could be collected, and looking for it takes time
    app(prog_name="relsim")
