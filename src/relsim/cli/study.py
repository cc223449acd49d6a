"""`relsim study`: questions for people from retrieval runs, and what their answers come to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relsim.cli import options
from relsim.cli.output import emit, note, print_json, print_rows
from relsim.errors import RelsimError

if TYPE_CHECKING:
    from relsim.evaluation.study_results import StudyResults


def new(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RETRIEVAL...", help="retrieval.json or retrieved_images.json of one or more runs."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The study: a .json file.")] = Path(
        "study.json"
    ),
    method: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A method to ask about; again for more. Default: all.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="NAME", help="Compare this method with each other one, not every two.")
    ] = None,
    queries: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Questions for each two methods. Default: all queries.")
    ] = None,
    answers: Annotated[int, typer.Option(metavar="N", min=1, help="Answers wanted for each question.")] = 3,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Which queries are asked, in which order, and who is on the left.")
    ] = 0,
    as_json: options.AsJson = False,
) -> None:
    """Make the questions of a study from retrieval runs.

    A question shows a query and the first match of two methods, unnamed: which works more like it? Queries for which
    both found the same picture are not asked.
    """
    from relsim.evaluation.result_files import only, rankings, require
    from relsim.evaluation.study import merged, new_study, write_study

    if out.suffix != ".json":
        raise RelsimError(f"a study is a .json file, and {out} is not named so")
    if out.exists():
        raise RelsimError(f"{out} exists already, and answers may belong to it; name another file with --out")
    found = merged([rankings(require(path, "retrieval", "retrieved")) for path in runs])
    study = new_study(
        only(found, method or []),
        against=against,
        queries=queries,
        answers_wanted=answers,
        seed=seed,
        sources=[str(path) for path in runs],
    )
    write_study(out, study)
    if as_json:
        print_json(study.to_json())
        return
    print_rows(
        ["questions", "same picture", "first : second"],
        [
            [
                f"{sum(question.methods == {first, second} for question in study.questions):,}",
                f"{same:,}",
                f"{first} : {second}",
            ]
            for (first, second), same in zip(study.pairs, study.same, strict=True)
        ],
    )
    emit(f"{out}: {len(study.questions):,} questions, {answers} answers wanted for each")


def results(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="A study that `relsim study new` made.")],
    answers: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its answers (.sqlite). Default: beside it, of the same name.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write the results (.json), for figures.")
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the preferences: .png, .pdf or .svg.")
    ] = None,
    export: Annotated[Path | None, typer.Option(metavar="FILE", help="Write all answers as CSV.")] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of the intervals.")] = 0,
    as_json: options.AsJson = False,
) -> None:
    """Count the answers of a study: preferences, intervals, agreement.

    Intervals are 95 % bootstraps over questions, since people answer the same ones.
    """
    from relsim.evaluation.result_files import write_json, write_whole
    from relsim.evaluation.study import read_study
    from relsim.evaluation.study_answers import SUFFIX, StudyAnswers, answers_csv
    from relsim.evaluation.study_results import study_results

    asked = read_study(study)
    path = answers or study.with_suffix(SUFFIX)
    if not path.is_file():
        raise RelsimError(f"there are no answers in {path} yet; they are collected there, or named with --answers")
    given = StudyAnswers(path, asked).answers()
    found = study_results(asked, given, seed=seed)
    if figure is not None:
        _draw(found, figure)
    if out is not None:
        write_json(out, found.to_json())
    if export is not None:
        write_whole(export, answers_csv(asked, given).encode())
    if as_json:
        print_json(found.to_json())
        return
    columns, *rows = found.rows()
    print_rows(columns, rows)
    _tell(found)


def _draw(found: StudyResults, figure: Path) -> None:
    from relsim.evaluation.result_files import ResultFile
    from relsim.figures.preferences import draw_preferences, preferences_of
    from relsim.figures.style import save

    result = ResultFile(Path("the study"), "study_results", found.to_json())
    save(draw_preferences(preferences_of(result)), figure)


def _tell(found: StudyResults) -> None:
    """What belongs to the whole study."""
    agreement = found.agreement
    numbers = [
        f"{name} {value:.2f} ({count:,} questions)"
        for name, value, count in (
            ("Fleiss' kappa", agreement.kappa, agreement.kappa_questions),
            ("Krippendorff's alpha", agreement.alpha, agreement.alpha_questions),
        )
        if value is not None
    ]
    people = (
        f"{found.answers:,} answers of {found.people:,} people; {found.complete:,} of {found.questions:,} questions"
    )
    note(f"{people} have {found.answers_wanted} or more")
    note("agreement: " + (", ".join(numbers) or "not defined for these answers"))
    if found.left is not None:
        left = found.left
        note(f"the left one was taken in {100 * left.value:.1f} % ({100 * left.low:.1f} to {100 * left.high:.1f})")
