"""`relsim figure …`: pictures of result files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from relsim.cli.output import emit
from relsim.errors import RelsimError

if TYPE_CHECKING:
    from relsim.evaluation.result_files import ResultFile

Out = Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The figure: .png, .pdf or .svg.")]
Title = Annotated[str | None, typer.Option(metavar="TEXT", help="A line above the figure.")]


def scores(
    results: Annotated[
        list[Path],
        typer.Argument(metavar="RESULTS...", help="Outputs of a judge, retrieval runs, triplets or pairs: one kind."),
    ],
    out: Out,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What of a retrieval run (default precision@1), of triplets (conflict), or of pairs (the encoder).",
        ),
    ] = None,
    highlight: Annotated[
        str | None, typer.Option(metavar="NAME", help="The method whose bar is dark. Default: the best.")
    ] = None,
    title: Title = None,
) -> None:
    """Draw scores of methods as bars (Figure 6 of the paper). Lines are 95 % intervals, where the results have them."""
    from relsim.evaluation.result_files import read_result
    from relsim.figures.scores import draw_scores, scores_of

    found = scores_of([read_result(path) for path in results], metric)
    if highlight is not None and highlight not in {score.name for score in found.scores}:
        names = ", ".join(score.name for score in found.scores)
        raise RelsimError(f"--highlight {highlight}: there is no such method; there are {names}")
    _save(draw_scores(found, title=title, highlight=highlight), out)


def preferences(
    results: Annotated[
        Path, typer.Argument(metavar="RESULTS", help="What `relsim study results STUDY -o RESULTS` wrote.")
    ],
    out: Out,
    title: Title = None,
) -> None:
    """Draw whom people prefer (Figure 8 of the paper)."""
    from relsim.evaluation.result_files import require
    from relsim.figures.preferences import draw_preferences, preferences_of

    _save(draw_preferences(preferences_of(require(results, "study_results")), title=title), out)


def sheet(
    run: Annotated[
        Path, typer.Argument(metavar="RETRIEVAL", help="retrieval.json, retrieved_images.json, or the folder of a run.")
    ],
    out: Out,
    query: Annotated[list[str] | None, typer.Option(metavar="ID", help="A query to show; again for more.")] = None,
    queries: Annotated[int, typer.Option(metavar="N", min=1, max=50, help="Without --query: how many, by --seed.")] = 3,
    method: Annotated[list[str] | None, typer.Option(metavar="NAME", help="A method to show; again for more.")] = None,
    top_k: Annotated[int, typer.Option("--top-k", "-k", metavar="K", min=1, max=50, help="Matches in a row.")] = 5,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Which queries are shown.")] = 0,
    title: Title = None,
) -> None:
    """Draw what each method finds for some queries (Figures 5 and 9). A tick is a match with the query's label."""
    from relsim.evaluation.result_files import only, rankings, require
    from relsim.figures.sheets import chosen_queries, draw_sheet

    found = only(rankings(require(run, "retrieval", "retrieved")), method or [])
    chosen = chosen_queries(found, ids=query, count=queries, seed=seed)
    _save(draw_sheet(found, chosen, top_k=top_k, title=title), out)


def space(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="The .json that `relsim space` wrote, or the published xy.json.")
    ],
    out: Out,
    title: Title = None,
) -> None:
    """Draw a similarity space again, from its data (Figure 7)."""
    from relsim.evaluation.result_files import require
    from relsim.figures.similarity_space import read_space
    from relsim.figures.space_picture import draw_space

    _save(draw_space(read_space(require(data, "space", "xy")), title=title), out)


def training(
    runs: Annotated[list[str], typer.Argument(metavar="[NAME=]RUN...", help="Folders of runs, or their train.jsonl.")],
    out: Out,
    title: Title = None,
) -> None:
    """Draw the curves of training runs. Several share the same panels."""
    from relsim.figures.curves import curves_of, draw_training

    named = {name: curves_of(result) for name, result in _named(runs, "training").items()}
    _save(draw_training(named, title=title), out)


def download(
    summary: Annotated[
        Path, typer.Argument(metavar="SUMMARY", help="summary.json of a download, or the folder that holds it.")
    ],
    out: Out,
    title: Title = None,
) -> None:
    """Draw what became of the rows of a download. One part is by status, one by host."""
    from relsim.evaluation.result_files import require
    from relsim.figures.outcomes import draw_download

    _save(draw_download(require(summary, "download"), title=title), out)


def heatmap(
    results: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]TRIPLETS...", help="What `relsim evaluate triplets --json` printed, for each encoder."
        ),
    ],
    out: Out,
    kind: Annotated[
        Literal["conflict", "aligned", "control"],
        typer.Option(metavar="conflict|aligned|control", help="Which triplets count."),
    ] = "conflict",
    by: Annotated[
        Literal["family", "relation"], typer.Option(metavar="family|relation", help="What the rows are.")
    ] = "family",
    title: Title = None,
) -> None:
    """Draw accuracies by relation and encoder. It is a map of shades with the numbers in it."""
    from relsim.figures.heat_map import draw_heat_map

    _save(draw_heat_map(_named(results, "triplets"), kind=kind, by=by, title=title), out)


def paper(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the figures; made if missing.")],
    form: Annotated[
        list[str] | None, typer.Option("--format", metavar="svg|pdf|png", help="Again for more. Default: svg.")
    ] = None,
) -> None:
    """Draw Figures 6 and 8 and Table 2 of the paper, as printed. The table is written as .csv as well."""
    from relsim.figures.paper import write_paper
    from relsim.figures.style import suffix_of

    suffixes = [suffix_of(Path(f"figure.{name}")) for name in form or ["svg"]]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RelsimError(f"the folder {out} cannot be made: {(error.strerror or str(error)).lower()}") from error
    for path in write_paper(out, suffixes):
        emit(str(path))


def _save(figure: object, out: Path) -> None:
    from relsim.figures.style import save

    save(figure, out)  # type: ignore[arg-type]  # a matplotlib Figure, which is not imported here
    emit(str(out))


def _named(texts: list[str], kind: str) -> dict[str, ResultFile]:
    """Files by the names before `=`, else by their own; of a file in a folder that is the folder's."""
    from relsim.evaluation.result_files import LOG, require

    found: dict[str, ResultFile] = {}
    for text in texts:
        name, sign, path = text.partition("=")
        if not sign or Path(text).exists():
            name, path = "", text
        result = require(Path(path), kind)
        own = result.path.parent.resolve().name if result.path.name == LOG else result.path.stem
        name = name or own
        if name in found:
            raise RelsimError(f"{name} names two files; write NAME=FILE to tell them apart")
        found[name] = result
    return found
