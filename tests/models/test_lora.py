"""Merging held to peft's own merge; options that relsim does not merge are refused."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLModel

from relsim.errors import CheckpointError
from relsim.models.lora import merge_lora

NAMES = [f"language_model.layers.{layer}.self_attn.{part}" for layer in range(3) for part in ("q_proj", "v_proj")]


@pytest.fixture(scope="module")
def base(golden):
    """Fresh copies of the golden base with its head, in fp32."""
    return lambda: Qwen2_5_VLForConditionalGeneration.from_pretrained(golden / "base", dtype=torch.float32)


@pytest.fixture
def both(base, variant, load_golden):
    """`both(**options)`: a random adapter with these options of LoraConfig, as weights merged by peft and by us."""

    def merge(**options):
        torch.manual_seed(0)
        lora = get_peft_model(base(), LoraConfig(**{"r": 8, "lora_alpha": 24, **options}))
        with torch.no_grad():
            for name, parameter in lora.named_parameters():
                if "lora_" in name:
                    parameter.normal_(std=0.1)
        config = {key: _plain(value) for key, value in lora.peft_config["default"].to_dict().items()}
        folder = variant(config=config, adapter=dict(get_peft_model_state_dict(lora)))
        ours = load_golden(folder, engine="plain")._forward._backbone.state_dict()
        theirs = lora.merge_and_unload().model.state_dict()
        return ours, theirs

    return merge


def _plain(value):
    return sorted(value) if isinstance(value, set) else getattr(value, "value", value)


LAYER_1 = "layers.1.self_attn.q_proj"
FULL = f"model.language_model.{LAYER_1}"

OPTIONS = {
    "as published": {"target_modules": ["q_proj", "v_proj"]},
    "rank-stabilised": {"target_modules": ["q_proj", "v_proj"], "use_rslora": True},
    "rank by layer": {"target_modules": ["q_proj", "v_proj"], "rank_pattern": {LAYER_1: 3}},
    "alpha by layer": {"target_modules": ["q_proj", "v_proj"], "alpha_pattern": {LAYER_1: 5}},
    "both, rank-stabilised": {
        "target_modules": ["q_proj", "v_proj"],
        "rank_pattern": {"v_proj": 2, LAYER_1: 3},
        "alpha_pattern": {r".*layers\.[02]\..*": 7, "v_proj": 100},
        "use_rslora": True,
    },
    "alpha by full name": {"target_modules": ["q_proj", "v_proj"], "alpha_pattern": {FULL: 5}},
    "rank by full name": {"target_modules": ["q_proj", "v_proj"], "rank_pattern": {FULL: 3}},
    "one regular expression": {"target_modules": r".*language_model.*\.(k_proj|o_proj)"},
    "regular expression from the root": {"target_modules": r"model\.language_model\.layers\.\d\.mlp\.up_proj"},
    "full names": {"target_modules": [FULL, "model.language_model.layers.2.mlp.down_proj"]},
    "vision tower too": {"target_modules": ["q_proj", "qkv", "gate_proj"]},
    "all but one layer": {"target_modules": ["q_proj"], "exclude_modules": [LAYER_1]},
    "all but one full name": {"target_modules": ["q_proj"], "exclude_modules": [FULL]},
    "all but a regular expression": {"target_modules": ["q_proj"], "exclude_modules": r".*layers\.0\..*"},
    "all linear layers": {"target_modules": "all-linear", "exclude_modules": ["lm_head"]},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_merged_weights_equal_pefts(both, options):
    """Every weight of the network in fp32, whether adapted or not."""
    ours, theirs = both(**options)
    assert ours.keys() == theirs.keys()
    for name, weight in theirs.items():
        torch.testing.assert_close(ours[name], weight, rtol=0, atol=1e-6, msg=name)


@pytest.mark.parametrize("options", [OPTIONS["full names"], OPTIONS["all but one full name"]], ids=["full", "excluded"])
def test_target_by_full_name_is_missed_when_it_is_missing(base, variant, load_golden, options):
    """A module that the configuration names by its whole path must have its two tensors."""
    lora = get_peft_model(base(), LoraConfig(r=8, **options))
    adapter = dict(get_peft_model_state_dict(lora))
    lost = next(iter(adapter))
    del adapter[lost], adapter[lost.replace("lora_A", "lora_B")]
    config = {key: _plain(value) for key, value in lora.peft_config["default"].to_dict().items()}
    with pytest.raises(CheckpointError, match="lacks lora_A"):
        load_golden(variant(config=config, adapter=adapter))


def test_the_base_in_bf16_is_rounded_once(load_golden, published):
    """Merged in fp32, then rounded: equal to round(W + s·B·A) for the bf16 weights of the base."""
    stored = load_golden(engine="plain", dtype="bfloat16")._forward._backbone.state_dict()
    exact = load_golden(engine="plain", dtype="float32")._forward._backbone.state_dict()
    for name in NAMES:
        torch.testing.assert_close(stored[f"{name}.weight"], exact[f"{name}.weight"].bfloat16(), rtol=0, atol=0)


def test_merge_is_the_formula(load_golden, published, golden):
    """W' = W + (alpha / r)·B·A with the golden alpha of 32 and rank of 16."""
    from safetensors.torch import load_file

    stored = load_file(golden / "base" / "model.safetensors")
    merged = load_golden(engine="plain")._forward._backbone.state_dict()
    for name in NAMES:
        a, b = (published.adapter[f"base_model.model.model.{name}.{factor}.weight"] for factor in ("lora_A", "lora_B"))
        weight = stored[f"{name.replace('language_model', 'model')}.weight"].float()
        torch.testing.assert_close(merged[f"{name}.weight"], weight + 2 * b @ a, rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def backbone(golden):
    """The golden base without its head."""
    return Qwen2_5_VLModel.from_pretrained(golden / "base", dtype=torch.float32)


@pytest.fixture
def merge(backbone, published):
    """`merge(config=…, adapter=…)` merges the golden adapter, with these changes, into a copy of the backbone."""

    def run(config=None, adapter=None):
        options = {**published.adapter_config, **(config or {})}
        merge_lora(copy.deepcopy(backbone), options, published.adapter if adapter is None else adapter)

    return run


REFUSED = {
    "use_dora": True,
    "bias": "all",
    "modules_to_save": ["merger"],
    "lora_bias": True,
    "fan_in_fan_out": True,
    "layers_to_transform": [0, 1],
    "target_parameters": ["mlp.up_proj.weight"],
    "trainable_token_indices": [1046],
    "use_qalora": True,
    "layer_replication": [[0, 2], [1, 3]],
    "alora_invocation_tokens": [5, 6],
    "arrow_config": {"top_k": 3},
    "use_bdlora": {"nblocks": 2},
    "kasa_config": {"beta": 1e-4},
    "monteclora_config": {"num_samples": 4},
}


@pytest.mark.parametrize("option", REFUSED)
def test_option_that_changes_the_numbers_is_refused_by_name(merge, option):
    with pytest.raises(CheckpointError, match=option):
        merge(config={option: REFUSED[option]})


@pytest.mark.parametrize("start", ["pissa", "pissa_niter_4", "olora", "corda", "loftq"])
def test_start_that_changes_the_base_is_refused(merge, start):
    """These adapters belong to a base from which their first values were taken away, not to the base as published."""
    with pytest.raises(CheckpointError, match="init_lora_weights"):
        merge(config={"init_lora_weights": start})


@pytest.mark.parametrize("start", [True, False, "gaussian", "orthogonal", "eva"])
def test_start_that_leaves_the_base_alone_is_taken(variant, load_golden, packed, golden_pictures, embed, start):
    found = embed(load_golden(variant(config={"init_lora_weights": start})), golden_pictures[9:10])
    assert (found - embed(packed, golden_pictures[9:10])).abs().max() <= 1e-6


@pytest.mark.parametrize("kind", ["LOHA", "IA3", None])
def test_other_adapters_than_lora_are_refused(merge, kind):
    with pytest.raises(CheckpointError, match="only LORA"):
        merge(config={"peft_type": kind})


@pytest.mark.parametrize(
    ("option", "value"),
    [("r", None), ("r", "16"), ("r", 0), ("lora_alpha", None), ("rank_pattern", [3]), ("target_modules", "(")],
)
def test_damaged_configuration_is_a_checkpoint_error(merge, option, value):
    with pytest.raises(CheckpointError):
        merge(config={option: value})


def test_configuration_of_an_older_peft_is_enough(variant, published, load_golden, packed, golden_pictures, embed):
    """Options that came later may be absent."""
    known = ("base_model_name_or_path", "bias", "lora_alpha", "peft_type", "r", "target_modules", "task_type")
    folder = variant(adapter_config={name: published.adapter_config[name] for name in known})
    found = embed(load_golden(folder), golden_pictures[:1])
    assert (found - embed(packed, golden_pictures[:1])).abs().max() <= 1e-6


def test_keys_of_older_transformers_are_understood(variant, published, load_golden, packed, golden_pictures, embed):
    """Before 4.52 the language model's layers stood directly under `model`."""
    adapter = {name.replace("model.language_model.", "model."): tensor for name, tensor in published.adapter.items()}
    found = embed(load_golden(variant(adapter=adapter)), golden_pictures[:1])
    assert (found - embed(packed, golden_pictures[:1])).abs().max() <= 1e-6


LORA_TENSORS = [f"base_model.model.model.{name}.{factor}.weight" for name in NAMES for factor in ("lora_A", "lora_B")]


@pytest.mark.parametrize("lost", LORA_TENSORS)
def test_a_missing_tensor_is_named(merge, published, lost):
    adapter = {name: tensor for name, tensor in published.adapter.items() if name != lost}
    module, factor = lost.removeprefix("base_model.model.model.").removesuffix(".weight").rsplit(".", 1)
    with pytest.raises(CheckpointError, match=rf"lacks {factor} for {module}"):
        merge(adapter=adapter)


def test_a_missing_module_is_named(merge, published):
    adapter = {name: tensor for name, tensor in published.adapter.items() if NAMES[3] not in name}
    with pytest.raises(CheckpointError, match=NAMES[3]):
        merge(adapter=adapter)


@pytest.mark.parametrize(
    "extra",
    [
        "base_model.model.model.language_model.layers.0.self_attn.q_proj.lora_C.weight",
        "base_model.model.model.language_model.layers.9.self_attn.q_proj.lora_A.weight",
        "base_model.model.model.language_model.norm.weight",
        "base_model.model.model.language_model.layers.0.self_attn.k_proj.lora_A.weight",
        "base_model.model.model.language_model.layers.0.self_attn.q_proj.lora_magnitude_vector",
        "base_model.model.model.visual.merger.ln_q.weight",
        "something.else",
    ],
)
def test_an_extra_tensor_is_named(merge, published, extra):
    adapter = {**published.adapter, extra: torch.zeros(16, 96)}
    name = extra.removeprefix("base_model.model.").removeprefix("model.").removesuffix(".weight")
    with pytest.raises(CheckpointError, match=name.removesuffix(".lora_A")):
        merge(adapter=adapter)


@pytest.mark.parametrize("shape", [(15, 96), (16, 95), (16,), (96, 16), (16, 96, 1), (0, 96)], ids=str)
def test_a_misshapen_first_factor_is_named(merge, published, shape):
    with pytest.raises(CheckpointError, match=rf"{NAMES[0]}.lora_A has shape"):
        merge(adapter={**published.adapter, LORA_TENSORS[0]: torch.zeros(shape)})


@pytest.mark.parametrize("shape", [(96, 15), (95, 16), (16, 96)], ids=str)
def test_a_misshapen_second_factor_is_named(merge, published, shape):
    with pytest.raises(CheckpointError, match=rf"{NAMES[0]}.lora_B has shape"):
        merge(adapter={**published.adapter, LORA_TENSORS[1]: torch.zeros(shape)})


@pytest.mark.parametrize("table", ["model.language_model.embed_tokens", "lm_head"])
@pytest.mark.parametrize("shape", [(1047, 95), (1047,), (96,)], ids=str)
def test_a_misshapen_table_is_named(merge, published, table, shape):
    adapter = {**published.adapter, f"base_model.model.{table}.weight": torch.zeros(shape)}
    with pytest.raises(CheckpointError, match=table.rsplit(".", maxsplit=1)[-1]):
        merge(adapter=adapter)


def test_a_table_without_the_query_tokens_row_is_refused(variant, published, load_golden):
    name = "base_model.model.model.language_model.embed_tokens.weight"
    with pytest.raises(CheckpointError, match="1046 rows"):
        load_golden(variant(adapter={**published.adapter, name: published.adapter[name][:1046]}))
