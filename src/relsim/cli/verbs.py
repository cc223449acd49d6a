"""The verbs of the command line, and how each is loaded: when it is called, or when its own help is asked for.

Listing them takes their names and one line each, so that `relsim --help` is as fast with forty verbs as with ten. A new
verb is a line of `VERBS`, with the first sentence of its function's docstring; a test holds the two against each other.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, get_type_hints

import typer
import typer.core
import typer.main

from relsim.cli.output import note
from relsim.errors import RelsimError

EXIT_ERROR, EXIT_INTERRUPTED = 1, 130


@dataclass(frozen=True, slots=True)
class Verb:
    """A function below `relsim.cli` as "module:name", the first sentence of its help, and settings of its context."""

    function: str
    help: str
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Group:
    """A verb that has verbs of its own. `function` is what it does alone, where that is something."""

    help: str
    below: Mapping[str, Verb]
    function: str | None = None


_UNDERSCORES = {"token_normalize_func": lambda name: name.replace("_", "-")}  # the published scripts spell flags so

VERBS: Mapping[str, Mapping[str, Verb | Group]] = {
    "First steps": {
        "demo": Group(
            "Show what relsim does, and write a report.",
            {"world": Verb("demo:world", "Draw pictures whose relation and captions are known.")},
            function="demo:demo",
        ),
        "doctor": Verb("doctor:doctor", "Show versions, devices, caches and missing extras."),
    },
    "Compare and search": {
        "score": Verb("score:score", "Score two images; of more, print the matrix."),
        "explain": Verb(
            "explain:explain",
            "Show why two images are alike: where the model looks, what it depends on, and which sentences are near.",
        ),
        "embed": Verb("embed:embed", "Embed images into a table; run again to go on."),
        "index": Verb(
            "index:index", "Build an index beside a large table, and measure how much of the exact search it finds."
        ),
        "search": Verb("search:search", "Find the images of a table that are most alike to a query."),
        "space": Verb(
            "space:space", "Show where pictures stand around a query: how they look across, how they work upwards."
        ),
        "serve": Verb(
            "serve:serve", "Open a page to look at a collection: search by picture or sentence, on one axis or two."
        ),
    },
    "Captions": {
        "caption": Verb("caption:caption", "Write an anonymous caption for each image."),
        "caption groups": Verb("caption_groups:caption_groups", "Ask a vision-language model for one caption a group."),
        "filter": Verb("filter:filter_", "Keep the interesting images."),
        "curate": Verb("curate:curate", "Make a data set of anonymous captions of images."),
    },
    "Data": {
        "download": Verb("download:download", "Download the images of a list; run again to go on."),
        "data": Group(
            "Collections of images: published ones and yours.",
            {
                "list": Verb("data:list_", "List the published collections."),
                "show": Verb(
                    "data:show",
                    "Show a published collection: what it is, where it comes from, its licence and how to cite it.",
                ),
                "stats": Verb(
                    "data:stats",
                    "Count what is in a collection: rows by status, sizes, formats, captions, hosts, repeats.",
                ),
                "verify": Verb(
                    "data:verify", "Read every image again: is it what was recorded, and can it be decoded?"
                ),
                "diff": Verb("data:diff", "Compare two copies of a collection: which images differ, and why."),
                "dedup": Verb("data_curation:dedup", "Find images with the same bytes, and images that look the same."),
                "split": Verb("data_curation:split", "Divide a collection into parts between which nothing leaks."),
                "export": Verb(
                    "data_curation:export",
                    "Copy the images of a collection, with what is known of them, into a form that another tool reads.",
                ),
                "push": Verb("data_curation:push", "Upload a shard folder to the Hugging Face Hub, with a card."),
            },
        ),
    },
    "Figures and studies": {
        "figure": Group(
            "Draw figures of result files: .png, .pdf or .svg.",
            {
                "scores": Verb("figure:scores", "Draw scores of methods as bars (Figure 6 of the paper)."),
                "preferences": Verb("figure:preferences", "Draw whom people prefer (Figure 8 of the paper)."),
                "sheet": Verb("figure:sheet", "Draw what each method finds for some queries (Figures 5 and 9)."),
                "space": Verb("figure:space", "Draw a similarity space again, from its data (Figure 7)."),
                "training": Verb("figure:training", "Draw the curves of training runs."),
                "download": Verb("figure:download", "Draw what became of the rows of a download."),
                "heatmap": Verb("figure:heatmap", "Draw accuracies by relation and encoder."),
                "paper": Verb("figure:paper", "Draw Figures 6 and 8 and Table 2 of the paper, as printed."),
            },
        ),
        "study": Group(
            "Ask people which of two methods finds the better match.",
            {
                "new": Verb("study:new", "Make the questions of a study from retrieval runs."),
                "results": Verb("study:results", "Count the answers of a study: preferences, intervals, agreement."),
            },
        ),
        "report": Verb("report:report", "Put result files of any kind on one page that needs nothing else"),
    },
    "Learn and measure": {
        "train": Verb("train:train", "Train on images with captions.", _UNDERSCORES),
        "train filter": Verb(
            "train_filter:train_filter", "Train a filter on images labelled Yes and No.", _UNDERSCORES
        ),
        "calibrate": Verb(
            "calibrate:calibrate", "Measure how a checkpoint scores unrelated images, and keep that beside it."
        ),
        "export": Verb("export:export", "Write a checkpoint into a folder, or push it to the Hub."),
        "export site": Verb("export_site:export_site", "Write the page of a collection as files that need no server."),
        "export table": Verb(
            "export_table:export_table",
            "Copy a table into LanceDB or Qdrant: vectors, ids, sources, fields and fingerprint.",
        ),
        "judge": Verb("judge:judge", "Ask a vision-language model how far two images share one logic."),
        "judge agreement": Verb("judge:agreement", "Measure how far a judge agrees with people."),
        "judge calibrate": Verb("judge_calibrate:calibrate", "Let a judge rate drawn pairs whose truth is known."),
        "evaluate": Group(
            "Measure an encoder on pictures whose relations are known.",
            {
                "triplets": Verb(
                    "evaluate:triplets",
                    "Measure how often the image with the anchor's relation is nearer than one with another relation.",
                ),
                "retrieval": Verb(
                    "evaluate_retrieval:retrieval",
                    "Ask several encoders the same queries over one collection, and compare what they find.",
                ),
                "pairs": Verb(
                    "evaluate_pairs:pairs",
                    "Score the inputs and outputs of generators, method by method: mean and sample standard deviation.",
                ),
                "mteb": Verb(
                    "evaluate_mteb:mteb",
                    "Run encoders in MTEB on retrieval tasks that are made of a labelled collection.",
                ),
            },
        ),
    },
}
"""Every verb under the heading of the help page that it belongs to."""


class LazyGroup(typer.core.TyperGroup):
    """Verbs that are loaded one by one; `entries` says what there is. Its help page has a part for each heading.

    A verb of two words counts before one of the first word alone: `caption groups` stands beside `caption SOURCES`.
    """

    entries: Mapping[str, Mapping[str, Verb | Group]] = {}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands({name: entry for part in self.entries.values() for name, entry in part.items()})

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - as in the class below
        """Names in their order."""
        return list(self.commands)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The verb that the words call, and the words after it."""
        pair = " ".join(args[:2])
        return (pair, self.commands[pair], args[2:]) if pair in self.commands else super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - as in the class below
        """Names and one line each, without loading any."""
        longest = max(map(len, self.commands))
        for heading, part in self.entries.items():
            with formatter.section(heading):
                room = formatter.width - longest - 6
                # The same column in every part, so that the page reads as one list.
                formatter.write_dl([(name.ljust(longest), _cut(entry.help, room)) for name, entry in part.items()])


class _Commands(MutableMapping[str, Any]):
    """Commands by name, each made when it is first asked for."""

    def __init__(self, entries: Mapping[str, Verb | Group]) -> None:
        self._entries = entries
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _command(name, self._entries[name])
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"the verb {name} cannot be taken away")

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in self._made

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def group_class(entries: Mapping[str, Mapping[str, Verb | Group]]) -> type[LazyGroup]:
    """The class of a group with these entries, as typer wants to have it."""
    return type("Verbs", (LazyGroup,), {"entries": entries})


def _command(name: str, entry: Verb | Group) -> Any:
    """The command that typer makes of an entry's function."""
    if isinstance(entry, Verb):
        app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        app.command(name, context_settings=dict(entry.context) or None)(as_verb(_load(entry.function)))
        return typer.main.get_command(app)
    app = typer.Typer(
        name=name,
        cls=group_class({"Commands": entry.below}),
        no_args_is_help=entry.function is None,
        invoke_without_command=entry.function is not None,
        subcommand_metavar="COMMAND [ARGS]..." if entry.function is None else "[COMMAND]",
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    if entry.function is None:
        app.callback(help=entry.help)(_nothing)
    else:
        app.callback()(as_verb(_load(entry.function)))
    return typer.main.get_command(app)


def _nothing() -> None:
    pass


def _load(function: str) -> Callable[..., None]:
    module, _, name = function.partition(":")
    loaded: Callable[..., None] = getattr(import_module(f"relsim.cli.{module}"), name)
    return loaded


def as_verb(function: Callable[..., None]) -> Callable[..., None]:
    """The function as a verb: what it raises on purpose, and an interrupt, end it with one line and an exit code."""
    # typer evaluates annotations that are text four times over.
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


def _leave(code: int) -> None:
    """End the verb. What stdout could not take is given up, or python would complain of it at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise typer.Exit(code)


def _cut(text: str, room: int) -> str:
    """The text, cut at a word where it does not fit."""
    return text if len(text) <= room else text[: room - 2].rpartition(" ")[0].rstrip(",;:") + " ..."
