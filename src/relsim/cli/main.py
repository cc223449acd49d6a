"""The `relsim` command: its verbs, its exit codes, and how errors reach a person.

Results go to stdout, everything else to stderr. Exit codes: 0 done; 1 a known error, in one line; 2 wrong usage;
3 done, but some images could not be used; 130 interrupted. An unknown error shows its traceback: it is ours to mend.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from typing import Annotated

import typer

from relsim._version import __version__
from relsim.cli import demo, doctor, embed, score, search
from relsim.errors import RelsimError

EXIT_ERROR, EXIT_INTERRUPTED = 1, 130

app = typer.Typer(
    name="relsim",
    help="Relational visual similarity: find images that work alike, whatever they look like.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("score")(score.score)
app.command("embed")(embed.embed)
app.command("search")(search.search)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)


def _print_version(value: bool) -> None:  # noqa: FBT001 - typer's callback signature
    if value:
        typer.echo(f"relsim {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens, to stderr.")] = False,
    version: Annotated[  # noqa: ARG001 - handled by its callback
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING, stream=sys.stderr, format="%(levelname)s %(message)s"
    )
    if not verbose:
        # Pillow warns of odd metadata in pictures that it reads perfectly well.
        warnings.filterwarnings("ignore", module=r"PIL\.")


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    try:
        app()
    except RelsimError as error:
        sys.stderr.write(f"relsim: {error}\n")
        sys.exit(EXIT_ERROR)
    except KeyboardInterrupt:
        sys.stderr.write("\nrelsim: interrupted\n")
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has left (`relsim … | head`); python must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_ERROR)
