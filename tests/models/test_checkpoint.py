"""Checkpoint folders that load: the published layout, ours, and what peft makes of them."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from relsim.models.checkpoint import PROCESSOR_FILES, Checkpoint, read_checkpoint
from relsim.models.checkpoint_writing import write_checkpoint
from relsim.models.pixels import Recipe

RICH = {
    "recipe": Recipe.CROP448,
    "training": {"global_step": 18, "epoch": 2, "loss": 0.25, "notes": ["a", "b"]},
    "null_distribution": {"scores": [-0.1, 0.2, 0.9], "percentiles": [0.0, 50.0, 100.0]},
}


def assert_equal(ours, theirs):
    """Every field, every tensor bit for bit and of the same type."""
    for name in ("query_token_id", "adapter_config", "recipe", "query_token", "training", "null_distribution"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.adapter.keys() == theirs.adapter.keys()
    pairs = [(ours.adapter[name], theirs.adapter[name]) for name in ours.adapter]
    pairs += [(ours.projection_weight, theirs.projection_weight), (ours.projection_bias, theirs.projection_bias)]
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_published_folder_is_read(published, golden):
    """Values as they stand in its files."""
    assert published.query_token_id == 1046
    assert published.query_token == "<|query|>"
    assert published.recipe == Recipe.NATIVE
    assert published.base_model == "Qwen/Qwen2.5-VL-7B-Instruct"
    assert published.null_distribution is None
    content = torch.load(golden / "relsim" / "projection_and_config.pt", weights_only=True)
    assert torch.equal(published.projection_weight, content["projection"]["weight"])
    assert torch.equal(published.projection_bias, content["projection"]["bias"])
    assert published.adapter.keys() == load_file(golden / "relsim" / "adapter_model.safetensors").keys()


@pytest.mark.parametrize("changes", [{}, RICH], ids=["as published", "with our records"])
def test_what_is_written_is_read_back(variant, published, changes):
    folder = variant(**changes)
    assert_equal(read_checkpoint(folder), Checkpoint(**{**_fields(published), **changes}))


def _fields(checkpoint):
    return {name: getattr(checkpoint, name) for name in Checkpoint.__dataclass_fields__}


def test_written_folder_holds_both_layouts_and_the_processor(variant, golden):
    names = {path.name for path in variant().iterdir()}
    processor = {name for name in PROCESSOR_FILES if (golden / "relsim" / name).exists()}
    assert names == processor | {
        "adapter_config.json",
        "adapter_model.safetensors",
        "projection.safetensors",
        "projection_and_config.pt",
        "relsim.json",
    }


def test_published_layout_alone_is_enough(variant, published):
    """Without our two files it reads like the published folder: the recipe is `native`."""
    folder = variant(**RICH)
    for name in ("relsim.json", "projection.safetensors"):
        (folder / name).unlink()
    found = read_checkpoint(folder)
    assert found.recipe == Recipe.NATIVE
    assert found.training == {"global_step": 18, "epoch": 2}
    assert torch.equal(found.projection_weight, published.projection_weight)


def test_written_pickle_has_the_published_keys(variant):
    content = torch.load(variant(**RICH) / "projection_and_config.pt", weights_only=True)
    assert content.keys() == {"projection", "query_token_id", "global_step", "epoch"}
    assert content["projection"].keys() == {"weight", "bias"}


def test_projection_from_safetensors_only(variant, load_golden, packed, golden_pictures, embed):
    folder = variant()
    (folder / "projection_and_config.pt").unlink()
    assert torch.equal(embed(load_golden(folder), golden_pictures[:2]), embed(packed, golden_pictures[:2]))


def test_written_folder_gives_the_same_embeddings(variant, load_golden, packed, golden_pictures, embed):
    assert torch.equal(embed(load_golden(variant()), golden_pictures[:3]), embed(packed, golden_pictures[:3]))


def test_stored_recipe_is_used_and_can_be_overridden(variant, load_golden):
    folder = variant(recipe=Recipe.SQUASH448)
    assert load_golden(folder).recipe == Recipe.SQUASH448
    assert load_golden(folder, recipe="native").recipe == Recipe.NATIVE


def test_written_folder_loads_in_peft(variant, packed, golden_pictures, peft_merged, query_states, project):
    """On the base with its table resized, as published; merged there, the embeddings are ours."""
    merged = peft_merged(variant())
    states = torch.stack([query_states(merged, packed, picture) for picture in golden_pictures[:4]])
    found = packed.embed([packed.prepare(picture) for picture in golden_pictures[:4]])
    np.testing.assert_allclose(found, project(packed, states), atol=1e-5)


@pytest.fixture
def without_tables(variant, published):
    """A checkpoint whose adapter saved no embedding tables."""
    return variant(adapter={name: tensor for name, tensor in published.adapter.items() if ".lora_" in name})


def test_adapter_without_tables_equals_peft(
    without_tables, load_golden, golden_pictures, peft_merged, query_states, project
):
    """The query token then has the base model's own row."""
    vlm = load_golden(without_tables)
    merged = peft_merged(without_tables, rows=None)
    states = torch.stack([query_states(merged, vlm, picture) for picture in golden_pictures[:4]])
    found = vlm.embed([vlm.prepare(picture) for picture in golden_pictures[:4]])
    np.testing.assert_allclose(found, project(vlm, states), atol=1e-5)


def test_saved_table_replaces_the_bases(variant, published, load_golden, packed, golden_pictures, embed):
    """A trained query row changes the embedding, and only through the saved table."""
    name = "base_model.model.model.language_model.embed_tokens.weight"
    table = published.adapter[name].clone()
    table[1046] += 1
    found = embed(load_golden(variant(adapter={**published.adapter, name: table})), golden_pictures[:2])
    assert (found - embed(packed, golden_pictures[:2])).abs().max() > 1e-3


def test_saved_head_is_not_needed(variant, published, load_golden, packed, golden_pictures, embed):
    adapter = {name: tensor for name, tensor in published.adapter.items() if "lm_head" not in name}
    found = embed(load_golden(variant(adapter=adapter)), golden_pictures[:2])
    assert torch.equal(found, embed(packed, golden_pictures[:2]))


def test_tables_that_share_memory_are_written(variant, published, load_golden):
    """As a model with tied embeddings has them."""
    table = published.adapter["base_model.model.lm_head.weight"]
    tied = {
        "base_model.model.lm_head.weight": table,
        "base_model.model.model.language_model.embed_tokens.weight": table,
    }
    found = read_checkpoint(variant(adapter={**published.adapter, **tied}))
    for name in tied:
        assert torch.equal(found.adapter[name], table)


def test_parts_of_a_larger_tensor_are_written(variant, published):
    """Views and transposed tensors, as training leaves them."""
    name, tensor = next(item for item in published.adapter.items() if "lora_A" in item[0])
    weight = torch.stack([published.projection_weight, published.projection_weight])[1]
    folder = variant(adapter={**published.adapter, name: tensor.T.contiguous().T}, projection_weight=weight)
    assert torch.equal(read_checkpoint(folder).adapter[name], tensor)
    assert (folder / "projection_and_config.pt").stat().st_size < 2 * weight[:].nbytes


def test_settings_of_peft_can_be_written_as_they_are(variant, published):
    """`LoraConfig.to_dict()` has sets and enums in it."""
    from peft import LoraConfig

    known = {name: value for name, value in published.adapter_config.items() if name != "peft_type"}
    config = LoraConfig(**known).to_dict()
    written = json.loads((variant(adapter_config=config) / "adapter_config.json").read_text())
    assert sorted(written["target_modules"]) == ["q_proj", "v_proj"]
    assert written["peft_type"] == "LORA"


def test_base_in_shards_gives_the_same_embeddings(golden, tmp_path, load_golden, packed, golden_pictures, embed):
    from transformers import Qwen2_5_VLForConditionalGeneration

    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(golden / "base", dtype="auto")
    model.save_pretrained(tmp_path / "base", max_shard_size="500KB")
    assert (tmp_path / "base" / "model.safetensors.index.json").exists()
    found = embed(load_golden(base_model=tmp_path / "base"), golden_pictures[:2])
    torch.testing.assert_close(found, embed(packed, golden_pictures[:2]), rtol=0, atol=1e-6)


def test_processor_settings_are_taken_from_the_base_where_the_checkpoint_has_none(copy_of_golden, load_golden):
    folder = copy_of_golden("relsim")
    (folder / "preprocessor_config.json").unlink()
    assert load_golden(folder).pixels.max_pixels == 12_845_056


def test_writing_to_a_new_folder_in_a_new_folder(tmp_path, published, golden):
    write_checkpoint(tmp_path / "a" / "b" / "c", published, golden / "relsim")
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["c"]


def test_rewriting_a_folder_that_was_read(copy_of_golden, tmp_path, golden):
    """The reader keeps no hold on the files: they may be removed before the tensors are written."""
    folder = copy_of_golden("relsim")
    checkpoint = read_checkpoint(folder)
    shutil.rmtree(folder)
    write_checkpoint(folder, checkpoint, golden / "relsim")
    assert_equal(read_checkpoint(folder), checkpoint)
