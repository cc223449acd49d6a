"""Figures of agreement against scikit-learn and closed forms; thresholds against brute force."""

import numpy as np
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from relsim.captions import agreement
from relsim.captions.agreement import Bin, Confusion, Threshold, choose_threshold, cross_fitted
from relsim.captions.calibration_plot import draw_calibration
from relsim.errors import TrainingError
from relsim.evaluation.statistics import wilson


def drawn(seed, count=300, digits=2):
    """Scores with many ties, and labels that follow them about as often as they say."""
    rng = np.random.default_rng(seed)
    scores = rng.beta(0.6, 1.8, count).round(digits)
    return rng.random(count) < scores, scores


CASES = [drawn(seed) for seed in range(4)] + [drawn(9, 30, 1), drawn(8, 500, 9)]


@pytest.mark.parametrize(("labels", "scores"), CASES)
class TestAgainstScikitLearn:
    def test_errors_at_a_threshold(self, labels, scores):
        found = Confusion.at(labels, scores, 0.4).to_json()
        said = scores >= 0.4
        assert found["precision"]["value"] == pytest.approx(metrics.precision_score(labels, said))
        assert found["recall"]["value"] == pytest.approx(metrics.recall_score(labels, said))
        assert found["f1"] == pytest.approx(metrics.f1_score(labels, said))
        assert found["agreement"]["value"] == pytest.approx(metrics.accuracy_score(labels, said))
        (true_no, false_yes), (false_no, true_yes) = metrics.confusion_matrix(labels, said)
        assert list(found["confusion"].values()) == [true_yes, false_yes, false_no, true_no]

    def test_ranking(self, labels, scores):
        found = agreement.report(labels, scores, Threshold(0.4, "given"))
        assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(labels, scores))
        assert agreement.average_precision(labels, scores) == pytest.approx(
            metrics.average_precision_score(labels, scores)
        )

    def test_calibration(self, labels, scores):
        assert agreement.brier(labels, scores) == pytest.approx(metrics.brier_score_loss(labels, scores))
        inside = np.clip(scores, 1e-6, 1 - 1e-6)
        assert agreement.log_loss(labels, inside) == pytest.approx(metrics.log_loss(labels, inside))
        # Bins are closed below here and above there, so no score may lie on an edge.
        moved = scores * 0.97 + 0.0137
        bins = agreement.reliability(labels, moved)
        shares, means = calibration_curve(labels, moved, n_bins=10)
        assert [bin_.yes / bin_.count for bin_ in bins] == pytest.approx(shares)
        assert [bin_.score for bin_ in bins] == pytest.approx(means)
        assert sum(bin_.count for bin_ in bins) == len(labels)

    def test_the_best_f1_is_that_of_trying_all(self, labels, scores):
        tried = [metrics.f1_score(labels, scores >= value) for value in np.unique(scores)]
        chosen = choose_threshold(labels, scores)
        assert Confusion.at(labels, scores, chosen.value).f1 == pytest.approx(max(tried))
        assert chosen.value not in scores

    @pytest.mark.parametrize("least", [0.5, 0.7])
    def test_the_recall_at_a_precision_is_that_of_trying_all(self, labels, scores, least):
        tried = [
            metrics.recall_score(labels, scores >= value)
            for value in np.unique(scores)
            if metrics.precision_score(labels, scores >= value) >= least
        ]
        chosen = choose_threshold(labels, scores, precision_at_least=least)
        assert chosen.reached
        found = Confusion.at(labels, scores, chosen.value).to_json()
        assert found["recall"]["value"] == pytest.approx(max(tried))
        assert found["precision"]["value"] >= least


def test_a_precision_that_is_out_of_reach_gives_the_most_precise_threshold():
    labels, scores = np.array([True, False, True, False]), np.array([0.9, 0.9, 0.5, 0.1])
    chosen = choose_threshold(labels, scores, precision_at_least=0.99)
    assert chosen == Threshold(0.3, "precision of at least 0.99", reached=False)


def test_errors_that_are_nobody_s_own():
    """Worked out by hand: the halves are (0.9, 0.3 | 0.8, 0.2) and (0.6, 0.7 | 0.4, 0.1), Yes before No."""
    labels = np.array([True, True, True, True, False, False, False, False])
    scores = np.array([0.9, 0.6, 0.3, 0.7, 0.8, 0.4, 0.2, 0.1])
    # The first half's best F1 keeps 0.9, 0.8 and 0.3 (0.8); the second's 0.7 and 0.6 (1.0).
    first, second = (0.3 + 0.2) / 2, (0.6 + 0.4) / 2
    assert choose_threshold(labels[::2], scores[::2]).value == pytest.approx(first)
    assert choose_threshold(labels[1::2], scores[1::2]).value == pytest.approx(second)
    assert cross_fitted(labels, scores) == Confusion.at(labels[::2], scores[::2], second) + Confusion.at(
        labels[1::2], scores[1::2], first
    )
    assert cross_fitted(labels, scores) == Confusion(true_yes=3, false_yes=2, false_no=1, true_no=2)


def test_one_picture_of_a_label_leaves_nothing_to_fit_across():
    assert cross_fitted(np.array([True, False, False]), np.array([0.9, 0.1, 0.2])) is None


def test_scores_that_say_how_often_they_are_right_have_no_calibration_error():
    labels = np.repeat([True, False, True, False], [1, 3, 3, 1])
    scores = np.repeat([0.25, 0.75], 4)
    bins = agreement.reliability(labels, scores)
    assert bins == [Bin(0.2, pytest.approx(0.3), 4, 0.25, 1), Bin(0.7, 0.8, 4, 0.75, 3)]
    assert agreement.calibration_error(bins) == pytest.approx(0)
    assert agreement.calibration_error(agreement.reliability(labels, 1 - scores)) == pytest.approx(0.5)


def test_shares_have_intervals():
    found = Confusion(true_yes=8, false_yes=2, false_no=4, true_no=86).to_json()
    assert found["precision"] == wilson(8, 10).to_json()
    assert found["recall"] == wilson(8, 12).to_json()
    assert found["agreement"] == wilson(94, 100).to_json()


def test_a_filter_that_never_says_yes_has_no_precision():
    found = Confusion.at(np.array([True, False]), np.array([0.2, 0.1]), 0.5).to_json()
    assert (found["precision"], found["recall"]["value"], found["f1"]) == (None, 0.0, 0.0)


def test_a_report_needs_both_labels():
    with pytest.raises(ValueError, match="both kinds"):
        agreement.report([True, True], [0.1, 0.9], Threshold(0.5, "given"))


def test_the_plot_is_a_picture_with_every_bin(tmp_path):
    from PIL import Image

    labels, scores = drawn(3)
    sizes = []
    for name, bins in (("some.png", agreement.reliability(labels, scores)), ("one.png", [Bin(0.9, 1.0, 5, 0.95, 5)])):
        draw_calibration(tmp_path / name, bins, brier=0.1, threshold=0.4, title="Held-out pictures")
        with Image.open(tmp_path / name) as picture:
            sizes.append(picture.size)
            blue = (np.asarray(picture.convert("RGB")) == (0x2B, 0x6C, 0xB0)).all(-1)
        assert blue.sum() > 100
    assert sizes == [(720, 840), (720, 840)]
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["one.png", "some.png"]


def test_a_plot_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(TrainingError, match="cannot be written"):
        draw_calibration(tmp_path / "no" / "plot.png", [Bin(0, 0.1, 1, 0.05, 0)], brier=0, threshold=0.5, title="x")
