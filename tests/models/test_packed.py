"""What the packed pass leaves out changes nothing, and it is taken only where it computes the right thing."""

import json

import pytest
import torch
from transformers import AutoTokenizer, Qwen2_5_VLConfig

from relsim.errors import CheckpointError
from relsim.models import layers as layers_module
from relsim.models import packed as packed_module
from relsim.models.layers import rotary_pairs
from relsim.models.packed import PackedQwen25VL
from relsim.models.plain import PlainForward


@pytest.fixture(scope="module")
def merged(golden, peft_merged):
    return peft_merged(golden / "relsim")


@pytest.mark.parametrize("index", [1, 7, 9, 13])
def test_what_follows_the_query_token_changes_nothing(merged, packed, golden, golden_pictures, query_states, index):
    """The whole published template, generation prompt included, gives the state that the cut prompt gives."""
    tokenizer = AutoTokenizer.from_pretrained(golden / "relsim")
    after = tokenizer("<|im_end|>\n<|im_start|>assistant\n", add_special_tokens=False)["input_ids"]
    whole = query_states(merged, packed, golden_pictures[index], after)
    cut_off = query_states(merged, packed, golden_pictures[index])
    assert (whole - cut_off).abs().max() <= 1e-5
    assert (packed._forward([packed.prepare(golden_pictures[index])])[0] - whole).abs().max() <= 1e-4


@pytest.mark.parametrize("seed", [0, 1])
def test_words_after_the_query_token_change_nothing(merged, packed, golden_pictures, query_states, seed):
    """Not even random ones."""
    after = torch.randint(0, 1000, (20,), generator=torch.Generator().manual_seed(seed)).tolist()
    picture = golden_pictures[9]
    difference = query_states(merged, packed, picture, after) - query_states(merged, packed, picture)
    assert difference.abs().max() <= 1e-5


def config_with(golden, text=None, vision=None):
    config = json.loads((golden / "base" / "config.json").read_text())
    config["text_config"].update(text or {})
    config["vision_config"].update(vision or {})
    return Qwen2_5_VLConfig.from_dict(config)


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768, "mrope_section": [2, 3, 3]}


def test_published_network_packs(golden):
    assert PackedQwen25VL.supports(config_with(golden))


@pytest.mark.parametrize(
    "parts",
    [
        {"text": {"rope_scaling": YARN}},
        {"text": {"rope_scaling": {**YARN, "rope_type": "dynamic"}}},
        {"text": {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1}},
        {"text": {"hidden_act": "gelu"}},
        {"vision": {"hidden_act": "gelu"}},
    ],
    ids=["yarn", "dynamic rotary embedding", "sliding window", "other activation", "other activation in the tower"],
)
def test_what_the_packed_pass_does_not_compute_it_refuses(golden, parts):
    assert not PackedQwen25VL.supports(config_with(golden, **parts))


def test_unsupported_network_runs_through_transformers(load_golden, gelu_base, packed, golden_pictures, embed):
    vlm = load_golden(base_model=gelu_base)
    assert isinstance(vlm._forward, PlainForward)
    assert (embed(vlm, golden_pictures[:2]) - embed(packed, golden_pictures[:2])).abs().max() > 1e-3


def test_packed_engine_for_an_unsupported_network_is_an_error(load_golden, gelu_base):
    with pytest.raises(CheckpointError, match="no packed forward"):
        load_golden(base_model=gelu_base, engine="packed")


def test_weights_too_large_to_join_give_the_same(load_golden, packed, golden_pictures, embed, monkeypatch):
    """Gate and up projection are one product where they are small and two where they are not."""
    monkeypatch.setattr(layers_module, "JOIN_BYTES", 0)
    apart = load_golden(engine="packed")
    assert (embed(apart, golden_pictures[:4]) - embed(packed, golden_pictures[:4])).abs().max() <= 1e-5


def test_layers_of_aligned_width_give_the_same(load_golden, packed, golden_pictures, embed, monkeypatch):
    """As on a GPU, where the MLP of the 7B model's vision tower, 3,420 wide, takes a slow path."""
    monkeypatch.setattr(packed_module, "_ALIGNED_ON", {"cpu"})
    aligned = load_golden()
    widths = [
        [block.mlp.down.weight.shape[1] for block in model._forward._vision.blocks] for model in (packed, aligned)
    ]
    assert all(width % 64 for width in widths[0])
    assert not any(width % 64 for width in widths[1])
    difference = embed(aligned, golden_pictures) - embed(packed, golden_pictures)
    assert abs(difference).max() <= 1e-5


def test_packed_is_the_default(load_golden):
    assert isinstance(load_golden()._forward, PackedQwen25VL)


def test_rotary_pairs_bring_both_halves_together():
    """Two heads of size 6: 0 goes with 3, 1 with 4, 2 with 5, and the second head follows."""
    assert rotary_pairs(2, 6).tolist() == [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]


@pytest.mark.parametrize(
    "change", [{"patch_size": 16}, {"merge_size": 1}, {"merge_size": 4}, {"temporal_patch_size": 1}]
)
def test_processor_that_does_not_fit_the_network_is_refused(load_golden, copy_of_golden, change):
    """Sizes of patches and blocks must be the vision tower's: other ones give another picture or a crash later."""
    folder = copy_of_golden("relsim")
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    for engine in ("packed", "plain"):
        with pytest.raises(CheckpointError, match="preprocessor"):
            load_golden(folder, engine=engine)
