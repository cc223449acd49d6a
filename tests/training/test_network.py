"""What is trained is what is saved is what is loaded."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from relsim.errors import CheckpointError, TrainingError
from relsim.models.checkpoint import read_checkpoint
from relsim.models.loading import load_query_vlm
from relsim.models.pixels import cut_squares
from relsim.training.crops import CropStore
from relsim.training.network import TrainingNetwork
from relsim.training.prompts import prepare_processor
from relsim.training.publishing import write_network

TUNES = {
    "lora": (),
    "lora and row": ("model.train_query_row=true",),
    "all": ("model.tune=all", "model.vision_tuned=true"),
    "all but vision": ("model.tune=all",),
    "head and row": ("model.tune=head", "model.train_query_row=true"),
}


@pytest.fixture
def network(settings, tmp_path):
    """`network(*overrides)`: the network of a run, after two steps that move everything that learns."""

    def make(*overrides, precision="fp32", moved=True):
        config = settings(tmp_path / "run", "model.storage=fp32", *overrides)
        base = Path(config.model.base)
        processor = base if config.objective.task != "metric" else prepare_processor(base, tmp_path / "processor")
        made = TrainingNetwork(config, device=torch.device("cpu"), precision=precision, processor=processor)
        if moved:
            with torch.no_grad():
                generator = torch.Generator().manual_seed(3)
                for master in made.flat.masters:
                    master.add_(0.02 * torch.randn(master.shape, generator=generator))
            made.flat.publish()
        return made

    return make


@pytest.fixture(scope="module")
def squares(crops):
    """Four crops, (4, 56, 56, 3)."""
    return CropStore.open(crops).read([0, 1, 2, 3])


def embeddings_in_training(network, squares):
    with network.evaluating():
        return network.embed(torch.from_numpy(cut_squares(squares, network.pixels))).numpy()


def embeddings_after_loading(folder, squares, base=None):
    vlm = load_query_vlm(folder, base_model=base, device="cpu", dtype="float32")
    return vlm.embed([vlm.prepare(Image.fromarray(square)) for square in squares]).numpy()


@pytest.mark.parametrize("tune", TUNES)
def test_a_loaded_checkpoint_gives_the_embeddings_of_the_training_pass(network, squares, tmp_path, tune):
    made = network(*TUNES[tune])
    trained = embeddings_in_training(made, squares)
    assert np.abs(trained - embeddings_in_training(network(*TUNES[tune], moved=False), squares)).max() > 0.01
    write_network(tmp_path / "new", made, training={"global_step": 3}, texts={})
    np.testing.assert_allclose(embeddings_after_loading(tmp_path / "new", squares), trained, atol=2e-6)
    assert read_checkpoint(tmp_path / "new").recipe.value == "crop56"


def test_writing_leaves_the_network_as_it_was(network, squares, tmp_path):
    for number, tune in enumerate(TUNES.values()):
        made = network(*tune)
        before = embeddings_in_training(made, squares)
        write_network(tmp_path / f"new{number}", made, training={}, texts={})
        assert np.array_equal(embeddings_in_training(made, squares), before)
        assert all(parameter.grad is not None for parameter in made.trained().values())


@pytest.mark.parametrize("row", [False, True])
def test_peft_loads_what_the_trainer_writes(network, golden, squares, tmp_path, row):
    """As the published code does: the base with its table cut to the tokenizer's length, then peft."""
    from peft import PeftModel
    from transformers import Qwen2_5_VLForConditionalGeneration

    from relsim.models.dense import DenseQwen25VL

    made = network(f"model.train_query_row={row}")
    write_network(tmp_path / "new", made, training={}, texts={})
    base = Qwen2_5_VLForConditionalGeneration.from_pretrained(golden / "base", dtype=torch.float32)
    base.resize_token_embeddings(1047, mean_resizing=False)
    model = PeftModel.from_pretrained(base, tmp_path / "new").eval()
    pass_ = DenseQwen25VL(model, made.pixels)
    with torch.no_grad(), made.evaluating():
        patches = torch.from_numpy(cut_squares(squares, made.pixels))
        states = pass_.query_states(pass_.image_tokens(patches, made.grid), made.prompt.prefix, made.prompt.suffix)
        theirs = torch.nn.functional.normalize(made.projection(states), dim=-1)
        assert (theirs - made.embed(patches)).abs().max() < 2e-6
    names = load_file(tmp_path / "new" / "adapter_model.safetensors").keys()
    assert ("base_model.model.lm_head.weight" in names) == row
    assert json.loads((tmp_path / "new" / "adapter_config.json").read_text())["r"] == 16


def test_peft_loads_the_captioner_that_the_trainer_writes(network, golden, squares, tmp_path):
    """The base as it is, then peft, as the published captioning script does; relsim reads the same folder."""
    from peft import PeftModel
    from transformers import Qwen2_5_VLForConditionalGeneration

    from relsim.captions.captioner import Captioner
    from relsim.models.dense import DenseQwen25VL

    made = network("objective.task=caption", "model.prompt=What is it?")
    write_network(tmp_path / "new", made, training={}, texts={})
    base = Qwen2_5_VLForConditionalGeneration.from_pretrained(golden / "base", dtype=torch.float32)
    model = PeftModel.from_pretrained(base, tmp_path / "new").eval()
    pass_, tokens = DenseQwen25VL(model, made.pixels), torch.tensor([[*made.prompt.suffix, 5, 6, 7]] * 4)
    mask = torch.zeros_like(tokens, dtype=torch.bool)
    mask[:, -3:] = True
    with torch.no_grad(), made.evaluating():
        patches = torch.from_numpy(cut_squares(squares, made.pixels))
        ours, theirs = (
            one.caption_logits(one.image_tokens(patches, made.grid), made.prompt.prefix, tokens, mask, grid=made.grid)
            for one in (made.dense, pass_)
        )
    plain = DenseQwen25VL(base.from_pretrained(golden / "base", dtype=torch.float32), made.pixels)
    with torch.no_grad():
        image_tokens = plain.image_tokens(patches, made.grid)
        untrained = plain.caption_logits(image_tokens, made.prompt.prefix, tokens, mask, grid=made.grid)
    assert (ours - theirs).abs().max() < 1e-5
    assert (ours - untrained).abs().max() > 0.01
    captioner = Captioner.load(tmp_path / "new", device="cpu", dtype="float32")
    assert (captioner.recipe, len(captioner.caption(Image.fromarray(squares[0]), max_new_tokens=2))) == (made.recipe, 1)
    files = {path.name for path in (tmp_path / "new").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "chat_template.jinja"} <= files
    assert not {"projection_and_config.pt", "projection.safetensors"} & files


def test_a_whole_model_is_stored_in_bf16_unless_told_otherwise(network, squares, tmp_path):
    made = network("model.tune=all", "model.storage=bf16")
    write_network(tmp_path / "new", made, training={}, texts={"README.md": "card"})
    tensors = load_file(tmp_path / "new" / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    config = json.loads((tmp_path / "new" / "config.json").read_text())
    assert config["dtype"] == config["text_config"]["dtype"] == "bfloat16"
    assert (tmp_path / "new" / "README.md").read_text() == "card"
    found = embeddings_after_loading(tmp_path / "new", squares)
    assert (found * embeddings_in_training(made, squares)).sum(1).min() > 0.9999


def test_a_tied_head_stays_tied(network, golden, squares, tmp_path):
    """The head is the table: it learns once and is stored once."""
    base = shutil.copytree(golden / "base", tmp_path / "tied")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    (base / "model.safetensors").unlink()
    given = ("model.tune=all", "model.vision_tuned=true", "model.init=random", f"model.base={base}")
    made = network(*given, "objective.task=caption")
    assert not any("lm_head" in name for name in made.trained())
    write_network(tmp_path / "new", made, training={}, texts={})
    assert "lm_head.weight" not in load_file(tmp_path / "new" / "model.safetensors")
    on_top = network("model.tune=all", f"model.base={tmp_path / 'new'}", moved=False)
    assert torch.equal(on_top.model.lm_head.weight, made.model.lm_head.weight)
    write_network(tmp_path / "metric", on_top, training={}, texts={})
    found = embeddings_after_loading(tmp_path / "metric", squares)
    np.testing.assert_allclose(found, embeddings_in_training(on_top, squares), atol=2e-6)


def test_random_weights_follow_from_the_seed(network, golden, tmp_path):
    base = shutil.copytree(golden / "base", tmp_path / "empty", ignore=shutil.ignore_patterns("*.safetensors"))
    given = ("model.tune=all", "model.vision_tuned=true", "model.init=random", f"model.base={base}")
    first, second, third = (network(*given, f"run.seed={seed}", moved=False).flat.masters[0] for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
    with pytest.raises(CheckpointError, match=r"cannot be loaded"):
        network("model.tune=all", f"model.base={base}")
    with pytest.raises(TrainingError, match=r"init random needs model\.tune all and model\.vision_tuned"):
        network("model.init=random", f"model.base={base}")


def test_training_goes_on_from_a_checkpoint_with_its_projection(network, squares, tmp_path):
    made = network("model.tune=all")
    write_network(tmp_path / "new", made, training={}, texts={})
    on_top = network("model.tune=head", f"model.base={tmp_path / 'new'}", moved=False)
    assert on_top.processor == tmp_path / "new"
    np.testing.assert_allclose(
        embeddings_in_training(on_top, squares), embeddings_in_training(made, squares), atol=2e-6
    )


def test_a_token_beyond_the_table_gets_a_row_that_is_saved(network, golden, squares, tmp_path):
    """The golden base has spare rows; cut to the 1,046 of its tokenizer it has none for the query token."""
    from transformers import Qwen2_5_VLForConditionalGeneration

    base = shutil.copytree(golden / "base", tmp_path / "short")
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(base, dtype=torch.float32)
    model.resize_token_embeddings(1046)
    model.save_pretrained(base)
    made = network(f"model.base={base}")
    assert made.resized
    write_network(tmp_path / "new", made, training={}, texts={})
    assert load_file(tmp_path / "new" / "adapter_model.safetensors")["base_model.model.lm_head.weight"].shape == (
        1047,
        96,
    )
    np.testing.assert_allclose(
        embeddings_after_loading(tmp_path / "new", squares), embeddings_in_training(made, squares), atol=2e-6
    )


@pytest.mark.parametrize(
    "tune", [("model.tune=all", "model.vision_tuned=true"), ("model.lora.targets=[q_proj, v_proj, up_proj]",)]
)
def test_a_captioner_says_what_it_was_taught(settings, golden, crops, tmp_path, tune):
    """Four captions for four kinds of pictures, learned by heart and then written greedily by the captioner."""
    from relsim.captions.captioner import Captioner
    from relsim.training.crops import CropWriter
    from relsim.training.loop import train

    store = CropStore.open(crops)
    kinds = ["A row of {Objects}", "A ring", "{Objects} in layers", "At random"]
    pictures = store.read(range(len(store)))
    with CropWriter(tmp_path / "taught", store.recipe) as writer:
        for number, square in enumerate(pictures):
            writer.append(square, f"picture {number}", [kinds[number % 4]])
        writer.publish()
    config = settings(
        tmp_path / "run",
        *tune,
        "objective.task=caption",
        "model.prompt=What is it?",
        "model.storage=fp32",
        "model.lora.dropout=0",
        "run.steps=90",
        "run.save_every=90",
        f"data.crops={tmp_path / 'taught'}",
        f"optimizer.learning_rate={0.003 if 'model.tune=all' in tune else 0.02}",
        "optimizer.warmup_steps=5",
        "optimizer.micro_batch_size=8",
    )
    outcome = train(config)
    captioner = Captioner.load(outcome.last, device="cpu", dtype="float32")
    said = captioner.caption([Image.fromarray(picture) for picture in pictures[:4]], max_new_tokens=20)
    assert outcome.metrics["token_accuracy"] > 0.99
    assert [caption.text for caption in said] == kinds


def test_a_recipe_without_a_size_is_refused(settings, tmp_path):
    with pytest.raises(TrainingError, match=r"model\.recipe"):
        settings(tmp_path, "model.recipe=native")


def test_a_tied_head_is_stored_once(tmp_path):
    import transformers
    from safetensors.torch import load_file

    from relsim.models.base import load_base
    from relsim.models.checkpoint_writing import write_whole_model

    golden = Path(__file__).parents[1] / "golden" / "base"
    config = transformers.Qwen2_5_VLConfig.from_pretrained(golden)
    config.tie_word_embeddings = config.text_config.tie_word_embeddings = True
    model = transformers.Qwen2_5_VLForConditionalGeneration(config).float()
    model.tie_weights()
    write_whole_model(tmp_path / "tied", model, golden, dtype=torch.float32, about={"format_version": 1})
    stored = load_file(tmp_path / "tied" / "model.safetensors")
    assert "lm_head.weight" not in stored
    loaded, _ = load_base(tmp_path / "tied", torch.float32, head=True)
    assert torch.equal(loaded.lm_head.weight, model.get_input_embeddings().weight)
