"""Filters: weights of labels, labels in folders and manifests, and a run from pictures to a filter that agrees."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from sklearn import metrics
from torch.nn.functional import cross_entropy
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

from relsim.captions.interesting import InterestingFilter
from relsim.errors import CheckpointError, SourceError, TrainingError
from relsim.models.embedded import embedded_folder
from relsim.models.pixels import Recipe, normalized
from relsim.models.prompt import FILTER_PROMPT
from relsim.training.config import TrainingConfig
from relsim.training.crops import CropStore, CropWriter
from relsim.training.feed import Feed, open_data, read_pictures
from relsim.training.filter_run import train_filter
from relsim.training.labels import count_labels, labelled_samples, split_by_label
from relsim.training.network import TrainingNetwork
from relsim.training.objectives import yes_bias, yes_no_rows
from relsim.training.processes import Processes
from relsim.training.samples import Sample
from relsim.training.tasks import make_task


class Alone:
    """What `Processes` reads of an accelerator that runs one process."""

    process_index, num_processes, is_main_process, device = 0, 1, True, torch.device("cpu")


@pytest.fixture(scope="module")
def labelled(crops, tmp_path_factory):
    folder, store = tmp_path_factory.mktemp("labelled") / "crops", CropStore.open(crops)
    with CropWriter(folder, Recipe.parse("crop56")) as writer:
        for number, square in enumerate(store.read(range(len(store)))):
            writer.append(square, f"picture {number}", ["No" if number % 4 else "Yes"])
        writer.publish()
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("drawn"), np.random.default_rng(0)
    for label, count in (("rings", 20), ("lines", 60)):
        (folder / label).mkdir()
        for number in range(count):
            picture = Image.new("RGB", (112, 112), tuple(rng.integers(150, 255, 3).tolist()))
            draw, ink = ImageDraw.Draw(picture), tuple(rng.integers(0, 120, 3).tolist())
            x, y = rng.integers(30, 80, 2).tolist()
            if label == "rings":
                for radius in (28, 20, 12):
                    draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=ink, width=3)
            else:
                draw.line((5, y, 107, y), fill=ink, width=6)
            picture.save(folder / label / f"{label}{number}.png")
    (folder / "lines" / "no-picture.png").write_text("text")
    return folder


@pytest.fixture(scope="module")
def samples(folders):
    return labelled_samples([folders / "rings"], [folders / "lines"])


@pytest.fixture(scope="module")
def configured():
    def make(out, *overrides):
        given = [
            f"run.out={out}",
            "run.steps=28",
            "run.log_every=28",
            "run.precision=fp32",
            "run.save_every=14",
            "objective.task=yes_no",
            "model.base=relsim-mini-base",
            "model.recipe=squash80",
            "optimizer.batch_size=16",
            "optimizer.learning_rate=0.005",
            "optimizer.warmup_steps=4",
        ]
        return TrainingConfig.from_yaml(None, [*given, *overrides])

    return make


@pytest.fixture(scope="module")
def trained(configured, samples, tmp_path_factory):
    config = configured(tmp_path_factory.mktemp("run") / "filter")
    return train_filter(config, samples, held_out=0.3)


@pytest.fixture(scope="module")
def held_out(samples):
    return [sample for sample in split_by_label(samples, 0.3)[1] if not sample.source.endswith("no-picture.png")]


class TestTask:
    """The task, on 24 pictures of which every fourth is labelled Yes."""

    @pytest.fixture
    def parts(self, settings, labelled, tmp_path):
        def make(*overrides):
            given = ("objective.task=yes_no", f"data.crops={labelled}", "data.eval_fraction=0.3", *overrides)
            config = settings(tmp_path / "run", *given)
            data = open_data(config)
            network = TrainingNetwork(
                config, device=torch.device("cpu"), precision="fp32", processor=Path(config.model.base)
            )
            return data, network, make_task(config, network, data, Processes(Alone()))

        return make

    def logits(self, network, pictures):
        words = [int(network.answers.encode([word])[0][0]) for word in ("Yes", "No")]
        with torch.no_grad():
            return network.dense.answer_logits(
                network.image_tokens(pictures), network.prompt.prefix, network.prompt.suffix, words
            )

    def test_a_step_is_the_cross_entropy_of_weighted_classes(self, parts):
        data, network, task = parts("objective.positive_weight=3")
        batch = Feed(data.train, network.pixels, seed=42, batch_size=8, micro_batch_size=4).batch(0)
        sums = task.learn(batch, lambda loss: loss.backward())
        # Nothing has been learned yet: dropout apart, which LoRA's first product of zero hides, this is the network.
        logits = self.logits(network, torch.cat(batch.pictures))
        wanted = torch.tensor([0 if data.train.captions[row] == ("Yes",) else 1 for row in batch.rows])
        yes = np.mean([texts == ("Yes",) for texts in data.train.captions])
        mean_weight = 3 * yes + 1 - yes
        loss = cross_entropy(logits, wanted, weight=torch.tensor([3.0, 1.0]), reduction="sum") / mean_weight
        assert sums[0].item() == pytest.approx(loss.item(), rel=1e-5)
        assert 0 < wanted.sum() < 8  # both labels are there

    def test_held_out_figures_count_every_picture_once_and_take_the_weight_back(self, parts):
        data, network, task = parts("objective.positive_weight=3")
        found = task.evaluate()
        pictures = read_pictures(data.held_out, np.arange(len(data.held_out)), network.pixels)
        logits = self.logits(network, pictures) + torch.tensor([-math.log(3), 0])
        wanted = torch.tensor([0 if texts == ("Yes",) else 1 for texts in data.held_out.captions])
        assert found["loss"] == pytest.approx(cross_entropy(logits, wanted).item(), rel=1e-5)
        assert found["accuracy"] == pytest.approx((logits.argmax(1) == wanted).float().mean().item())

    def test_a_weight_is_for_this_task_alone(self, settings, tmp_path):
        with pytest.raises(TrainingError, match=r"objective\.positive_weight is for objective\.task yes_no"):
            settings(tmp_path, "objective.positive_weight=2")

    def test_the_question_is_the_filter_s_own(self, settings, tmp_path):
        assert settings(tmp_path, "objective.task=yes_no").model.prompt == FILTER_PROMPT


@pytest.mark.parametrize(("yes", "no", "weight"), [(13, 110, 110 / 13), (40, 60, 1.0), (3, 1, 1 / 3)])
def test_the_bias_brings_the_share_of_yes_back(yes, no, weight):
    """The one logit that is best for all pictures alike, found by Newton's method on the weighted loss."""
    labels = torch.tensor([True] * yes + [False] * no)
    logit = torch.zeros((), dtype=torch.float64, requires_grad=True)
    for _ in range(50):
        losses = yes_no_rows(torch.stack([logit, torch.zeros_like(logit)]).expand(len(labels), 2), labels, weight)
        (slope,) = torch.autograd.grad(losses.sum(), logit, create_graph=True)
        (curve,) = torch.autograd.grad(slope, logit)
        logit = (logit - slope / curve).detach().requires_grad_()
    assert torch.sigmoid(logit + yes_bias(weight)).item() == pytest.approx(yes / (yes + no), rel=1e-5)


class TestLabels:
    """Folders and manifests of labelled pictures."""

    @pytest.fixture
    def images(self, tmp_path):
        folder = tmp_path / "images"
        folder.mkdir()
        for number in range(6):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"p{number}.png")
        return folder

    def manifest(self, images, *rows):
        path = images.parent / "labels.jsonl"
        path.write_text("".join(json.dumps({"image_hash": f"p{number}", **row}) + "\n" for number, row in rows))
        return path

    def test_folders_are_labels(self, images):
        other = images.parent / "other"
        other.mkdir()
        (images / "p5.png").rename(other / "p5.png")
        found = labelled_samples([other], [images])
        assert [(Path(sample.source).name, sample.captions) for sample in found] == [
            ("p5.png", ("Yes",)),
            *((f"p{number}.png", ("No",)) for number in range(5)),
        ]

    @pytest.mark.parametrize("field", ["interesting", "label", "caption"])
    @pytest.mark.parametrize(("yes", "no"), [("Yes", "No"), ("yes.", " NO "), ("True", "false"), ("1", "0")])
    def test_words_of_a_manifest(self, images, field, yes, no):
        path = self.manifest(images, (0, {field: yes}), (1, {field: no}))
        assert [sample.captions for sample in labelled_samples(manifests=[path])] == [("Yes",), ("No",)]

    @pytest.mark.parametrize(("yes", "no"), [(True, False), (1, 0)])
    def test_values_of_a_manifest(self, images, yes, no):
        """A caption beside a label that says the same is no harm; a null is no label."""
        path = self.manifest(images, (0, {"interesting": yes, "caption": "Yes", "label": None}), (1, {"label": no}))
        assert [sample.captions for sample in labelled_samples(manifests=[path])] == [("Yes",), ("No",)]

    @pytest.mark.parametrize("wrong", [{"label": "maybe"}, {"label": 2}, {"label": 1.0}, {"label": []}, {}])
    def test_bad_labels_are_named(self, images, wrong):
        path = self.manifest(images, (0, {"label": 1}), (1, wrong), (2, {"label": 0}))
        with pytest.raises(SourceError, match=r"labels\.jsonl: 1 picture is not labelled Yes or No: p1 \("):
            labelled_samples(manifests=[path])

    def test_fields_and_rows_that_differ_are_refused(self, images):
        path = self.manifest(
            images, (0, {"label": 1, "caption": "No"}), (1, {"label": 1}), (1, {"label": 0}), (2, {"label": 0})
        )
        with pytest.raises(SourceError, match=r"2 pictures are not labelled .* p0 \(.*, p1 \("):
            labelled_samples(manifests=[path])

    def test_a_picture_of_both_folders_is_refused(self, images):
        with pytest.raises(SourceError, match=r"1 picture is labelled both Yes and No: .*p0\.png"):
            labelled_samples([images / "p0.png"], [images])

    def test_an_empty_folder_is_refused(self, images):
        (images.parent / "empty").mkdir()
        with pytest.raises(SourceError, match="no images in or below"):
            labelled_samples([images.parent / "empty"], [images])

    @pytest.mark.parametrize(("yes", "told"), [(0, "no picture is labelled Yes"), (1, "one picture alone is labelled")])
    def test_one_label_alone_is_refused(self, yes, told):
        samples = [Sample(f"{number}", f"/{number}", ("Yes" if number < yes else "No",)) for number in range(9)]
        with pytest.raises(TrainingError, match=f"{told}.*--positive"):
            split_by_label(samples, 0.1)

    def test_either_label_is_held_out_in_its_share(self):
        samples = [Sample(f"{n}", f"/{n}", ("No" if n % 9 else "Yes",)) for n in range(4500)]
        train, held_out = split_by_label(samples, 0.2)
        assert sorted(sample.source for sample in [*train, *held_out]) == sorted(s.source for s in samples)
        counts = count_labels([sample.captions for sample in held_out])
        # 500 and 4,000 draws of one in five: within four standard deviations
        assert counts["yes"] == pytest.approx(100, abs=36)
        assert counts["no"] == pytest.approx(800, abs=101)

    def test_the_smallest_share_holds_out_one_of_each(self):
        samples = [Sample(f"{n}", f"/{n}", ("No" if n % 3 else "Yes",)) for n in range(6)]
        for share in (1e-9, 0.1):
            _, held_out = split_by_label(samples, share)
            assert {sample.captions for sample in held_out} == {("Yes",), ("No",)}

    @pytest.mark.parametrize("share", [0, 1])
    def test_a_part_without_pictures_is_refused(self, share):
        samples = [Sample(f"{n}", f"/{n}", ("No" if n % 3 else "Yes",)) for n in range(6)]
        with pytest.raises(TrainingError, match="the held-out share"):
            split_by_label(samples, share)

    def test_sides_stay_when_pictures_are_added(self):
        samples = [Sample(f"{n}", f"/{n}", ("No" if n % 3 else "Yes",)) for n in range(400)]
        few, many = (split_by_label(part, 0.3)[1] for part in (samples[:200], samples))
        assert {sample.image_id for sample in few} == {s.image_id for s in many if int(s.image_id) < 200}


class TestRun:
    """A run on the embedded base: rings against lines, one to three."""

    def test_it_tells_held_out_pictures_apart(self, trained):
        found = trained.report["held_out"]
        assert found["agreement"]["value"] > 0.9
        assert found["roc_auc"] > 0.95

    def test_the_report_is_what_the_checkpoint_says_of_the_files(self, trained, held_out):
        """Loaded anew and asked about the pictures themselves, not about stored squares."""
        loaded = InterestingFilter.load(trained.checkpoint)
        labels = np.array([sample.captions == ("Yes",) for sample in held_out])
        scores = loaded.probabilities([Image.open(sample.source) for sample in held_out])
        found = trained.report
        said = scores >= found["threshold"]["value"]
        assert loaded.threshold == found["threshold"]["value"]
        assert found["held_out"]["agreement"]["value"] == pytest.approx(metrics.accuracy_score(labels, said))
        assert found["held_out"]["f1"] == pytest.approx(metrics.f1_score(labels, said))
        assert found["held_out"]["roc_auc"] == pytest.approx(metrics.roc_auc_score(labels, scores))
        assert found["held_out"]["brier"] == pytest.approx(metrics.brier_score_loss(labels, scores), abs=1e-5)
        raw = scores / (scores + (1 - scores) / found["positive_weight"])  # odds that are higher by the weight
        assert found["uncorrected"]["brier"] == pytest.approx(metrics.brier_score_loss(labels, raw), abs=1e-5)

    def test_labels_weigh_the_same(self, trained, held_out, samples):
        counts = trained.report["labels"]
        assert counts["held_out"] == count_labels([sample.captions for sample in held_out])
        assert {name: counts["train"][name] + counts["held_out"][name] for name in ("yes", "no")} == {
            "yes": 20,
            "no": 60,
        }
        weight = counts["train"]["no"] / counts["train"]["yes"]
        assert trained.report["positive_weight"] == weight
        assert trained.report["yes_bias"] == pytest.approx(-math.log(weight))

    def test_report_and_plot_are_in_the_folder(self, trained):
        out = trained.run.out
        assert json.loads((out / "filter.json").read_text()) == trained.report
        assert out / trained.report["checkpoint"] == trained.checkpoint == (out / "best").resolve()
        with Image.open(out / "calibration.png") as picture:
            assert picture.format == "PNG"

    def test_the_checkpoint_says_what_it_is(self, trained, golden):
        stored = json.loads((trained.checkpoint / "relsim.json").read_text())
        assert (stored["kind"], stored["task"], stored["recipe"]) == ("filter", "yes_no", "squash80")
        assert (stored["caption_prompt"], stored["agreement"]) == (FILTER_PROMPT, trained.report)
        assert (trained.checkpoint / "adapter_model.safetensors").exists()
        published = json.loads((golden / "captioner" / "adapter_config.json").read_text())
        mine = json.loads((trained.checkpoint / "adapter_config.json").read_text())
        for name in ("peft_type", "task_type", "bias", "r", "lora_alpha", "lora_dropout"):
            assert mine[name] == published[name]
        assert set(mine["target_modules"]) == set(published["target_modules"])

    def test_peft_reads_the_adapter(self, trained, held_out):
        """transformers with peft's own adapter gives the logits behind the probability."""
        from peft import PeftModel

        found = InterestingFilter.load(trained.checkpoint, device="cpu", dtype="float32")
        base = Qwen2_5_VLForConditionalGeneration.from_pretrained(
            embedded_folder("relsim-mini-base"), dtype=torch.float32
        )
        network = PeftModel.from_pretrained(base, trained.checkpoint).eval()
        tokenizer = AutoTokenizer.from_pretrained(trained.checkpoint)
        words = [tokenizer(word)["input_ids"][0] for word in ("Yes", "No")]
        picture = Image.open(held_out[0].source).convert("RGB")
        patches = found.prepare(picture)
        ids = torch.tensor([found._prompt.ids(4)])  # 80 pixels are 2 x 2 squares of 40
        with torch.no_grad():
            logits = network(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                pixel_values=torch.from_numpy(normalized(patches, found._pixels)),
                image_grid_thw=torch.tensor([[1, *patches.grid]]),
                mm_token_type_ids=(ids == found._prompt.image).long(),
            ).logits[0, -1, words]
        corrected = logits + torch.tensor([trained.report["yes_bias"], 0])
        assert found.probabilities(picture)[0] == pytest.approx(corrected.softmax(-1)[0].item(), abs=1e-4)

    def test_a_run_that_was_stopped_ends_alike(self, trained, configured, samples, tmp_path):
        half = configured(tmp_path / "run", "run.stop_at=14")
        train_filter(half, samples, held_out=0.3)
        again = train_filter(configured(tmp_path / "run"), samples, held_out=0.3, resume=True)
        assert again.report == trained.report
        name = "adapter_model.safetensors"
        assert (again.checkpoint / name).read_bytes() == (trained.checkpoint / name).read_bytes()

    def test_without_balance_and_at_a_precision(self, configured, samples, tmp_path):
        config = configured(tmp_path / "run", "run.steps=2")
        found = train_filter(config, samples, held_out=0.3, balance=False, precision_at_least=0.2).report
        assert (found["positive_weight"], found["yes_bias"]) == (1.0, 0.0)
        assert found["threshold"]["rule"] == "precision of at least 0.2"
        assert found["held_out"]["precision"]["value"] >= 0.2

    def test_few_held_out_pictures_are_told(self, configured, samples, tmp_path, caplog):
        train_filter(configured(tmp_path / "run", "run.steps=1"), samples, held_out=0.3)
        assert any("little more than a guess" in message for message in caplog.messages)

    def test_a_base_that_is_not_there_is_told_before_pictures_are_cut(self, configured, samples, tmp_path):
        config = configured(tmp_path / "run", f"model.base={tmp_path / 'nowhere'}")
        with pytest.raises(CheckpointError, match="there is no folder"):
            train_filter(config, samples, held_out=0.3)
        assert not (tmp_path / "run" / "crops").exists()

    def test_another_task_is_refused(self, configured, samples, tmp_path):
        with pytest.raises(TrainingError, match=r"objective\.task yes_no, not caption"):
            train_filter(configured(tmp_path, "objective.task=caption", "data.crops=x"), samples)


def test_the_verb_trains_and_the_filter_filters(golden, tmp_path, monkeypatch):
    """Two steps on the golden base; what is learned is none of this test's business."""
    from typer.testing import CliRunner

    from relsim.cli.main import app

    monkeypatch.delenv("RELSIM_BASE_MODEL", raising=False)

    def verb(*words):
        return CliRunner().invoke(app, [str(word) for word in words], prog_name="relsim")

    for number in range(8):
        folder = tmp_path / ("no" if number % 2 else "yes")
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (56, 56), (number * 30, 100, 0)).save(folder / f"{number}.png")
    flags = ["--base-model", golden / "base", "--recipe", "squash56", "--batch-size", 4, "--num-epochs", 1]
    sources = ["--positive", tmp_path / "yes", "--negative", tmp_path / "no"]
    result = verb("train", "filter", *sources, *flags, "--held-out", 0.3, "-o", tmp_path / "run", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["schema"] == "relsim.train_filter/1"
    assert found["report"] == json.loads((tmp_path / "run" / "filter.json").read_text())
    kept = json.loads(verb("filter", tmp_path / "yes", "-c", tmp_path / "run" / "last", "--json").stdout)
    assert kept["total"] == 4
    one_label = verb("train", "filter", "--negative", tmp_path / "no", *flags, "-o", tmp_path / "other")
    assert one_label.exit_code == 1
    assert one_label.stderr.startswith("relsim: no picture is labelled Yes")
