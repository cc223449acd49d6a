"""Checkpoint folders that do not load: every fault is an error that names the file, tensor or option."""

import json
import os
import pickle
import shutil
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from relsim.errors import CheckpointError
from relsim.models.checkpoint import read_checkpoint

PICKLE, PROJECTION = "projection_and_config.pt", "projection.safetensors"
ADAPTER, CONFIG, METADATA = "adapter_model.safetensors", "adapter_config.json", "relsim.json"


@pytest.fixture
def folder(variant):
    """A folder in both layouts, to be damaged."""
    return variant()


@pytest.fixture
def published_folder(copy_of_golden):
    """A folder in the published layout, to be damaged."""
    return copy_of_golden("relsim")


def refuse(folder, match):
    with pytest.raises(CheckpointError, match=match) as caught:
        read_checkpoint(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [CONFIG, ADAPTER])
def test_half_an_adapter(published_folder, name):
    (published_folder / name).unlink()
    refuse(published_folder, f"{name} is missing")


def test_no_adapter_and_no_model(published_folder):
    (published_folder / CONFIG).unlink()
    (published_folder / ADAPTER).unlink()
    refuse(published_folder, "neither an adapter")


def test_no_projection(published_folder):
    (published_folder / PICKLE).unlink()
    refuse(published_folder, "neither projection.safetensors nor projection_and_config.pt")


def test_empty_folder(tmp_path):
    refuse(tmp_path, "projection")


def test_folder_of_the_captioner_is_no_metric(golden):
    """It has an adapter and no projection."""
    refuse(golden / "captioner", "no projection")


def test_no_query_token_id(folder):
    (folder / METADATA).unlink()
    content = torch.load(folder / PICKLE, weights_only=True)
    torch.save({"projection": content["projection"]}, folder / PICKLE)
    refuse(folder, "query_token_id")


@pytest.mark.parametrize("name", [ADAPTER, PROJECTION])
@pytest.mark.parametrize("keep", [0, 4, 8, 100, 0.5, -1])
def test_truncated_tensors(folder, name, keep):
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    refuse(folder, name)


@pytest.mark.parametrize("name", [ADAPTER, PROJECTION])
@pytest.mark.parametrize("data", [b"x" * 1000, struct.pack("<Q", 2**60) + b"{}", struct.pack("<Q", 2) + b"{}more"])
def test_bytes_that_are_no_safetensors(folder, name, data):
    (folder / name).write_bytes(data)
    refuse(folder, name)


@pytest.mark.parametrize("cut", np.linspace(0, 0.99, 12))
def test_truncated_pickle(folder, cut):
    data = (folder / PICKLE).read_bytes()
    (folder / PICKLE).write_bytes(data[: int(cut * len(data))])
    refuse(folder, PICKLE)


@pytest.mark.parametrize("seed", range(30))
def test_pickle_with_flipped_bytes(published_folder, seed):
    """Whatever it does to the reader, no other kind of error comes out."""
    data = bytearray((published_folder / PICKLE).read_bytes())
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, min(len(data), 1_000), 8):
        data[place] ^= int(rng.integers(1, 256))
    (published_folder / PICKLE).write_bytes(bytes(data))
    try:
        read_checkpoint(published_folder)
    except CheckpointError as error:
        assert PICKLE in str(error)  # noqa: PT017 - a flip may also do no harm


@pytest.mark.parametrize(
    "data",
    [b"", b"\x80", b"hello", pickle.dumps(3), pickle.dumps({"projection": {}}), pickle.dumps(None)[:-1]],
    ids=["empty", "one byte", "text", "a number", "a plain pickle", "no end"],
)
def test_bytes_that_torch_did_not_write(published_folder, data):
    (published_folder / PICKLE).write_bytes(data)
    refuse(published_folder, PICKLE)


CONTENTS = {
    "a list": [1, 2],
    "no projection": {"query_token_id": 1046},
    "a projection of another type": {"projection": [1], "query_token_id": 1046},
    "weights that are no tensors": {"projection": {"weight": [1], "bias": [2]}, "query_token_id": 1046},
    "a lost bias": {"projection": {"weight": torch.zeros(384, 96)}, "query_token_id": 1046},
    "one tensor more": {
        "projection": {"weight": torch.zeros(384, 96), "bias": torch.zeros(384), "scale": torch.zeros(1)},
        "query_token_id": 1046,
    },
    "another bias": {"projection": {"weight": torch.zeros(384, 96), "bias": torch.zeros(383)}, "query_token_id": 1046},
    "a flat weight": {"projection": {"weight": torch.zeros(384), "bias": torch.zeros(384)}, "query_token_id": 1046},
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_pickle_with_other_content(published_folder, content):
    torch.save(content, published_folder / PICKLE)
    refuse(published_folder, "projection")


@pytest.mark.parametrize("value", ["1046", None, 1046.5, [1046], "x"])
def test_query_token_id_that_is_no_whole_number(published_folder, value):
    content = torch.load(published_folder / PICKLE, weights_only=True)
    torch.save({**content, "query_token_id": value}, published_folder / PICKLE)
    refuse(published_folder, "query_token_id")


class _Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("form", ["torch", "plain", "old torch"])
def test_code_in_a_pickle_does_not_run(published_folder, tmp_path, form):
    """The file would make a folder when it is opened without restriction; it is refused, and no folder appears."""
    trace = tmp_path / "it ran"
    content = {"projection": _Hostile(trace), "query_token_id": 1046}
    path = published_folder / PICKLE
    if form == "plain":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "torch")
    refuse(published_folder, PICKLE)
    assert not trace.exists()


@pytest.mark.parametrize("tensor", ["weight", "bias"])
def test_projection_files_that_disagree(folder, tensor):
    tensors = load_file(folder / PROJECTION)
    tensors[tensor][0] += 1
    save_file(tensors, folder / PROJECTION)
    refuse(folder, r"differ; remove the one that is wrong")


def test_query_token_ids_that_disagree(folder):
    """Of `relsim.json` and of the pickle."""
    metadata = json.loads((folder / METADATA).read_text())
    (folder / METADATA).write_text(json.dumps({**metadata, "query_token_id": 7}))
    refuse(folder, "query_token_id")


@pytest.mark.parametrize("tensor", ["weight", "bias"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_projection_of_what_is_no_number(folder, tensor, value):
    tensors = load_file(folder / PROJECTION)
    tensors[tensor].view(-1)[3] = value
    save_file(tensors, folder / PROJECTION)
    refuse(folder, r"no finite numbers")


@pytest.mark.parametrize("names", [("weight",), ("bias",), ("weight", "bias", "extra"), ()])
def test_projection_with_other_tensors(folder, names):
    (folder / PICKLE).unlink()
    shapes = {"weight": (384, 96), "bias": (384,), "extra": (1,)}
    save_file({name: torch.zeros(shapes[name]) for name in names}, folder / PROJECTION)
    wrong = sorted(set(names) ^ {"weight", "bias"})
    refuse(folder, f"'({'|'.join(wrong)})'")


@pytest.mark.parametrize("shapes", [((384, 96), (96,)), ((96,), (96,)), ((384, 96, 1), (384,))], ids=str)
def test_misshapen_projection(folder, shapes):
    (folder / PICKLE).unlink()
    save_file({"weight": torch.zeros(shapes[0]), "bias": torch.zeros(shapes[1])}, folder / PROJECTION)
    refuse(folder, "projection shapes")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"recipe": "crop450"}, "crop450.*known are native, crop<side> and squash<side>"),
        ({"recipe": 3}, "recipe"),
        ({"format_version": 2}, "format version 2"),
        ({"format_version": "1"}, "format version"),
    ],
    ids=["unknown recipe", "recipe of another type", "version of the future", "version of another type"],
)
def test_metadata_that_this_version_does_not_know(folder, change, match):
    metadata = json.loads((folder / METADATA).read_text())
    (folder / METADATA).write_text(json.dumps({**metadata, **change}))
    refuse(folder, match)


@pytest.mark.parametrize("name", [METADATA, CONFIG])
@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"3", b"\xff\xfe"])
def test_damaged_json(folder, name, data):
    (folder / name).write_bytes(data)
    refuse(folder, name)


def test_recipe_of_the_call_must_be_known(load_golden):
    with pytest.raises(CheckpointError, match=r"crop450"):
        load_golden(recipe="crop450")


def test_query_token_id_of_another_tokenizer(variant, load_golden):
    with pytest.raises(CheckpointError, match=r"id 1046.*id 1045"):
        load_golden(variant(query_token_id=1045))


def test_tokenizer_without_the_query_token(variant, load_golden, golden):
    folder = variant()
    for name in ("tokenizer.json", "tokenizer_config.json", "added_tokens.json", "special_tokens_map.json"):
        shutil.copyfile(golden / "base" / name, folder / name)
    with pytest.raises(CheckpointError, match=r"does not know <\|query\|>"):
        load_golden(folder)


def test_projection_of_another_width(variant, load_golden):
    """What a checkpoint meets on the wrong base model."""
    with pytest.raises(CheckpointError, match=r"reads 64 numbers.*gives 96.*right base model"):
        load_golden(variant(projection_weight=torch.zeros(384, 64)))


def test_no_processor_settings_anywhere(variant, copy_of_golden, load_golden):
    folder, base = variant(), copy_of_golden("base")
    for place in (folder, base):
        (place / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"preprocessor_config.json is in none of"):
        load_golden(folder, base_model=base)


@pytest.mark.parametrize(
    "change",
    [
        {"query_token": 5},
        {"query_token": None},
        {"null_distribution": [1, 2]},
        {"null_distribution": {"scores": [0.0, 1.0]}},
        {"null_distribution": {"scores": [1.0, 0.0], "percentiles": [0.0, 100.0]}},
        {"null_distribution": {"scores": [0.0, 1.0, 2.0], "percentiles": [0.0, 100.0]}},
        {"null_distribution": {"scores": [0.0, "1"], "percentiles": [0.0, 100.0]}},
    ],
    ids=str,
)
def test_metadata_that_cannot_be_used(variant, change):
    folder = variant()
    path = folder / "relsim.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CheckpointError, match=next(iter(change))):
        read_checkpoint(folder)


def test_an_empty_null_distribution_is_none(variant):
    folder = variant()
    path = folder / "relsim.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "null_distribution": {}}))
    assert read_checkpoint(folder).null_distribution is None
