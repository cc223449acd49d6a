"""Settings of a run: defaults, overrides, and errors that a person can act on."""

import pytest
import yaml

from relsim.errors import TrainingError
from relsim.training.config import TrainingConfig

LEAST = {"run": {"out": "runs/a"}, "model": {"base": "base"}, "data": {"manifests": ["a.jsonl"]}}


def made(*overrides):
    return TrainingConfig.from_yaml(None, ["run.out=runs/a", "model.base=base", "data.manifests=[a.jsonl]", *overrides])


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "run.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("task", ["metric", "caption"])
def test_defaults_are_the_published_ones(task):
    config = made(f"objective.task={task}")
    optimizer = config.optimizer
    found = (optimizer.learning_rate, optimizer.schedule, optimizer.warmup_steps, optimizer.batch_size)
    assert (*found, config.run.epochs, config.model.recipe) == {
        "metric": (1e-4, "cosine", 0, 64, 3, "crop448"),
        "caption": (2e-4, "linear", 50, 32, 50, "squash448"),
    }[task]
    assert (optimizer.weight_decay, optimizer.clip, config.run.seed) == (0.01, 1.0, 42)
    lora = config.model.lora
    assert (lora.r, lora.alpha, lora.dropout, lora.targets) == (16, 32, 0.05, ("q_proj", "v_proj"))
    assert config.objective.temperature == 0.07


def test_prompt_is_the_published_one(golden):
    assert made().model.prompt == yaml.safe_load((golden / "expected_captions.json").read_text())["prompt"]


def test_what_is_given_counts_for_more_than_the_default():
    config = made("objective.task=caption", "optimizer.batch_size=8", "model.recipe=squash112")
    assert (config.optimizer.batch_size, config.optimizer.learning_rate, config.model.recipe) == (8, 2e-4, "squash112")


def test_steps_take_the_place_of_the_default_epochs():
    assert (made("run.steps=5").run.steps, made("run.steps=5").run.epochs) == (5, None)


def test_file_and_back(written):
    config = made(
        "run.trackers=[wandb]", "optimizer.learning_rate=2.5e-7", "optimizer.betas=[0.9, 0.98]", "run.steps=7"
    )
    assert TrainingConfig.from_yaml(written(config.to_yaml())) == config


def test_saved_text_is_plain_yaml_with_every_setting():
    saved = yaml.safe_load(made().to_yaml())
    assert list(saved) == ["run", "model", "objective", "optimizer", "data", "samples"]
    assert saved["optimizer"]["weight_decay"] == 0.01
    assert "prompt: |" in made().to_yaml()


def test_override_counts_for_more_than_the_file_and_a_default_for_less(written):
    path = written("run: {out: x, seed: 1, keep: 5}\nmodel: {base: b}\ndata: {crops: c}\n")
    config = TrainingConfig.from_yaml(path, ["run.seed=2", "run.seed=3"], defaults=["run.keep=9", "run.log_every=4"])
    assert (config.run.seed, config.run.keep, config.run.log_every) == (3, 5, 4)


@pytest.mark.parametrize("text", ["1e-4", "1.0e-4", "0.0001", '"1e-4"'])
def test_every_way_to_write_a_number(text):
    """YAML takes 1e-4 for a text."""
    assert made(f"optimizer.learning_rate={text}").optimizer.learning_rate == 1e-4


def test_empty_section_is_one_without_settings(written):
    path = written("run:\nmodel: {base: b}\noptimizer:\nobjective:\ndata: {crops: c}\n")
    assert TrainingConfig.from_yaml(path, ["run.out=x"]).objective.task == "metric"


FAULTS = {
    "optimizer.batch_size=0": "optimizer.batch_size is 0; acceptable: greater than or equal to 1",
    "optimizer.batch_size=many": "optimizer.batch_size is 'many'; acceptable: a valid integer",
    "optimizer.learning_rate=.nan": "optimizer.learning_rate is nan; acceptable:",
    "optimizer.betas=[0.9]": "optimizer.betas[1] is not set",
    "optimizer.betas=[0.9, 1.0]": "optimizer.betas[1] is 1.0; acceptable: less than 1",
    "optimizer.schedule=cosin": "optimizer.schedule is 'cosin'; acceptable: 'cosine', 'linear' or 'constant'",
    "optimizer.lerning_rate=1": "optimizer.lerning_rate is not known; did you mean optimizer.learning_rate?",
    "optimizer.temperature=1": "optimizer.temperature is not known; did you mean objective.temperature?",
    "optimiser.clip=1": "optimiser is not known; did you mean optimizer? the configuration has run, model,",
    "model.lora=16": "model.lora is 16; acceptable: a section with r, alpha, dropout, targets",
    "model.recipe=native": "model.recipe is 'native'; acceptable: crop<side> or squash<side>, side a multiple of 4",
    "model.recipe=crop30": "model.recipe is 'crop30'; acceptable: crop<side>",
    "run.epochs=null": "exactly one of run.steps and run.epochs must be set",
    "data.manifests=[]": "data.manifests or data.crops must be set",
    "model.base=null": "model.base is None; acceptable: a valid string",
    "model.vision_tuned=true": "model.vision_tuned needs model.tune all",
}


@pytest.mark.parametrize("override", FAULTS)
def test_fault_names_the_key_the_value_and_what_is_acceptable(override):
    with pytest.raises(TrainingError) as caught:
        made(override)
    assert FAULTS[override] in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "pydantic" not in str(caught.value)


def test_all_faults_are_told_at_once():
    with pytest.raises(TrainingError) as caught:
        made("run.keep=0", "objective.temperature=-1")
    assert "run.keep is 0" in str(caught.value)
    assert "objective.temperature is -1" in str(caught.value)


def test_setting_without_default_is_named():
    with pytest.raises(TrainingError, match=r"run\.out is not set, .*model\.base is not set"):
        TrainingConfig.from_dict({"data": {"crops": "c"}})


@pytest.mark.parametrize("override", ["objective.mask_groups=true", "objective.mask_similarity=0.9", "model.tune=head"])
def test_settings_of_the_metric_are_refused_for_a_captioner(override):
    assert made(override)
    with pytest.raises(TrainingError, match=r"cannot be set with objective\.task caption, only with metric"):
        made(override, "objective.task=caption")


@pytest.mark.parametrize("override", ["batch_size=3", "optimizer.batch_size", "optimizer..x=1", "=1"])
def test_override_of_another_form(override):
    with pytest.raises(TrainingError, match=r"not of the form section\.key=value"):
        made(override)


def test_override_through_a_value():
    with pytest.raises(TrainingError, match="goes through seed, which is a value"):
        made("run.seed=1", "run.seed.x=2")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("run: {out: x", "is no YAML: .*line 1"),
        ("run:\n  out: a\n  out: b\n", "the key out is given twice"),
        ("- run\n", "must hold sections"),
        ("run: !!python/object/apply:os.getcwd []\n", "is no YAML"),
    ],
)
def test_file_that_is_no_configuration(written, text, fault):
    with pytest.raises(TrainingError, match=fault):
        TrainingConfig.from_yaml(written(text))


def test_file_that_is_not_there(tmp_path):
    with pytest.raises(TrainingError, match="cannot be read: no such file"):
        TrainingConfig.from_yaml(tmp_path / "none.yaml")


def test_error_names_the_file(written):
    path = written("run: {out: x, kep: 3}\nmodel: {base: b}\ndata: {crops: c}\n")
    with pytest.raises(TrainingError, match=rf"{path}: run\.kep is not known; did you mean run\.keep\?"):
        TrainingConfig.from_yaml(path)


def test_configuration_does_not_change():
    with pytest.raises(ValueError, match="frozen"):
        made().run.seed = 1
