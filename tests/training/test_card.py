"""The model card: what the configuration says stands there, and nothing else."""

import json
import re
import shutil

import pytest
import yaml

from relsim.training.crops import CropRow, CropStore, CropWriter
from relsim.training.loop import train


@pytest.fixture
def card(settings, tmp_path):
    """`card(*overrides)`: the card of the last checkpoint of a short run."""

    def make(*overrides):
        outcome = train(settings(tmp_path / "mine", "run.steps=2", *overrides))
        return (outcome.last / "README.md").read_text(), outcome

    return make


def header(text):
    return yaml.safe_load(text.split("---\n")[1])


def test_a_card_tells_recipe_data_and_figures(card):
    text, outcome = card("objective.mask_groups=true", "model.train_query_row=true")
    assert text.startswith("---\n")
    assert header(text)["library_name"] == "relsim"
    assert header(text)["tags"] == ["peft", "lora", "relational-similarity"]
    assert "# mine: metric checkpoint after 2 steps" in text
    assert "rank 16, alpha 32, dropout 0.05) on q_proj, v_proj; the base model is frozen; the query row" in text
    assert re.search(r"\| pictures \| \d+ for training, \d+ held out, crop56 \|", text)
    assert "InfoNCE, image to text, temperature 0.07, texts of the same group masked" in text
    for name, value in outcome.metrics.items():
        assert f"| {name}: " in text
        assert f"| {value:.4f} |" in text
    for part in ("How to load it", "How it was trained", "How good it is", "Limits", "Licence"):
        assert f"\n## {part}\n" in text


def test_a_card_of_a_captioner_says_so(card):
    text, _ = card("objective.task=caption", "model.tune=all", "data.eval_fraction=0")
    assert header(text)["pipeline_tag"] == "image-to-text"
    assert "Captioner.load" in text
    assert "all weights of the language model; the vision tower is frozen" in text
    assert "Nothing was held out" in text
    assert "InfoNCE" not in text


def test_skipped_pictures_are_on_the_card_and_in_the_record(card, crops, tmp_path):
    """Of the pictures to learn from, and of others that are held out; those of one store count once."""
    texts, places = ("A caption",), {}
    for name, statuses in {"crops": ("empty", "truncated", "empty"), "eval_crops": ("truncated", "dead")}.items():
        store = CropStore.open(shutil.copytree(crops, tmp_path / name, ignore=shutil.ignore_patterns("tokens-*")))
        rows = [CropRow(f"{number}", texts, status=status, reason="?") for number, status in enumerate(statuses)]
        with CropWriter(store.folder, store.recipe) as writer:
            writer.relabel(store, [*store.rows, *rows])
        places[name] = f"data.{name}={store.folder}"
    text, outcome = card("run.steps=1", "data.eval_fraction=0", *places.values())
    counts = {"empty": 2, "truncated": 2, "dead": 1}
    assert "24 for training, 24 held out, crop56; skipped: 5 (2 empty, 2 truncated, 1 dead) |" in text
    assert outcome.skipped == counts
    assert json.loads((outcome.last / "relsim.json").read_text())["training"]["skipped"] == counts
    shutil.rmtree(outcome.out)
    text, outcome = card("run.steps=1", places["crops"])
    assert "crop56; skipped: 3 (2 empty, 1 truncated) |" in text
    assert outcome.skipped == {"empty": 2, "truncated": 1}


def test_no_local_path_is_named_as_the_base_of_the_hub(card, golden):
    text, _ = card()
    assert "base_model" not in header(text)
