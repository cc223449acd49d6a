"""The scores of unrelated held-out pictures, which a trained metric carries so that its scores have percentiles."""

import numpy as np
import pytest
import torch

from relsim.models.checkpoint import read_checkpoint
from relsim.models.pixels import Recipe
from relsim.training.crops import CropStore, CropWriter
from relsim.training.feed import Part
from relsim.training.loop import train
from relsim.training.metric_task import unrelated_scores
from relsim.vectors.calibration import percentile_of


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """80 crops of noise in two groups."""
    folder, rng = tmp_path_factory.mktemp("stored") / "many", np.random.default_rng(6)
    with CropWriter(folder, Recipe.parse("crop56")) as writer:
        for number in range(80):
            square = rng.integers(0, 256, (56, 56, 3)).astype(np.uint8)
            writer.append(square, str(number), [f"Kind {number % 2} of {{Things}}"], group=str(number % 2))
        writer.publish()
    return folder


def test_a_checkpoint_carries_the_scores_of_unrelated_held_out_pictures(settings, many, tmp_path):
    """Those of the 676 pairs of the two groups, where at least fifty pictures are held out; with fewer none."""
    held = ("run.steps=2", f"data.crops={many}", "data.eval_fraction=0.65")
    checkpoint = read_checkpoint(train(settings(tmp_path / "run", *held)).last)
    assert checkpoint.null_distribution is not None
    scores = checkpoint.null_distribution["scores"]
    assert -1 <= scores[0] < scores[52] < scores[-1] <= 1
    few = train(settings(tmp_path / "few", "run.steps=2"))
    assert read_checkpoint(few.last).null_distribution is None


def test_scores_of_unrelated_pictures_are_those_of_different_logic(many):
    """Against the quantiles of all pairs of unequal groups; 100,000 draws leave half a point open."""
    part = Part(CropStore.open(many), np.arange(60))
    vectors = torch.nn.functional.normalize(torch.randn(60, 16, generator=torch.Generator().manual_seed(1)), dim=1)
    null = unrelated_scores(vectors, part)
    assert null is not None
    apart = np.array([[a != b for b in part.groups] for a in part.groups])
    scores = (vectors @ vectors.T).numpy()[apart]
    for score in np.quantile(scores, [0.05, 0.5, 0.95]):
        assert percentile_of(float(score), null) == pytest.approx(100 * (scores < score).mean(), abs=0.5)
    assert unrelated_scores(vectors[:49], Part(part.store, np.arange(49))) is None
    assert unrelated_scores(vectors[:50], Part(part.store, np.tile(np.arange(0, 80, 2), 2)[:50])) is None
