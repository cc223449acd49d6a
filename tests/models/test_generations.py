"""Other generations of Qwen-VL run through transformers' forward: small random networks, adapter and all."""

import json

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from relsim.models.checkpoint import Checkpoint, read_checkpoint
from relsim.models.checkpoint_writing import write_checkpoint
from relsim.models.loading import load_query_vlm

VOCABULARY, IMAGE, VIDEO, START, END = 1152, 1036, 1037, 1033, 1034
HIDDEN = 64
TEXT = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "bos_token_id": 1025,
    "eos_token_id": 1024,
}
ROPE = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]}
TOKENS = {"image_token_id": IMAGE, "video_token_id": VIDEO, "vision_start_token_id": START, "vision_end_token_id": END}
PIXELS = {"do_resize": True, "resample": 3, "merge_size": 2, "temporal_patch_size": 2}


def qwen2():
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": HIDDEN, "num_heads": 2, "mlp_ratio": 2}
    config = Qwen2VLConfig(text_config={**TEXT, "rope_parameters": ROPE}, vision_config=vision, **TOKENS)
    pixels = {**PIXELS, "patch_size": 14, "size": {"shortest_edge": 3136, "longest_edge": 200_000}}
    return Qwen2VLForConditionalGeneration(config), pixels


def qwen25():
    vision = {"depth": 3, "hidden_size": 32, "num_heads": 2, "intermediate_size": 48, "out_hidden_size": HIDDEN}
    vision |= {"fullatt_block_indexes": [1], "window_size": 84}
    config = Qwen2_5_VLConfig(text_config={**TEXT, "rope_parameters": ROPE}, vision_config=vision, **TOKENS)
    pixels = {**PIXELS, "patch_size": 14, "size": {"shortest_edge": 3136, "longest_edge": 200_000}}
    return Qwen2_5_VLForConditionalGeneration(config), pixels


def qwen3():
    vision = {"depth": 3, "hidden_size": 32, "num_heads": 2, "intermediate_size": 48, "out_hidden_size": HIDDEN}
    vision |= {"deepstack_visual_indexes": [0, 1], "num_position_embeddings": 64}
    rope = {**ROPE, "mrope_interleaved": True}
    text = {**TEXT, "head_dim": 16, "rope_parameters": rope}
    pixels = {**PIXELS, "patch_size": 16, "size": {"shortest_edge": 4096, "longest_edge": 200_000}}
    pixels |= {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    return Qwen3VLForConditionalGeneration(Qwen3VLConfig(text_config=text, vision_config=vision, **TOKENS)), pixels


GENERATIONS = {"qwen2_vl": qwen2, "qwen2_5_vl": qwen25, "qwen3_vl": qwen3}


@pytest.fixture(scope="module", params=GENERATIONS)
def generation(request, golden, tmp_path_factory):
    """Folders of a random base and of a checkpoint for it, and the base with the adapter merged by peft."""
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    model, pixels = GENERATIONS[request.param]()
    with torch.no_grad():  # biases and norms start as constants, which would hide a mistake
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    model.float().save_pretrained(folder / "base")
    lora = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]))
    with torch.no_grad():
        for name, parameter in lora.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.2)
    processor = folder / "processor"
    processor.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"):
        (processor / name).write_bytes((golden / "relsim" / name).read_bytes())
    (processor / "preprocessor_config.json").write_text(json.dumps(pixels))
    lora.save_pretrained(folder / "peft")
    config = json.loads((folder / "peft" / "adapter_config.json").read_text())
    checkpoint = Checkpoint(
        projection_weight=torch.randn(384, HIDDEN),
        projection_bias=torch.randn(384),
        query_token_id=1046,
        adapter_config={**config, "base_model_name_or_path": str(folder / "base")},
        adapter=dict(get_peft_model_state_dict(lora)),
    )
    write_checkpoint(folder / "checkpoint", checkpoint, processor)
    return folder, lora.merge_and_unload().eval()


@pytest.fixture(scope="module")
def loaded(generation):
    folder, reference = generation
    return load_query_vlm(folder / "checkpoint", device="cpu", dtype="float32"), reference


@pytest.mark.parametrize("size", [(28, 28), (57, 143), (300, 210), (448, 100), (500, 500)], ids=str)
def test_state_equals_transformers_own(loaded, noise, query_states, size):
    vlm, reference = loaded
    found = vlm._forward([vlm.prepare(noise(*size))])[0]
    wanted = query_states(reference, vlm, noise(*size))
    assert wanted.abs().max() > 0.1
    assert (found - wanted).abs().max() <= 1e-4 * wanted.abs().max()


def test_embeddings_do_not_depend_on_the_batch(loaded, noise, query_states, project):
    vlm, reference = loaded
    pictures = [noise(*size) for size in [(28, 28), (57, 143), (300, 210), (448, 100), (28, 28)]]
    found = vlm.embed([vlm.prepare(picture) for picture in pictures])
    wanted = project(vlm, torch.stack([query_states(reference, vlm, picture) for picture in pictures]))
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_attention_is_transformers_own_and_leaves_the_embedding_as_it_was(loaded, noise):
    """Of the whole model with its head, switched to the attention that gives its weights away."""
    from relsim.models.pixels import normalized

    vlm, reference = loaded
    patches = [vlm.prepare(noise(*size)) for size in [(57, 143), (300, 210), (28, 28)]]
    before = vlm.embed(patches)
    found = vlm.attention(patches)
    assert torch.equal(vlm.embed(patches), before)
    usual = reference.config._attn_implementation
    reference.set_attn_implementation("eager")
    for one, own in zip(found, patches, strict=True):
        ids = torch.tensor([vlm.prompt.ids(count := one.grid[0] * one.grid[1])])
        with torch.inference_mode():
            output = reference(
                input_ids=ids,
                pixel_values=torch.from_numpy(normalized(own, vlm.pixels)),
                image_grid_thw=torch.tensor([[1, *own.grid]]),
                mm_token_type_ids=(ids == vlm.prompt.image).long(),
                output_attentions=True,
            )
        start = len(vlm.prompt.prefix)
        wanted = torch.stack([layer[0, :, -1, start : start + count] for layer in output.attentions])
        np.testing.assert_allclose(one.weights, wanted, atol=1e-5)
    reference.set_attn_implementation(usual)


def test_pixels_equal_the_processors_own(generation, loaded, noise):
    """As transformers reads the same `preprocessor_config.json`."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    from relsim.models.pixels import normalized

    folder, _ = generation
    vlm, _ = loaded
    theirs = Qwen2VLImageProcessorPil.from_pretrained(folder / "checkpoint")(noise(333, 222), return_tensors="np")
    patches = vlm.prepare(noise(333, 222))
    np.testing.assert_allclose(normalized(patches, vlm.pixels), theirs["pixel_values"], atol=1e-6)


def test_checkpoint_loads_in_peft(generation, loaded, noise, query_states):
    """The adapter that we write, on the base that transformers loads."""
    folder, reference = generation
    base = type(reference).from_pretrained(folder / "base", dtype=torch.float32)
    merged = PeftModel.from_pretrained(base, folder / "checkpoint").merge_and_unload().eval()
    vlm, _ = loaded
    found, wanted = (query_states(model, vlm, noise(90, 60)) for model in (merged, reference))
    assert (found - wanted).abs().max() <= 1e-5


def test_base_is_found_by_the_name_in_the_adapter(generation):
    folder, _ = generation
    assert read_checkpoint(folder / "checkpoint").base_model == str(folder / "base")


def test_whole_model_in_one_folder_needs_no_adapter(generation, loaded, golden, noise, embed):
    """A folder with merged weights, a projection and the processor files is a checkpoint, too."""
    from safetensors.torch import save_file

    folder, reference = generation
    vlm, _ = loaded
    whole = folder / "whole"
    reference.save_pretrained(whole)
    for path in (folder / "processor").iterdir():
        (whole / path.name).write_bytes(path.read_bytes())
    checkpoint = vlm.checkpoint
    save_file(
        {"weight": checkpoint.projection_weight, "bias": checkpoint.projection_bias}, whole / "projection.safetensors"
    )
    (whole / "relsim.json").write_text(json.dumps({"format_version": 1, "query_token_id": 1046}))
    found = load_query_vlm(whole, device="cpu", dtype="float32")
    pictures = [noise(100, 70), noise(70, 100)]
    assert (embed(found, pictures) - embed(vlm, pictures)).abs().max() <= 1e-5
