"""The captioner against the published package's greedy captions, and against itself in other batches."""

import json
import shutil
from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import Qwen2_5_VLForConditionalGeneration

from relsim.captions.answering import load_answering
from relsim.captions.checkpoint import read_captioner
from relsim.encoders.base import shrink_of
from relsim.errors import CheckpointError
from relsim.models.generation import Sampling
from relsim.models.pixels import normalized
from relsim.models.prompt import CAPTION_PROMPT

SHORT = {"max_new_tokens": 8}


@pytest.fixture(scope="module")
def pictures(golden, golden_captions):
    return [Image.open(golden / "images" / name).convert("RGB") for name in golden_captions["greedy"]]


@pytest.fixture(scope="module")
def published(golden_captions):
    return [(caption["text"], tuple(caption["token_ids"])) for caption in golden_captions["greedy"].values()]


def greedy(captioner, pictures, **options):
    return captioner.caption(pictures, greedy=True, **{**SHORT, **options})


def pairs(captions):
    return [(caption.text, caption.token_ids) for caption in captions]


def test_greedy_captions_equal_the_published_ones_alone(captioner, pictures, published, golden_captions):
    length = golden_captions["max_new_tokens"]
    assert [pairs(greedy(captioner, picture, max_new_tokens=length))[0] for picture in pictures] == published


def test_greedy_captions_equal_the_published_ones_in_a_batch(captioner, pictures, published, golden_captions):
    assert pairs(greedy(captioner, pictures, max_new_tokens=golden_captions["max_new_tokens"])) == published


def test_the_default_prompt_is_the_published_one(golden_captions):
    assert golden_captions["prompt"] == CAPTION_PROMPT


@pytest.mark.parametrize("likeliest", [True, False])
def test_pictures_of_many_sizes_share_a_batch(load_captioner, pictures, noise, likeliest):
    """Under `native` each prompt has another length; captions are those of each picture alone."""
    native = load_captioner(recipe="native")
    mixed = [*pictures, noise(57, 43), noise(300, 28)]
    together = native.caption(mixed, greedy=likeliest, seed=3, **SHORT)
    assert together == [native.caption(picture, greedy=likeliest, seed=3, **SHORT)[0] for picture in mixed]


def test_the_seed_decides_what_is_drawn(captioner, pictures):
    def drawn(seed):
        return pairs(captioner.caption(pictures[:3], greedy=False, temperature=1.0, seed=seed, **SHORT))

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_hardly_any_temperature_draws_the_greedy_caption(captioner, pictures):
    cold = captioner.caption(pictures[5], greedy=False, temperature=1e-4, **SHORT)
    assert cold == greedy(captioner, pictures[5])


def test_captions_are_drawn_as_published_unless_told_otherwise(captioner, pictures):
    published = {"greedy": False, "temperature": 0.7, "top_p": 0.9, "max_new_tokens": 128, "seed": 0}
    assert asdict(Sampling()) == published
    assert captioner.caption(pictures[5], **SHORT) == captioner.caption(pictures[5], **{**published, **SHORT})
    assert captioner.caption(pictures[:3], **SHORT) != greedy(captioner, pictures[:3])


def test_captions_of_one_picture_are_those_of_their_seeds(captioner, pictures):
    """Several answers share one reading of the picture; pictures with other numbers of them share the batch."""
    sampling = Sampling(temperature=1.5, **SHORT)
    seeds = [(4, 5, 6), (), (7,), (5, 4)]
    found = captioner.caption_prepared([captioner.prepare(picture) for picture in pictures[:4]], sampling, seeds)
    for picture, own, said in zip(pictures, seeds, found, strict=False):
        assert said == [captioner.caption(picture, temperature=1.5, seed=seed, **SHORT)[0] for seed in own]
    assert len({caption.token_ids for caption in found[0]}) == 3


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_the_size_of_a_batch_changes_nothing(captioner, pictures, batch_size):
    one = captioner.caption(pictures, **SHORT)
    assert captioner.caption(pictures, batch_size=batch_size, **SHORT) == one


def test_order_of_the_pictures_does_not_matter(captioner, pictures):
    forth = captioner.caption(pictures, greedy=False, **SHORT)
    assert captioner.caption(pictures[::-1], greedy=False, **SHORT) == forth[::-1]


def test_no_picture_gives_no_caption(captioner):
    assert captioner.caption([]) == []


def test_lanes_change_nothing(captioner, pictures):
    one = captioner.caption(pictures, **SHORT)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert captioner.caption(pictures, **SHORT) == one
    finally:
        torch.set_num_threads(threads)


def test_a_repetition_penalty_of_the_base_counts_as_in_transformers(load_captioner, golden, pictures, tmp_path):
    """transformers' own `generate` as oracle, on the same network and inputs."""
    base = shutil.copytree(golden / "base", tmp_path / "base")
    options = json.loads((base / "generation_config.json").read_text())
    (base / "generation_config.json").write_text(json.dumps({**options, "repetition_penalty": 1.2}))
    ours = load_captioner(base_model=base)
    patches = ours.prepare(pictures[2])
    found = load_answering(golden / "captioner", read_captioner(golden / "captioner"), base_model=base, dtype="float32")
    ids = torch.tensor([found.question.ids(len(patches.pixels) // 4)])
    theirs = found.network.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        pixel_values=torch.from_numpy(normalized(patches, ours.pixels)),
        image_grid_thw=torch.tensor([[1, *patches.grid]]),
        mm_token_type_ids=(ids == found.question.image).long(),
        do_sample=False,
        max_new_tokens=12,
    )
    (caption,) = greedy(ours, pictures[2], max_new_tokens=12)
    assert list(caption.token_ids) == theirs[0, ids.shape[1] :].tolist()
    assert caption != greedy(load_captioner(), pictures[2], max_new_tokens=12)[0]


class TestFolder:
    """What a captioner folder may hold."""

    def test_recipe_and_prompt_are_read_from_relsim_json(self, load_captioner, copy_of_captioner):
        stored = {"format_version": 1, "recipe": "crop448", "caption_prompt": "What is the shared logic?"}
        found = load_captioner(copy_of_captioner(stored))
        assert found.recipe.value == "crop448"
        assert "<|vision_end|>What is the shared logic?<|im_end|>" in found.fingerprint.to_dict()["prompt"]

    def test_the_call_overrides_them(self, load_captioner, copy_of_captioner):
        stored = {"recipe": "crop448", "caption_prompt": "One?"}
        facts = load_captioner(copy_of_captioner(stored), recipe="native", prompt="Two?").fingerprint.to_dict()
        assert facts["recipe"] == "native"
        assert "Two?" in facts["prompt"]
        assert "One?" not in facts["prompt"]

    def test_without_it_they_are_the_published_ones(self, captioner):
        assert captioner.recipe.value == "squash448"
        assert CAPTION_PROMPT in captioner.fingerprint.to_dict()["prompt"]

    def test_a_whole_model_captions_as_its_adapter_does(self, load_captioner, captioner, golden, pictures, tmp_path):
        """The golden adapter merged by peft and saved whole, without the adapter's folder."""
        from peft import PeftModel

        base = Qwen2_5_VLForConditionalGeneration.from_pretrained(golden / "base", dtype=torch.float32)
        PeftModel.from_pretrained(base, golden / "captioner").merge_and_unload().save_pretrained(tmp_path / "whole")
        for path in (golden / "captioner").iterdir():
            if not path.name.startswith("adapter"):
                shutil.copy(path, tmp_path / "whole")
        whole = load_captioner(tmp_path / "whole", base_model=None)
        assert greedy(whole, pictures[2:4]) == greedy(captioner, pictures[2:4])
        with pytest.raises(CheckpointError, match="leave base_model"):
            load_captioner(tmp_path / "whole")

    def test_a_saved_head_is_used(self, load_captioner, copy_of_captioner, golden, pictures):
        """With a head of zeros all tokens are equally probable, and the first is taken."""
        folder = copy_of_captioner()
        tensors = load_file(folder / "adapter_model.safetensors")
        head = torch.zeros_like(load_file(golden / "base" / "model.safetensors")["lm_head.weight"])
        save_file({**tensors, "base_model.model.lm_head.weight": head}, folder / "adapter_model.safetensors")
        assert greedy(load_captioner(folder), pictures[0], max_new_tokens=3)[0].token_ids == (0, 0, 0)

    def test_the_metrics_checkpoint_is_refused(self, load_captioner, golden):
        with pytest.raises(CheckpointError, match="is a checkpoint of the metric and writes no captions"):
            load_captioner(golden / "relsim")

    @pytest.mark.parametrize(
        ("metadata", "told"),
        [
            ({"format_version": 2}, "format version 2"),
            ({"recipe": "tiny"}, "'tiny'"),
            ({"caption_prompt": 5}, "caption_prompt 5"),
            ({"caption_prompt": ""}, "caption_prompt ''"),
            ([], "one JSON object"),
        ],
        ids=str,
    )
    def test_wrong_metadata_is_told(self, load_captioner, copy_of_captioner, metadata, told):
        with pytest.raises(CheckpointError, match=told):
            load_captioner(copy_of_captioner(metadata))

    @pytest.mark.parametrize("lost", ["adapter_config.json", "adapter_model.safetensors"])
    def test_half_an_adapter_is_told(self, load_captioner, copy_of_captioner, lost):
        folder = copy_of_captioner()
        (folder / lost).unlink()
        with pytest.raises(CheckpointError, match=f"{lost} is missing"):
            load_captioner(folder)

    def test_an_empty_folder_is_told(self, load_captioner, tmp_path):
        with pytest.raises(CheckpointError, match="neither an adapter"):
            load_captioner(tmp_path)

    def test_a_missing_tensor_of_the_adapter_is_told(self, load_captioner, copy_of_captioner):
        folder = copy_of_captioner()
        tensors = load_file(folder / "adapter_model.safetensors")
        del tensors[next(name for name in tensors if "lora_A" in name)]
        save_file(tensors, folder / "adapter_model.safetensors")
        with pytest.raises(CheckpointError, match="lacks lora_A"):
            load_captioner(folder)

    def test_the_base_is_found_by_the_name_in_the_adapter(self, load_captioner, copy_of_captioner, golden):
        folder = copy_of_captioner()
        config = json.loads((folder / "adapter_config.json").read_text())
        config["base_model_name_or_path"] = str(golden / "base")
        (folder / "adapter_config.json").write_text(json.dumps(config))
        assert load_captioner(folder, base_model=None).fingerprint == load_captioner(folder).fingerprint

    def test_the_fingerprint_tells_adapters_apart(self, captioner, load_captioner, copy_of_captioner):
        folder = copy_of_captioner()
        tensors = load_file(folder / "adapter_model.safetensors")
        name = next(name for name in tensors if "lora_B" in name)
        save_file({**tensors, name: tensors[name] + 1}, folder / "adapter_model.safetensors")
        assert load_captioner(folder).fingerprint != captioner.fingerprint


@pytest.mark.parametrize(
    "wrong", [{"max_new_tokens": 0}, {"temperature": 0.0}, {"temperature": float("nan")}, {"top_p": 0}, {"top_p": 1.1}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Sampling(**wrong)


def test_what_is_no_picture_is_refused(captioner):
    with pytest.raises(TypeError):
        captioner.caption(["a.png"])


def test_pictures_made_smaller_are_the_same_to_it(load_captioner, noise):
    """They are what workers of Ray send, and the captions are those of whole pictures."""
    captioner = load_captioner(recipe="crop56")
    for size in [(300, 200), (57, 56), (9, 20)]:
        small = shrink_of(captioner)(noise(*size))
        assert max(small.size) <= 56
        assert np.array_equal(captioner.prepare(small).pixels, captioner.prepare(noise(*size)).pixels)
