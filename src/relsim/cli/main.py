"""The `relsim` command: its verbs, its exit codes, and how errors reach a person.

Results go to stdout, everything else to stderr. Exit codes: 0 done; 1 a known error, in one line; 2 wrong usage;
3 done, but some images could not be used; 130 interrupted. An unknown error shows its traceback: it is ours to mend.
"""

from __future__ import annotations

import functools
import gc
import logging
import os
import sys
import warnings
from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

import typer
import typer.core
import typer.main

from relsim._version import __version__
from relsim.cli import (
    caption,
    caption_groups,
    data,
    data_curation,
    demo,
    doctor,
    download,
    embed,
    evaluate,
    export,
    score,
    search,
    train,
)
from relsim.cli.output import emit, note
from relsim.errors import RelsimError

EXIT_ERROR, EXIT_INTERRUPTED = 1, 130

# typer reads the parameters of each verb twice, which is a tenth of the time to start; what it reads does not change.
_read = typer.main.get_params_from_function  # type: ignore[attr-defined]  # typer exports it to itself only
typer.main.get_params_from_function = functools.cache(_read)  # type: ignore[attr-defined]  # see above


class _Verbs(typer.core.TyperGroup):
    """Verbs of one word or of two. The longer one counts, so `caption groups` stands beside `caption SOURCES`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        pair = " ".join(args[:2])
        return (pair, self.commands[pair], args[2:]) if pair in self.commands else super().resolve_command(ctx, args)


app = typer.Typer(
    name="relsim",
    cls=_Verbs,
    help="Relational visual similarity: find images that work alike, whatever they look like.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _verb(function: Callable[..., None]) -> Callable[..., None]:
    """The function as a verb: what it raises on purpose, and an interrupt, end it with one line and an exit code."""
    # typer evaluates annotations that are text four times over; evaluated once they save a tenth of the time to start.
    function.__annotations__ = get_type_hints(function, include_extras=True)

    @functools.wraps(function)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            function(*arguments, **options)
        except RelsimError as error:
            note(f"relsim: {error}")
            _leave(EXIT_ERROR)
        except KeyboardInterrupt as interrupt:
            note(f"relsim: interrupted{f'; {interrupt}' if interrupt.args else ''}")
            _leave(EXIT_INTERRUPTED)

    return run


def _group(name: str, text: str, **options: Any) -> typer.Typer:
    """A verb that has verbs of its own."""
    group = typer.Typer(help=text, rich_markup_mode=None, **options)
    app.add_typer(group, name=name)
    return group


app.command("score")(_verb(score.score))
app.command("embed")(_verb(embed.embed))
app.command("search")(_verb(search.search))
app.command("caption")(_verb(caption.caption))
app.command("caption groups")(_verb(caption_groups.caption_groups))
app.command("download")(_verb(download.download))
app.command("train", context_settings=train.CONTEXT)(_verb(train.train))
app.command("export")(_verb(export.export))
_evaluate = _group("evaluate", "Measure an encoder on pictures whose relations are known.", no_args_is_help=True)
_evaluate.command("triplets")(_verb(evaluate.triplets))
_data = _group("data", data.HELP, no_args_is_help=True)
for _name, _function in (
    ("list", data.list_),
    ("show", data.show),
    ("stats", data.stats),
    ("verify", data.verify),
    ("diff", data.diff),
    ("dedup", data_curation.dedup),
    ("split", data_curation.split),
    ("export", data_curation.export),
    ("push", data_curation.push),
):
    _data.command(_name)(_verb(_function))
_demo = _group("demo", demo.HELP, invoke_without_command=True, subcommand_metavar="[COMMAND]")
_demo.callback()(_verb(demo.demo))
_demo.command("world")(_verb(demo.world))
app.command("doctor")(_verb(doctor.doctor))


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
    gc.disable()  # what typer builds lives to the end, and looking for garbage in it is a tenth of the time to start
    app(prog_name="relsim")


def _leave(code: int) -> None:
    """End the verb. What stdout could not take is given up, or python would complain of it at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise typer.Exit(code)
