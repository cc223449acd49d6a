"""The loop: what a step does, against the plain computation; what a run writes."""

import json
import math
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from relsim.errors import TrainingError
from relsim.models.checkpoint import read_checkpoint
from relsim.training.crops import CropStore, CropWriter
from relsim.training.feed import Feed, open_data
from relsim.training.flat import FlatParameters
from relsim.training.loop import train
from relsim.training.network import TrainingNetwork
from relsim.training.processes import Processes
from relsim.training.prompts import prepare_processor
from relsim.training.schedule import rate
from relsim.training.tasks import is_better, make_task
from relsim.training.texts import TextVectors
from relsim.training.tracking import read_log

ALL = ("model.tune=all", "model.vision_tuned=true")


@dataclass
class Alone:
    """What `Processes` reads of an accelerator that runs one process."""

    process_index: int = 0
    num_processes: int = 1
    is_main_process: bool = True
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


@pytest.fixture
def gradient(settings, tmp_path):
    """`gradient(*overrides)`: network, batch, and the first step's gradient and sums, as the task gives them."""

    def run(*overrides):
        config = settings(tmp_path / "run", *overrides)
        data = open_data(config)
        base = Path(config.model.base)
        processor = base if config.objective.task != "metric" else prepare_processor(base, tmp_path / "processor")
        network = TrainingNetwork(
            config, device=torch.device("cpu"), precision=config.run.precision, processor=processor
        )
        optimizer = config.optimizer
        feed = Feed(
            data.train,
            network.pixels,
            seed=config.run.seed,
            batch_size=optimizer.batch_size,
            micro_batch_size=optimizer.micro_batch_size,
        )
        task = make_task(config, network, data, Processes(Alone()))
        batch = feed.batch(0)

        def backward(loss):
            loss.backward()
            network.flat.collect()

        sums = task.learn(batch, backward)
        return config, data, network, batch, network.flat.gradient.clone(), sums

    return run


def plain_metric_loss(data, network, batch, temperature=0.07, *, both=False):
    """The contrastive loss of the whole batch in one pass, written out."""
    captions = data.train.captions
    chosen = [captions[row][choice] for row, choice in zip(batch.rows, batch.paraphrases, strict=True)]
    texts = torch.from_numpy(TextVectors.of(chosen)[chosen])
    logits = network.embed(torch.cat(batch.pictures)) @ texts.T / temperature
    labels = torch.arange(len(chosen))
    loss = cross_entropy(logits, labels)
    return (loss + cross_entropy(logits.T, labels)) / 2 if both else loss


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("tune", [ALL, ("model.lora.dropout=0",), ("model.tune=head", "model.train_query_row=true")])
def test_micro_batches_give_the_gradient_of_the_whole_batch(gradient, tune, both):
    _, data, network, batch, found, sums = gradient(*tune, f"objective.two_directional={both}")
    network.flat.zero_gradient()
    loss = plain_metric_loss(data, network, batch, both=both)
    loss.backward()
    assert len(batch.pictures) == 2
    assert sums[0].item() / 8 == pytest.approx(loss.item(), abs=1e-5)
    torch.testing.assert_close(found, network.flat.gradient, rtol=0, atol=1e-6 * found.abs().max().clamp(min=1).item())


def test_a_learned_temperature_gets_the_gradient_of_the_whole_batch(gradient):
    for both in (False, True):
        _, data, network, batch, found, _ = gradient(
            "model.tune=head", "objective.learn_temperature=true", f"objective.two_directional={both}"
        )
        network.flat.zero_gradient()
        plain_metric_loss(data, network, batch, network.temperature, both=both).backward()
        torch.testing.assert_close(found, network.flat.gradient, rtol=1e-5, atol=1e-6)


def test_a_caption_step_is_the_mean_loss_over_answer_tokens_of_the_batch(gradient, golden):
    """transformers' own forward is the oracle, one picture at a time, without padding."""
    from relsim.models.pixels import Patches, normalized

    _, data, network, batch, found, sums = gradient(*ALL, "objective.task=caption", "model.prompt=What is it?")
    tokenizer, prompt = network.answers.tokenizer, network.prompt
    captions, total, tokens, hits = data.train.captions, 0.0, 0, 0
    with torch.no_grad():
        for place, patches in enumerate(torch.cat(batch.pictures)):
            text = captions[batch.rows[place]][batch.paraphrases[place]]
            answer = [*tokenizer(text)["input_ids"], *tokenizer("<|im_end|>")["input_ids"]]
            ids = torch.tensor([[*prompt.ids(4), *answer]])
            pixels = normalized(Patches(patches.numpy(), network.grid), network.pixels)
            logits = network.model(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                pixel_values=torch.from_numpy(pixels),
                image_grid_thw=torch.tensor([[1, *network.grid]]),
                mm_token_type_ids=(ids == prompt.image).long(),
            ).logits[0, -len(answer) - 1 : -1]
            total += cross_entropy(logits, torch.tensor(answer), reduction="sum").item()
            hits += (logits.argmax(-1) == torch.tensor(answer)).sum().item()
            tokens += len(answer)
    assert sums.tolist() == pytest.approx([total, hits, tokens], rel=1e-5)
    assert found.norm() > 0


def test_yes_and_no_compete(gradient, golden, crops, tmp_path):
    from relsim.models.pixels import Recipe

    store = CropStore.open(crops)
    with CropWriter(tmp_path / "labelled", Recipe.parse("crop56")) as writer:
        for number, square in enumerate(store.read(range(len(store)))):
            writer.append(square, f"picture {number}", ["Yes" if number % 2 else "No"])
        writer.publish()
    given = ("objective.task=yes_no", "model.prompt=Is it?", f"data.crops={tmp_path / 'labelled'}")
    _, data, network, batch, _, sums = gradient(*given)
    words = [int(network.answers.encode([word])[0][0]) for word in ("Yes", "No")]
    with torch.no_grad():
        logits = network.dense.answer_logits(
            network.image_tokens(torch.cat(batch.pictures)), network.prompt.prefix, network.prompt.suffix, words
        )
    labels = torch.tensor([0 if data.train.captions[row] == ("Yes",) else 1 for row in batch.rows])
    assert sums[0].item() == pytest.approx(cross_entropy(logits, labels, reduction="sum").item(), rel=1e-5)
    assert sums[2] == 8


def test_groups_and_similar_captions_are_masked(gradient):
    """In a batch of 8 pictures of 4 groups some share a group; without them as wrong answers the loss is lower."""
    losses = [
        gradient("model.tune=head", *mask)[-1][0].item()
        for mask in ((), ("objective.mask_groups=true",), ("objective.mask_similarity=0.6",))
    ]
    assert losses[1] < losses[0] - 0.1
    assert losses[2] < losses[0] - 0.1


@pytest.fixture
def marked(crops, tmp_path):
    """`marked(**fields)`: crops with other labels; a field is a function from what the group was."""

    def make(**fields):
        store = CropStore.open(shutil.copytree(crops, tmp_path / "marked", dirs_exist_ok=True))
        rows = [
            replace(row, **{"group": None, **{name: value(row.group) for name, value in fields.items()}})
            for row in store.rows
        ]
        with CropWriter(store.folder, store.recipe) as writer:
            writer.relabel(store, rows)
        return f"data.crops={store.folder}"

    return make


def test_relations_are_masked_where_there_are_no_groups(gradient, marked):
    by_group, unmasked = (
        gradient("model.tune=head", f"objective.mask_groups={mask}")[-1][0].item() for mask in (True, False)
    )
    cases = {
        "relation alone": {"relation": str},
        "one or the other": {
            "group": lambda group: group if group in "01" else None,
            "relation": lambda group: None if group in "01" else group,
        },
        "a group counts for more": {"group": str, "relation": lambda _: "all alike"},
    }
    for name, fields in cases.items():
        found = gradient("model.tune=head", "objective.mask_groups=true", marked(**fields))[-1][0].item()
        assert found == by_group != unmasked, name


def test_masking_without_groups_and_relations_is_refused(settings, marked, tmp_path):
    with pytest.raises(TrainingError, match=r"^objective.mask_groups .* none of the \d+ .* a group or relation"):
        train(settings(tmp_path / "run", "objective.mask_groups=true", marked()))


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_the_learning_rate_is_that_of_transformers(schedule):
    from transformers import get_scheduler

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    name = "constant_with_warmup" if schedule == "constant" else schedule
    theirs = get_scheduler(name, optimizer, num_warmup_steps=3, num_training_steps=20)
    for step in range(20):
        assert rate(schedule, step, 20, 3) == pytest.approx(theirs.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize("clip", [None, 0.5])
def test_flat_parameters_are_stepped_as_torch_steps_them_one_by_one(clip):
    """AdamW with decay on matrices alone and the norm clipped over everything."""
    torch.manual_seed(0)
    ours = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.LayerNorm(7), torch.nn.Linear(7, 3))
    theirs = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.LayerNorm(7), torch.nn.Linear(7, 3))
    theirs.load_state_dict(ours.state_dict())
    flat = FlatParameters(dict(ours.named_parameters()), dtype=torch.float32)
    options = {"lr": 0.01, "betas": (0.9, 0.98), "fused": True}
    first = torch.optim.AdamW(flat.decay_groups(0.1), **options)
    named = dict(theirs.named_parameters())
    second = torch.optim.AdamW(
        [
            {"params": [part for part in named.values() if part.dim() > 1], "weight_decay": 0.1},
            {"params": [part for part in named.values() if part.dim() == 1], "weight_decay": 0.0},
        ],
        **options,
    )
    for _ in range(4):
        x = torch.randn(6, 5)
        flat.zero_gradient()
        second.zero_grad()
        ours(x).square().sum().backward()
        theirs(x).square().sum().backward()
        norm = flat.clip(clip)
        expected = torch.nn.utils.clip_grad_norm_(theirs.parameters(), clip or math.inf)
        assert norm.item() == pytest.approx(expected.item(), rel=1e-6)
        first.step()
        second.step()
    for ours_part, theirs_part in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(ours_part, theirs_part, rtol=1e-6, atol=1e-7)


def test_lowered_weights_have_masters(tmp_path):
    """bf16 has 8 bits: a thousand steps of 1e-4 move a master of 1.0 to 0.9, and a bf16 weight alone not at all."""
    weight = torch.nn.Parameter(torch.ones(3, 3))
    flat = FlatParameters({"weight": weight}, lowered=frozenset({"weight"}), dtype=torch.bfloat16)
    optimizer = torch.optim.SGD(flat.masters, lr=1e-4)
    for _ in range(1000):
        flat.zero_gradient()
        weight.sum().backward()
        flat.collect()
        optimizer.step()
        flat.publish()
    assert weight.dtype is torch.bfloat16
    assert flat.masters[0][0].item() == pytest.approx(0.9, abs=1e-4)
    assert weight[0, 0].item() == torch.tensor(0.9).bfloat16().item()


def test_training_learns_and_leaves_a_record(settings, tmp_path):
    out = tmp_path / "run"
    seen = []
    config = settings(out, *ALL, "run.steps=30", "run.save_every=10", "run.log_every=10", "run.keep=1")
    outcome = train(config, watcher=seen.append)
    lines = read_log(out / "train.jsonl")
    training = [line for line in lines if "loss" in line]
    held_out = [line for line in lines if "eval_mrr" in line]
    assert [line["step"] for line in training] == [line["step"] for line in held_out] == [10, 20, 30]
    assert training[-1]["loss"] < training[0]["loss"] - 0.5
    assert {"accuracy", "learning_rate", "grad_norm", "samples_per_second", "seconds", "epoch"} <= training[0].keys()
    assert {"eval_r@1", "eval_r@10", "eval_loss", "eval_p@10"} <= held_out[0].keys()
    assert len(seen) == len(lines)
    assert outcome.last.resolve().name == "step-00000030"
    best = max(held_out, key=lambda line: line["eval_mrr"])["step"]
    assert outcome.best is not None
    assert outcome.best.resolve().name == f"step-{best:08d}"
    kept = {path.name for path in (out / "checkpoints").iterdir()}
    assert kept == {outcome.last.resolve().name, outcome.best.resolve().name}
    assert [path.name for path in out.glob("state-*")] == ["state-00000030.safetensors"]
    assert read_checkpoint(outcome.last).training["global_step"] == 30
    assert not list(out.rglob(".*"))


def test_the_same_run_twice_is_the_same(settings, tmp_path):
    weights = []
    for name in ("first", "second"):
        outcome = train(settings(tmp_path / name))
        weights.append((outcome.last / "adapter_model.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_a_run_stopped_on_its_schedule_goes_on_to_the_same_weights(settings, tmp_path):
    whole = train(settings(tmp_path / "whole"))
    half = train(settings(tmp_path / "half", f"run.stop_at={whole.steps // 2}"))
    assert half.steps == whole.steps // 2
    rest = train(settings(tmp_path / "half"), resume=True)
    adapter = "adapter_model.safetensors"
    assert (rest.last / adapter).read_bytes() == (whole.last / adapter).read_bytes()


@pytest.mark.parametrize("tune", [ALL, ("model.lora.dropout=0",)], ids=["all", "adapters"])
def test_working_in_bf16_follows_fp32(settings, tmp_path, tune):
    losses = {}
    for precision in ("fp32", "bf16"):
        train(settings(tmp_path / precision, *tune, f"run.precision={precision}", "data.keep_tokens=never"))
        losses[precision] = [line["loss"] for line in read_log(tmp_path / precision / "train.jsonl") if "loss" in line]
    np.testing.assert_allclose(losses["bf16"], losses["fp32"], atol=0.05)
    assert losses["bf16"] != losses["fp32"]


def test_a_loss_that_is_no_number_stops_the_run(settings, tmp_path):
    with pytest.raises(TrainingError, match=r"the loss is .* at step .*learning_rate"):
        train(settings(tmp_path / "run", *ALL, "optimizer.learning_rate=1e30", "optimizer.clip=null", "run.steps=20"))


def test_a_metric_that_is_not_measured_is_refused_by_name(settings, tmp_path):
    with pytest.raises(TrainingError, match=r"'beauty' is not measured; measured are r@1, r@10, mrr"):
        train(settings(tmp_path / "run", "run.best_metric=beauty"))


def test_a_folder_that_holds_a_run_is_refused(settings, tmp_path):
    train(settings(tmp_path / "run", "run.steps=1"))
    before = (tmp_path / "run" / "config.yaml").read_text()
    with pytest.raises(TrainingError, match=r"holds a run already; resume it"):
        train(settings(tmp_path / "run", "run.steps=2"))
    assert (tmp_path / "run" / "config.yaml").read_text() == before


def test_losses_fall_and_everything_else_rises():
    assert is_better("mrr", 0.1, None)
    assert is_better("mrr", 0.2, 0.1)
    assert not is_better("mrr", 0.1, 0.1)
    assert is_better("token_loss", 0.1, 0.2)
    assert not is_better("token_loss", math.nan, None)


def test_nothing_held_out_is_nothing_measured(settings, tmp_path):
    outcome = train(settings(tmp_path / "run", "data.eval_fraction=0", "run.steps=2"))
    assert outcome.best is None
    assert outcome.metrics == {}
    card = json.loads((outcome.last / "relsim.json").read_text())
    assert card["training"]["global_step"] == 2
