"""A fingerprint changes with what an embedding depends on, and with nothing else."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from relsim.errors import CheckpointError
from relsim.models.digest import digest_files, digest_tensors


@pytest.fixture(scope="module")
def tensors():
    """A few tensors, one of them larger than what is read whole."""
    generator = torch.Generator().manual_seed(0)
    return {
        "a": torch.randn(3, 5, generator=generator),
        "b": torch.randn(300_000, generator=generator),
        "c": torch.arange(10),
        "d": torch.randn(200, 300, generator=generator).bfloat16(),
        "empty": torch.empty(0, 4),
        "scalar": torch.tensor(3.0),
    }


def store(folder, *parts):
    folder.mkdir()
    for number, part in enumerate(parts):
        save_file(part, folder / f"model-{number}.safetensors", metadata={"format": "pt"})
    return folder


def test_shards_do_not_count(tensors, tmp_path):
    """One file, two shards with an index, and shards cut elsewhere."""
    names = sorted(tensors)
    halves = [{name: tensors[name] for name in part} for part in (names[:2], names[2:])]
    thirds = [{name: tensors[name] for name in part} for part in (names[3:], names[:1], names[1:3])]
    whole = digest_files(store(tmp_path / "one", tensors))
    two = store(tmp_path / "two", *halves)
    (two / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {}}))
    assert whole == digest_files(two) == digest_files(store(tmp_path / "three", *thirds))
    assert len(whole) == 16


@pytest.mark.parametrize("name", ["a", "b", "c", "d", "scalar"])
def test_every_tensor_counts(tensors, tmp_path, name):
    """A change that touches the whole tensor, as training does."""
    changed = {**tensors, name: tensors[name] * 2 + 1}
    assert digest_files(store(tmp_path / "old", tensors)) != digest_files(store(tmp_path / "new", changed))
    assert digest_tensors(tensors) != digest_tensors(changed)


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors.update(a=tensors["a"].reshape(5, 3)),
        lambda tensors: tensors.update(c=tensors["c"].int()),
        lambda tensors: tensors.update(z=tensors.pop("a")),
        lambda tensors: tensors.pop("empty"),
        lambda tensors: tensors.update(a=tensors["scalar"], scalar=tensors["a"]),
    ],
    ids=["shape", "type", "name", "an empty tensor", "swapped names"],
)
def test_shape_type_and_name_count(tensors, tmp_path, change):
    changed = dict(tensors)
    change(changed)
    assert digest_files(store(tmp_path / "old", tensors)) != digest_files(store(tmp_path / "new", changed))
    assert digest_tensors(tensors) != digest_tensors(changed)


@pytest.mark.parametrize("place", [0, 1, -1])
def test_ends_of_a_large_tensor_count(tensors, tmp_path, place):
    changed = {**tensors, "b": tensors["b"].clone()}
    changed["b"][place] += 1
    assert digest_files(store(tmp_path / "old", tensors)) != digest_files(store(tmp_path / "new", changed))


def test_order_in_memory_does_not_count(tensors):
    assert digest_tensors(tensors) == digest_tensors(dict(reversed(tensors.items())))


@pytest.mark.parametrize("data", [b"", b"1234567", b"\x05\0\0\0\0\0\0\0{", b"\2\0\0\0\0\0\0\0[]"])
def test_damaged_file_is_a_checkpoint_error(tmp_path, data):
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"model.safetensors"):
        digest_files(tmp_path)


def lora_names(published):
    return [name for name in published.adapter if ".lora_" in name]


def test_any_single_value_of_the_adapter_counts(variant, published, load_golden, packed):
    """The smallest possible step of one value, in each tensor of it in turn."""
    found = {packed.fingerprint}
    for name in lora_names(published)[::3]:
        tensor = published.adapter[name].clone()
        tensor[-1, -1] = torch.nextafter(tensor[-1, -1], torch.tensor(torch.inf))
        found.add(load_golden(variant(adapter={**published.adapter, name: tensor})).fingerprint)
    assert len(found) == 1 + len(lora_names(published)[::3])


def test_the_query_tokens_row_counts_in_a_large_table(variant, published, load_golden):
    """Training may change that one row, and a digest of samples of the table would not see it."""
    name = "base_model.model.model.language_model.embed_tokens.weight"
    large = torch.cat([published.adapter[name], torch.zeros(9_000, 96, dtype=torch.bfloat16)])
    changed = large.clone()
    changed[1046] += 1
    first, second = (load_golden(variant(adapter={**published.adapter, name: table})) for table in (large, changed))
    assert first.fingerprint != second.fingerprint


@pytest.mark.parametrize("part", ["projection_weight", "projection_bias"])
def test_the_projection_counts(variant, published, load_golden, packed, part):
    tensor = getattr(published, part).clone()
    tensor[-1] += 1
    assert load_golden(variant(**{part: tensor})).fingerprint != packed.fingerprint


@pytest.mark.parametrize("config", [{"lora_alpha": 31}, {"use_rslora": True}, {"alpha_pattern": {"v_proj": 8}}])
def test_the_scaling_counts(variant, load_golden, packed, config):
    """Two adapters of equal tensors and unequal strength are two networks."""
    assert load_golden(variant(config=config)).fingerprint != packed.fingerprint


@pytest.mark.parametrize("options", [{"dtype": "bfloat16"}, {"recipe": "crop448"}, {"recipe": "squash448"}], ids=str)
def test_precision_and_recipe_count(load_golden, packed, options):
    (fact,) = {"dtype": ["precision"], "recipe": ["recipe"]}[next(iter(options))]
    assert set(load_golden(**options).fingerprint.differences(packed.fingerprint)) == {fact}


def test_limits_of_the_processor_count(variant, load_golden, packed):
    folder = variant()
    path = folder / "preprocessor_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "size": {"shortest_edge": 3136, "longest_edge": 500_000}}))
    assert set(load_golden(folder).fingerprint.differences(packed.fingerprint)) == {"max_pixels"}


@pytest.mark.parametrize("change", [{"image_mean": [0.5, 0.5, 0.5]}, {"image_std": [0.5, 0.5, 0.5]}], ids=str)
def test_normalisation_of_the_processor_counts(variant, load_golden, packed, change):
    folder = variant()
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert load_golden(folder).fingerprint != packed.fingerprint


def test_the_prompt_counts(variant, load_golden, packed):
    folder = variant()
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text().replace("You are a helpful assistant.", "You are another assistant."))
    assert set(load_golden(folder).fingerprint.differences(packed.fingerprint)) == {"prompt"}


def test_weights_of_the_base_count(copy_of_golden, load_golden, packed):
    base = copy_of_golden("base")
    tensors = load_file(base / "model.safetensors")
    tensors["model.norm.weight"] += 1
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    assert set(load_golden(base_model=base).fingerprint.differences(packed.fingerprint)) == {"weights"}


def test_options_of_the_base_count(copy_of_golden, load_golden, packed):
    """The same tensors under another number of rotary turns, window or activation are another network."""
    base = copy_of_golden("base")
    for part, name, value in (
        ("text_config", "rope_theta", 10_000.0),
        ("vision_config", "window_size", 56),
        ("text_config", "rms_norm_eps", 1e-3),
    ):
        config = json.loads((base / "config.json").read_text())
        config[part][name] = value
        (base / "config.json").write_text(json.dumps(config))
        assert load_golden(base_model=base).fingerprint != packed.fingerprint, name


def test_engine_and_place_do_not_count(load_golden, golden, packed, plain, tmp_path):
    """Both engines, and copies in other folders under other names, give one fingerprint."""
    shutil.copytree(golden / "relsim", tmp_path / "elsewhere")
    shutil.copytree(golden / "base", tmp_path / "another base")
    moved = load_golden(tmp_path / "elsewhere", base_model=tmp_path / "another base")
    assert moved.fingerprint == packed.fingerprint == plain.fingerprint


def test_our_copy_of_the_published_folder_has_its_fingerprint(variant, load_golden, packed):
    """Records of training and calibration change no embedding."""
    folder = variant(training={"global_step": 3}, null_distribution={"scores": [0, 1], "percentiles": [0, 100]})
    assert load_golden(folder).fingerprint == packed.fingerprint
