"""Captioners and filters, base and adapter merged: read by transformers alone, in a process of its own."""

import json
import subprocess
import sys

import pytest
from PIL import Image

from relsim.captions.captioner import Captioner
from relsim.captions.checkpoint import read_captioner
from relsim.errors import CheckpointError
from relsim.training.export import export_checkpoint
from relsim.world.gallery import write_gallery

# Reads the folder as a server does: no peft, nothing of relsim. Pictures come as the recipe makes them.
STRANGER = """
import sys
sys.modules["relsim"] = sys.modules["peft"] = None
import json
from pathlib import Path
import torch
from PIL import Image
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
folder, dtype, names = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
network, report = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=dtype, output_loading_info=True)
assert not any(report.values()), report
tokenizer, processor = AutoTokenizer.from_pretrained(folder), Qwen2VLImageProcessorPil.from_pretrained(folder)
question = json.loads((folder / "relsim.json").read_text())["caption_prompt"]
message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}
text = tokenizer.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
for name in names:
    picture = processor(Image.open(name), return_tensors="pt")
    merged = int(picture["image_grid_thw"].prod()) // 4
    ids = tokenizer(text.replace("<|image_pad|>", "<|image_pad|>" * merged), return_tensors="pt")
    kinds = (ids["input_ids"] == network.config.image_token_id).long()
    said = network.generate(**ids, **picture, mm_token_type_ids=kinds, do_sample=False, max_new_tokens=40)
    print(json.dumps(tokenizer.decode(said[0, ids["input_ids"].shape[1]:], skip_special_tokens=True)))
"""


@pytest.fixture
def said_elsewhere(tmp_path):
    """`said_elsewhere(folder, recipe, pictures)`: greedy captions of transformers."""

    def run(folder, recipe, pictures, dtype="float32"):
        names = [str(tmp_path / f"{number}.png") for number in range(len(pictures))]
        for name, picture in zip(names, pictures, strict=True):
            recipe.apply(picture).save(name)
        command = [sys.executable, "-c", STRANGER, str(folder), dtype, json.dumps(names)]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr
        return [json.loads(line) for line in told.stdout.splitlines()]

    return run


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    gallery = write_gallery(tmp_path_factory.mktemp("drawn") / "gallery", count=12, workers=1)
    return [Image.open(path).convert("RGB") for path in sorted((gallery.folder / "images").iterdir())]


def test_transformers_says_the_same_of_drawn_scenes(said_elsewhere, scenes, tmp_path):
    out = export_checkpoint("relsim-mini-captioner", tmp_path / "whole", layout="whole", dtype="float32")
    captioner = Captioner.load("relsim-mini-captioner", device="cpu", dtype="float32")
    ours = [caption.text for caption in captioner.caption(scenes, greedy=True, max_new_tokens=40)]
    assert len(set(ours)) > 6
    assert said_elsewhere(out, captioner.recipe, scenes) == ours
    again = Captioner.load(out, device="cpu", dtype="float32")
    assert [caption.text for caption in again.caption(scenes, greedy=True, max_new_tokens=40)] == ours
    assert (again.recipe, again._question) == (captioner.recipe, captioner._question)
    assert json.loads((out / "relsim.json").read_text())["training"]["global_step"] == 200
    assert (out / "README.md").exists()
    assert not (out / "adapter_config.json").exists()


def test_published_captioner_takes_its_recipe_and_question_along(said_elsewhere, golden, golden_pictures, tmp_path):
    """It has neither a relsim.json nor a card, and another base than the one it names."""
    options = {"base_model": golden / "base"}
    out = export_checkpoint(golden / "captioner", tmp_path / "whole", layout="whole", dtype="float32", **options)
    captioner = Captioner.load(golden / "captioner", device="cpu", dtype="float32", **options)
    pictures = golden_pictures[:4]
    ours = [caption.text for caption in captioner.caption(pictures, greedy=True, max_new_tokens=40)]
    assert len(set(ours)) > 1
    assert said_elsewhere(out, captioner.recipe, pictures) == ours
    assert read_captioner(out).prompt == read_captioner(golden / "captioner").prompt
    assert read_captioner(out).recipe.value == "squash448"


def test_weights_are_stored_as_those_of_the_base(golden, tmp_path):
    from safetensors import safe_open

    out = export_checkpoint(golden / "captioner", tmp_path / "whole", layout="whole", base_model=golden / "base")
    with safe_open(out / "model.safetensors", "pt") as file:
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"BF16"}  # noqa: SIM118 - no mapping
    assert json.loads((out / "config.json").read_text())["dtype"] == "bfloat16"


def test_whole_model_has_no_adapter_to_merge(tmp_path):
    with pytest.raises(CheckpointError, match="holds neither a projection"):
        export_checkpoint("relsim-mini-base", tmp_path / "out", layout="whole")
