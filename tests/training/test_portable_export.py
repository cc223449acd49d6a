"""Checkpoints for ONNX Runtime and OpenVINO: run in a process that knows neither this package nor torch."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from relsim import relsim
from relsim.errors import CheckpointError, MissingExtraError
from relsim.training import portable
from relsim.training.export import export_checkpoint
from relsim.world.gallery import write_gallery

# The lines of the card, with its names of pictures and its folder replaced by real ones, and nothing of relsim.
STRANGER = """
import json, re, sys
sys.modules["relsim"] = sys.modules["torch"] = None
from pathlib import Path
folder, work = map(Path, sys.argv[1:])
card = (folder / "README.md").read_text()
code = re.findall(r"```python\\n(.*?)```", card, re.DOTALL)[-1]
names = json.loads((work / "names.json").read_text())
code = code.replace("path/to/this/folder", str(folder)).replace('("earth.jpg", "peach.jpg")', repr(names))
exec(code)
np.save(work / "vectors.npy", vectors)
exec(code.replace(repr(names), repr(names[3:4])))
np.save(work / "alone.npy", vectors)
"""


@pytest.fixture(scope="module", params=["onnx", "openvino"])
def runtime(request):
    for package in portable._NEEDED[request.param]:
        pytest.importorskip(package, reason=f"{package} is not installed (relsim[{request.param}])")
    return request.param


@pytest.fixture(scope="module")
def mini(runtime, tmp_path_factory):
    """The embedded model for that runtime."""
    return export_checkpoint("relsim-mini", tmp_path_factory.mktemp("native") / runtime, layout=runtime)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Files of twelve drawn scenes, one of them lying on its side as a telephone stores photographs."""
    gallery = write_gallery(tmp_path_factory.mktemp("drawn") / "gallery", count=12, workers=1)
    paths = sorted((gallery.folder / "images").iterdir())
    lying = Image.Exif()
    lying[ExifTags.Base.Orientation] = 6
    Image.open(paths[1]).save(paths[1], exif=lying)
    return paths


@pytest.fixture
def run_elsewhere(tmp_path):
    """`run_elsewhere(folder, paths)`: vectors of all pictures at once, and of the fourth alone."""

    def run(folder, paths):
        (tmp_path / "names.json").write_text(json.dumps([str(path) for path in paths]))
        command = [sys.executable, "-c", STRANGER, str(folder), str(tmp_path)]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr
        return np.load(tmp_path / "vectors.npy"), np.load(tmp_path / "alone.npy")

    return run


def held_against(ours, found, alone):
    assert (ours @ ours.T).min() < 0.95  # other pictures have other vectors
    assert np.abs(found - ours).max() <= 1e-4
    assert np.abs(alone - ours[3:4]).max() <= 1e-4
    assert ((found * ours).sum(axis=1) / np.linalg.norm(found, axis=1)).min() >= 0.99999


def test_drawn_scenes_have_the_same_vectors_elsewhere(mini, run_elsewhere, scenes):
    model, _ = relsim(device="cpu", dtype="float32")
    ours = model.embed_files(scenes)
    held_against(ours, *run_elsewhere(mini, scenes))


def test_adapter_is_merged_and_takes_a_recipe(runtime, run_elsewhere, golden, golden_paths, tmp_path):
    """The golden checkpoint has windows, and its own recipe no fixed square."""
    folder = export_checkpoint(
        golden / "relsim", tmp_path / "golden", layout=runtime, base_model=golden / "base", recipe="squash280"
    )
    model, preprocess = relsim(
        checkpoint_dir=golden / "relsim", base_model=golden / "base", device="cpu", dtype="float32", recipe="squash280"
    )
    ours = model.embed([preprocess(Image.open(path)) for path in golden_paths]).numpy()
    held_against(ours, *run_elsewhere(folder, golden_paths))


def test_weights_too_large_for_one_file_lie_beside_the_model(runtime, run_elsewhere, scenes, tmp_path, monkeypatch):
    """ONNX keeps them in a second file; OpenVINO has its own, and nothing of ONNX stays behind."""
    monkeypatch.setattr(portable, "_ONE_FILE", 0)
    folder = export_checkpoint("relsim-mini", tmp_path / "large", layout=runtime)
    pair = {"onnx": ("model.onnx", "model.onnx.data"), "openvino": ("model.xml", "model.bin")}[runtime]
    assert {path.name for path in folder.glob("model*")} == set(pair)
    assert (folder / pair[0]).stat().st_size < 1_000_000 < (folder / pair[1]).stat().st_size
    model, _ = relsim(device="cpu", dtype="float32")
    ours = model.embed_files(scenes)
    held_against(ours, *run_elsewhere(folder, scenes))


def test_documents_stand_beside_the_model(mini, runtime):
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^### relsim.preprocessing/1\n.*?```json\n(.*?)```", page, re.MULTILINE | re.DOTALL)
    assert json.loads((mini / "preprocessing.json").read_text()) == json.loads(example)
    parity = json.loads((mini / "parity.json").read_text())
    assert parity["lowest_cosine"] >= 0.99999
    assert parity["largest_difference"] <= 1e-4
    model = {"onnx": {"model.onnx"}, "openvino": {"model.xml", "model.bin"}}[runtime]
    assert {path.name for path in mini.iterdir()} == {"README.md", "parity.json", "preprocessing.json"} | model


def test_model_that_disagrees_is_not_written(runtime, tmp_path, monkeypatch):
    """Caused by pixels that lose their colour between the picture and the model."""
    monkeypatch.setattr(portable, "shown", lambda picture, *_: picture.convert("L").convert("RGB").resize((160, 160)))
    with pytest.raises(CheckpointError, match="does not agree"):
        export_checkpoint("relsim-mini", tmp_path / "out", layout=runtime)
    assert list(tmp_path.iterdir()) == []


def test_vectors_that_are_no_numbers_do_not_agree(runtime, changed_mini, tmp_path):
    with pytest.raises(CheckpointError, match="does not agree"):
        export_checkpoint(changed_mini(spoilt="model.norm.weight"), tmp_path / "out", layout=runtime)
    assert not (tmp_path / "out").exists()


def test_absent_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(portable.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"onnx: pip install \"relsim\[openvino\]\""):
        export_checkpoint("relsim-mini", tmp_path / "out", layout="openvino")


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"layout": "onnx", "dtype": "bfloat16"}, "written in float32"),
        ({"layout": "onnx", "dtype": "fp32"}, "written in float32"),
        ({"layout": "onnx", "base_model": "/nowhere"}, "whole model of its own"),
        ({"layout": "sentence-transformers", "base_model": "/nowhere"}, "whole model of its own"),
        ({"layout": "onnx", "recipe": "native"}, "--recipe crop448"),
        ({"layout": "onnx", "recipe": "round"}, "known are native"),
        ({"layout": "whole", "recipe": "crop112"}, "for the layouts onnx and openvino"),
    ],
)
def test_what_has_no_such_form_is_refused(options, fault, tmp_path, monkeypatch):
    monkeypatch.setattr(portable.importlib.util, "find_spec", lambda name: name)
    with pytest.raises(CheckpointError, match=fault):
        export_checkpoint("relsim-mini", tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
