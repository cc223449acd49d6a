"""The published captioner's config.yaml as settings of a run."""

import json

import pytest
import yaml

from relsim.errors import TrainingError
from relsim.training import published_config
from relsim.training.config import TrainingConfig
from relsim.training.published_config import HELD_OUT, is_published

PUBLISHED = {
    "wandb": {"project": "anonymous-caption-qwen2.5-vl", "enabled": True},
    "model": {"name": "Qwen/Qwen2.5-VL-7B-Instruct", "torch_dtype": "auto", "device_map": "auto"},
    "lora": {
        "r": 16,
        "lora_alpha": 32,
        "target_modules": ["q_proj", "v_proj"],
        "lora_dropout": 0.05,
        "bias": "none",
        "task_type": "CAUSAL_LM",
    },
    "data": {
        "train_json": "./seed-groups/seed_group.json",
        "test_json": "./seed-groups/seed_group.json",
        "train_image_folder": "./seed-groups/images/",
        "test_image_folder": "./seed-groups/images/",
    },
    "image": {"target_size": [448, 448]},
    "training": {
        "output_dir": "./ckpt/",
        "per_device_train_batch_size": 32,
        "gradient_accumulation_steps": 1,
        "learning_rate": 2.0e-4,
        "num_train_epochs": 50,
        "warmup_steps": 50,
        "logging_steps": 1,
        "logging_first_step": True,
        "save_strategy": "steps",
        "save_steps": 100,
        "save_total_limit": None,
        "eval_strategy": "no",
        "fp16": True,
    },
    "generation": {"max_new_tokens": 128, "do_sample": False, "temperature": 1.0},
    "evaluation": {"interval": 50, "sentence_transformer_model": "all-MiniLM-L6-v2"},
    "misc": {"seed": 42, "shuffle_data": True},
}
"""Every key and value of the published file; its prompt is in the golden data."""


@pytest.fixture
def read(tmp_path, golden):
    """`read(training={…}, …)`: the published file as settings, these keys put over its sections (None: without)."""
    prompt = json.loads((golden / "expected_captions.json").read_text())["prompt"]

    def settings(*overrides, **sections):
        values = {**PUBLISHED, "prompt": {"anonymous_captioning": prompt}}
        for name, keys in sections.items():
            values[name] = {**values[name], **keys} if keys is not None else None
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump({name: keys for name, keys in values.items() if keys is not None}))
        return TrainingConfig.from_yaml(path, overrides)

    return settings


def test_the_published_file_means_what_it_means_there(read, golden):
    config = read()
    run, optimizer, data, lora = config.run, config.optimizer, config.data, config.model.lora
    assert (config.objective.task, config.model.base, config.model.tune) == (
        "caption",
        "Qwen/Qwen2.5-VL-7B-Instruct",
        "lora",
    )
    assert (lora.r, lora.alpha, lora.dropout, lora.targets) == (16, 32, 0.05, ("q_proj", "v_proj"))
    assert (config.model.recipe, config.model.prompt) == (
        "squash448",
        json.loads((golden / "expected_captions.json").read_text())["prompt"],
    )
    assert (optimizer.batch_size, optimizer.micro_batch_size, optimizer.learning_rate) == (32, None, 2e-4)
    # What transformers' trainer takes where nothing is said.
    assert (optimizer.schedule, optimizer.warmup_steps, optimizer.weight_decay) == ("linear", 50, 0.0)
    assert (optimizer.betas, optimizer.clip, optimizer.kind) == ((0.9, 0.999), 1.0, "adamw")
    assert (run.epochs, run.steps, run.seed, run.precision) == (50, None, 42, "fp16")
    assert (run.log_every, run.save_every, run.keep, str(run.out)) == (1, 100, None, "ckpt")
    assert run.project == "anonymous-caption-qwen2.5-vl"
    assert [str(path) for path in data.manifests] == ["seed-groups/seed_group.json"]
    assert (str(data.image_folder), data.eval_fraction, data.eval_manifest) == ("seed-groups/images", HELD_OUT, None)
    samples = config.samples
    assert (samples.every, samples.max_new_tokens, samples.temperature, samples.top_p) == (50, 128, 0.7, 0.9)


def test_what_trainer_defaults_are_is_what_transformers_says(read):
    """transformers is the oracle for what the published file does not say."""
    from transformers import TrainingArguments

    defaults = {name: field.default for name, field in TrainingArguments.__dataclass_fields__.items()}
    optimizer = read().optimizer
    assert optimizer.weight_decay == defaults["weight_decay"]
    assert optimizer.betas == (defaults["adam_beta1"], defaults["adam_beta2"])
    assert optimizer.clip == defaults["max_grad_norm"]
    assert optimizer.schedule == getattr(defaults["lr_scheduler_type"], "value", defaults["lr_scheduler_type"])


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"training": {"gradient_accumulation_steps": 4}}, {"batch_size": 128, "micro_batch_size": 32}),
        ({"training": {"lr_scheduler_type": "constant"}}, {"schedule": "constant", "warmup_steps": 0}),
        ({"training": {"lr_scheduler_type": "constant_with_warmup"}}, {"schedule": "constant", "warmup_steps": 50}),
        ({"training": {"max_grad_norm": 0}}, {"clip": None}),
        ({"training": {"max_steps": 500}}, {"steps": 500, "epochs": None}),
        ({"training": {"fp16": False}}, {"precision": "auto"}),
        ({"training": {"fp16": False, "bf16": True}}, {"precision": "bf16"}),
        (
            {"training": {"save_total_limit": 3, "eval_strategy": "steps", "eval_steps": 7}},
            {"keep": 3, "eval_every": 7},
        ),
        ({"training": {"seed": 7}}, {"seed": 7}),
        ({"image": {"target_size": [112, 112]}}, {"recipe": "squash112"}),
        ({"generation": {"do_sample": True, "temperature": 0.5, "top_p": 0.8}}, {"temperature": 0.5, "top_p": 0.8}),
        ({"data": {"train_json": ["a.json", "b.json"]}}, {"manifests": ["a.json", "b.json"]}),
        ({"wandb": None}, {"trackers": []}),
        ({"misc": None, "evaluation": None, "image": None}, {"seed": 42, "every": 50, "recipe": "squash448"}),
    ],
)
def test_other_values_have_their_counterparts(read, sections, expected):
    settings = read(**sections).model_dump(mode="json")
    del settings["objective"]  # which has a temperature too
    flat = {name: value for section in settings.values() for name, value in section.items()}
    assert {name: flat[name] for name in expected} == expected


def test_test_data_of_their_own_are_evaluated_on(read):
    data = read(data={"test_json": "test.json", "test_image_folder": "others"}).data
    assert (str(data.eval_manifest), str(data.eval_image_folder), data.eval_fraction) == ("test.json", "others", 0)


@pytest.mark.parametrize(("installed", "trackers"), [(True, ("wandb",)), (False, ())])
def test_wandb_is_used_where_it_is_installed(read, monkeypatch, caplog, installed, trackers):
    monkeypatch.setattr(published_config, "find_spec", lambda name: name if installed else None)
    assert read().run.trackers == trackers
    assert ("wandb is not installed" in caplog.text) != installed


def test_what_has_no_meaning_here_is_told_by_name(read, caplog):
    read(training={"dataloader_num_workers": 8}, wandb={"api_key": "secret"})
    (line,) = [record.getMessage() for record in caplog.records if "without a meaning" in record.getMessage()]
    names = line.partition("without a meaning here: ")[2].split(", ")
    assert names == [
        "wandb.api_key",
        "model.torch_dtype",
        "model.device_map",
        "training.logging_first_step",
        "training.dataloader_num_workers",
        "evaluation.sentence_transformer_model",
        "misc.shuffle_data",
    ]
    assert "keys are not read from files; set WANDB_API_KEY" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("sections", "fault"),
    [
        ({"training": {"learning_rat": 1}}, "training.learning_rat is not known; did you mean training.learning_rate?"),
        ({"training": {"lora_alpha": 1}}, "training.lora_alpha is not known; did you mean lora.lora_alpha?"),
        ({"generation": {"top_k": 5}}, "generation.top_k is not known; did you mean generation.top_p?"),
        ({"training": {"learning_rate": "fast"}}, "training.learning_rate is 'fast'; acceptable: a valid number"),
        ({"training": {"save_strategy": "epoch"}}, "training.save_strategy is 'epoch'; acceptable: 'steps'"),
        ({"training": {"optim": "adafactor"}}, "training.optim is 'adafactor'; acceptable: 'adamw_torch'"),
        ({"training": {"bf16": True}}, "training.fp16 and training.bf16 exclude each other"),
        ({"lora": {"bias": "all"}}, "lora.bias is 'all'; acceptable: 'none'"),
        ({"lora": {"target_modules": "all-linear"}}, "lora.target_modules is 'all-linear'; acceptable: a valid list"),
        ({"image": {"target_size": [448, 336]}}, r"image.target_size is \[448, 336\]; acceptable: a square"),
        ({"generation": {"num_beams": 4}}, "generation.num_beams is 4; acceptable: 1"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_its_own_name(read, sections, fault):
    with pytest.raises(TrainingError, match=rf"config\.yaml: {fault}"):
        read(**sections)


def test_a_section_that_is_not_known_is_refused(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("lora: {r: 4}\nmiscellaneous: {seed: 1}\n")
    with pytest.raises(TrainingError, match=r"miscellaneous is not known; .*has wandb, model, lora"):
        TrainingConfig.from_yaml(path)


@pytest.mark.parametrize(
    ("sections", "published"),
    [
        (["model", "data"], False),
        (["run", "model", "data"], False),
        (["model", "data", "samples"], False),
        (["model", "lora", "data"], True),
        (["run", "lora"], False),
        ([], False),
    ],
)
def test_the_form_is_told_by_its_sections(sections, published):
    assert is_published(dict.fromkeys(sections)) == published


def test_our_form_is_read_as_before_and_what_is_saved_is_ours(read, tmp_path, caplog):
    config = read("run.out=elsewhere", "optimizer.learning_rate=0.5")
    assert (str(config.run.out), config.optimizer.learning_rate) == ("elsewhere", 0.5)
    caplog.clear()
    (tmp_path / "saved.yaml").write_text(config.to_yaml())
    assert TrainingConfig.from_yaml(tmp_path / "saved.yaml") == config
    assert not caplog.records
