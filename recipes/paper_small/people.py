"""People who are not there: a study answered by a seeded rule, and the known truth as ratings of people.

**Simulated**: no one has looked at a picture. The rule knows what relation every picture shows. Where one of the two
pictures alone shows the query's relation, a simulated person chooses it in 85 of 100 cases, says `same` in 10 and
chooses the other in 5; where both or neither do, they say `same` in 70 and choose a side by chance otherwise.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np

from relsim.evaluation.result_files import write_whole
from relsim.evaluation.study import read_study
from relsim.evaluation.study_answers import CHOICES, SUFFIX, StudyAnswers

PEOPLE = 3
RIGHT, SAME = (0.85, 0.10, 0.05), 0.70
_BEGUN = datetime(2026, 1, 1, tzinfo=timezone.utc)


def simulate(path: Path, relations: Mapping[str, str], *, seed: int) -> None:
    """Answer every question of a study as so many simulated people, in the file of answers beside it."""
    study = read_study(path)
    answers = StudyAnswers(path.with_suffix(SUFFIX), study)
    for person in range(PEOPLE):
        for number, question in enumerate(study.questions):
            rng = np.random.default_rng([seed, person, number])
            wanted = relations[question.query.image_id]
            left, right = (relations[shown.image_id] == wanted for shown in (question.left, question.right))
            shares = ((1 - SAME) / 2, SAME, (1 - SAME) / 2) if left == right else RIGHT if left else RIGHT[::-1]
            choice = str(rng.choice(CHOICES, p=shares))
            now = _BEGUN + timedelta(hours=person, seconds=number)
            answers.record_answer(question.question_id, f"simulated {person + 1}", choice, now=now)


def write_truth(judged: Path, relations: Mapping[str, str], out: Path) -> None:
    """What is known of each judged pair as a rating: 10 where both show one relation, 0 where they do not."""
    rows = [row for rows in json.loads(judged.read_text())["detailed_results"].values() for row in rows]
    pairs = dict.fromkeys((row["query_id"], row["retrieved_id"]) for row in rows)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("query_id", "retrieved_id", "score"))
    writer.writerows((*pair, 10 if relations[pair[0]] == relations[pair[1]] else 0) for pair in pairs)
    write_whole(out, text.getvalue().encode())
