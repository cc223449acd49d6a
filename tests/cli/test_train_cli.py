"""`relsim train`: flags and files become the settings of a run; one short run is real."""

import subprocess
import sys

import pytest

PUBLISHED = {
    "--json_files": "a.jsonl",
    "--image_folder": "images",
    "--output_dir": "ckpt",
    "--run_name": "bs64",
    "--batch_size": "64",
    "--learning_rate": "1e-4",
    "--num_epochs": "3",
    "--temperature": "0.07",
    "--save_steps": "1000",
    "--logging_steps": "1",
}
"""The flags of the published train.sh, as it spells them."""


@pytest.fixture
def settings(verb, monkeypatch, tmp_path):
    """`settings("metric", …)`: what the loop is called with, as (configuration, options); nothing is trained."""
    from relsim.training import loop

    calls = []

    def stand_in(config, **options):
        calls.append((config, options))
        return loop.Outcome(config.run.out, 5, tmp_path / "last", None, {})

    monkeypatch.setattr(loop, "train", stand_in)

    def run(*arguments):
        result = verb("train", *arguments)
        assert result.exit_code == 0, result.stderr
        return calls.pop()

    return run


def flat(flags):
    return [word for flag in flags.items() for word in flag]


@pytest.mark.parametrize("spelling", ["underscores", "dashes"])
def test_published_flags_mean_what_they_mean_there(settings, spelling):
    flags = {name if spelling == "underscores" else name.replace("_", "-"): value for name, value in PUBLISHED.items()}
    config, options = settings("metric", *flat(flags))
    assert [str(path) for path in config.data.manifests] == ["a.jsonl"]
    assert (str(config.data.image_folder), str(config.run.out)) == ("images", "ckpt/bs64")
    optimizer, run = config.optimizer, config.run
    assert (optimizer.batch_size, optimizer.learning_rate, config.objective.temperature) == (64, 1e-4, 0.07)
    assert (run.epochs, run.steps, run.save_every, run.log_every) == (3, None, 1000, 1)
    assert config.model.base == "Qwen/Qwen2.5-VL-7B-Instruct"
    assert (config.objective.task, config.model.recipe, config.model.tune) == ("metric", "crop448", "lora")
    assert options["resume"] is False


@pytest.mark.parametrize(
    "words",
    [
        ["--json-files", "a.jsonl", "b.jsonl", "c.jsonl"],
        ["--json-files", "a.jsonl", "--json_files", "b.jsonl", "--json-files", "c.jsonl"],
        ["a.jsonl", "b.jsonl", "c.jsonl"],
    ],
)
def test_several_manifests(settings, words):
    config, _ = settings("metric", *words, "--batch-size", "8", "--out", "x")
    assert [str(path) for path in config.data.manifests] == ["a.jsonl", "b.jsonl", "c.jsonl"]
    assert config.optimizer.batch_size == 8


def test_every_flag_has_its_setting(settings):
    words = "--base-model b --micro-batch-size 4 --precision fp32 --recipe squash112 --seed 7 --crops store -o x"
    more = ["--tracker", "wandb", "--tracker", "trackio", "--set", "optimizer.betas=[0.9, 0.98]", "--resume"]
    config, options = settings("captioner", "a.jsonl", *words.split(), *more)
    assert (config.model.base, config.model.recipe, str(config.data.crops)) == ("b", "squash112", "store")
    assert (config.optimizer.micro_batch_size, config.optimizer.betas) == (4, (0.9, 0.98))
    assert (config.run.precision, config.run.seed, config.run.trackers) == ("fp32", 7, ("wandb", "trackio"))
    assert (config.objective.task, config.optimizer.schedule) == ("caption", "linear")
    assert options["resume"] is True


def test_flags_count_for_more_than_the_file_and_set_for_more_than_flags(settings, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        "run: {out: from-file, steps: 10, seed: 1}\nmodel: {base: b}\n"
        "optimizer: {batch_size: 5}\ndata: {crops: c}\nobjective: {temperature: 0.1}\n"
    )
    config, _ = settings("metric", "--config", path, "--seed", 2, "--batch-size", 6, "--set", "optimizer.batch_size=7")
    assert (str(config.run.out), config.run.steps, config.run.seed) == ("from-file", 10, 2)
    assert (config.optimizer.batch_size, config.model.base, config.objective.temperature) == (7, "b", 0.1)
    by_epochs, _ = settings("metric", "--config", path, "--num-epochs", 2)
    assert (by_epochs.run.epochs, by_epochs.run.steps) == (2, None)


def test_base_model_of_the_environment(settings, monkeypatch):
    monkeypatch.setenv("RELSIM_BASE_MODEL", "/models/base")
    assert settings("metric", "a.jsonl", "-o", "x")[0].model.base == "/models/base"


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["metric", "-o", "x"], "data.manifests or data.crops must be set"),
        (["metric", "a.jsonl", "-o", "x", "--batch-size", "0"], "optimizer.batch_size is 0; acceptable: greater than"),
        (["metric", "a.jsonl", "-o", "x", "--recipe", "native"], "model.recipe is 'native'; acceptable: crop<side>"),
        (["metric", "a.jsonl", "-o", "x", "--set", "run.stepz=1"], "did you mean run.steps?"),
        (["captioner", "a.jsonl", "-o", "x", "--temperature", "1"], "--temperature belongs to relsim train metric"),
        (["metric", "a.jsonl", "-o", "x", "--set", "objective.task=caption"], "says objective.task caption"),
        (["metric", "--config", "/nowhere.yaml"], "/nowhere.yaml cannot be read: no such file"),
    ],
)
def test_faults_are_one_line(refused, words, fault):
    assert fault in refused("train", *words)


def test_skipped_images_are_in_the_document(document, monkeypatch, tmp_path):
    from relsim.training import filter_run, labels, loop

    outcome = loop.Outcome(tmp_path, 5, tmp_path / "last", None, {}, {"empty": 2})
    monkeypatch.setattr(loop, "train", lambda *_, **__: outcome)
    of_filter = filter_run.FilterOutcome(outcome, tmp_path / "last", {"labels": {}})
    monkeypatch.setattr(filter_run, "train_filter", lambda *_, **__: of_filter)
    monkeypatch.setattr(labels, "labelled_samples", lambda *_: [])
    for task in ("metric", "captioner", "filter"):
        assert document("train", task, "a.jsonl")["skipped"] == {"empty": 2}


def test_unknown_task_is_wrong_usage(verb):
    assert verb("train", "judge").exit_code == 2


def test_help_loads_no_library_of_training(environment):
    script = (
        "import sys\nfrom typer.testing import CliRunner\nfrom relsim.cli.main import app\n"
        "assert CliRunner().invoke(app, ['train', '--help']).exit_code == 0\n"
        "print([name for name in ('torch', 'transformers', 'accelerate', 'numpy', 'yaml') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_run_with_the_published_flags(verb, refused, document, golden, golden_paths, tmp_path):
    """Two steps on the golden training data: settings and checkpoints are left, the last one scores."""
    from relsim.training.config import TrainingConfig

    out, train = tmp_path / "run", golden / "train"
    words = f"--json_files {train / 'train.jsonl'} --image_folder {train / 'images'} --output_dir {out} --batch_size 4"
    more = f"--num_epochs 1 --save_steps 1 --logging_steps 1 --base-model {golden / 'base'} --recipe crop56"
    found = document("train", "metric", *words.split(), *more.split(), "--precision", "fp32")
    assert (found["schema"], found["steps"], found["out"], found["best"]) == ("relsim.train/1", 2, str(out), None)
    saved = TrainingConfig.from_yaml(out / "config.yaml")
    assert (saved.optimizer.batch_size, saved.model.recipe) == (4, "crop56")
    flags = ["--checkpoint", found["last"], "--base-model", golden / "base", "--device", "cpu"]
    assert verb("score", *golden_paths[:2], *flags).exit_code == 0
    assert "holds a run already; resume it" in refused("train", "metric", *words.split(), *more.split())
    again = verb("train", "metric", *words.split(), *more.split(), "--precision", "fp32", "--resume")
    assert again.stdout.startswith(f"{out}: 2 steps done; last checkpoint ")
