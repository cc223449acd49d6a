"""Checkpoints as sentence-transformers models: loaded in a process that knows nothing of this package, offline."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from relsim import relsim
from relsim.data.images import read_image
from relsim.data.records import ImageRecord
from relsim.errors import CheckpointError
from relsim.models.text_encoder import CaptionEncoder
from relsim.training.export import export_checkpoint

SENTENCES = ["{Objects} arranged in a ring", "A thin skin around layers around a {Core}", "Transformation of {Subject}"]

LYING = Image.Exif()
LYING[ExifTags.Base.Orientation] = 6  # as a telephone held upright stores a photograph

# The lines of the card that make pictures ready, and nothing of relsim.
STRANGER = """
import sys
sys.modules["relsim"] = None
import json, re
from pathlib import Path
import numpy as np
from PIL import Image, ImageOps
from sentence_transformers import SentenceTransformer
folder, work = map(Path, sys.argv[1:])
card = (folder / "README.md").read_text()
exec(re.search(r"^def prepare.*?(?=^images)", card, re.MULTILINE | re.DOTALL).group())
model = SentenceTransformer(str(folder))
names = json.loads((work / "names.json").read_text())
images = [prepare(Image.open(work / name)) for name in names]
np.save(work / "images.npy", model.encode(images, batch_size=3))
np.save(work / "alone.npy", np.stack([model.encode(image) for image in images]))
np.save(work / "sentences.npy", model.encode(json.loads(sys.stdin.read())))
try:
    model.encode([{"image": images[0], "text": "{Objects} arranged in a ring"}])
    print("an image with words was taken")
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.fixture(scope="module")
def exported(golden, tmp_path_factory):
    """The folder of each checkpoint's export: the golden one is an adapter, the embedded one a whole model."""
    folder = tmp_path_factory.mktemp("native")
    return {
        "golden": export_checkpoint(
            golden / "relsim",
            folder / "golden",
            layout="sentence-transformers",
            base_model=golden / "base",
        ),
        "relsim-mini": export_checkpoint("relsim-mini", folder / "mini", layout="sentence-transformers"),
    }


@pytest.fixture(scope="module")
def seen_elsewhere(exported, golden, tmp_path_factory):
    """What a process without relsim gets from an export: vectors of pictures, of sentences, and what it refuses."""

    def run(name):
        work = tmp_path_factory.mktemp(name)
        pictures = [Image.open(path) for path in sorted((golden / "images").iterdir())[:5]]
        pictures.append(pictures[0].convert("RGBA"))
        for number, picture in enumerate(pictures):
            turned = {} if number != 1 else {"exif": LYING}
            picture.save(work / f"{number}.png", **turned)
        (work / "names.json").write_text(json.dumps([f"{number}.png" for number in range(len(pictures))]))
        offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
        told = subprocess.run(
            [sys.executable, "-c", STRANGER, str(exported[name]), str(work)],
            input=json.dumps(SENTENCES),
            env=offline,
            capture_output=True,
            text=True,
            check=False,
        )
        assert told.returncode == 0, told.stderr
        found = {kind: np.load(work / f"{kind}.npy") for kind in ("images", "alone", "sentences")}
        return (
            [
                read_image(ImageRecord(str(number), str(work / f"{number}.png"))).image
                for number in range(len(pictures))
            ],
            found,
            told.stdout,
        )

    return run


@pytest.mark.parametrize("name", ["golden", "relsim-mini"])
def test_another_program_gets_the_same_vectors(name, seen_elsewhere, golden):
    pictures, found, refused = seen_elsewhere(name)
    options = {"checkpoint_dir": golden / "relsim", "base_model": golden / "base"}
    model, preprocess = relsim(**(options if name == "golden" else {}), device="cpu", dtype="float32")
    ours = model.embed([preprocess(picture) for picture in pictures]).numpy()
    assert (ours @ ours.T).min() < 0.95  # other pictures have other vectors
    for kind in ("images", "alone"):
        assert np.abs(found[kind] - ours).max() < 1e-5, kind
    # Sentences are the text encoder's, and meet the images in one space.
    assert np.abs(found["sentences"] - CaptionEncoder().encode_text(SENTENCES)).max() < 1e-6
    assert "an image with words was taken" not in refused


def test_what_was_measured_when_it_was_written_stands_beside_it(exported):
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^### relsim.parity/1\n.*?```json\n(.*?)```", page, re.MULTILINE | re.DOTALL)
    for name, folder in exported.items():
        parity = json.loads((folder / "parity.json").read_text())
        assert parity["lowest_cosine"] > 0.99999, name
        assert parity["between_two_pictures"] < 0.99, name
        assert list(parity) == list(json.loads(example)), name
        assert "trust_remote_code" not in (folder / "README.md").read_text()


def test_nothing_is_written_over(exported):
    with pytest.raises(CheckpointError, match="exists already"):
        export_checkpoint("relsim-mini", exported["relsim-mini"], layout="sentence-transformers")


@pytest.mark.parametrize("recipe", ["squash300", "crop160"])
def test_a_side_that_the_processor_rounds_has_the_same_vectors(recipe, changed_mini, tmp_path):
    """300 pixels become 308, 11 blocks of patches; 160 become 168."""
    out = export_checkpoint(changed_mini(recipe=recipe), tmp_path / "out", layout="sentence-transformers")
    assert json.loads((out / "parity.json").read_text())["largest_difference"] < 1e-5


def test_vectors_that_are_no_numbers_do_not_agree(changed_mini, tmp_path):
    with pytest.raises(CheckpointError, match="does not agree"):
        export_checkpoint(changed_mini(spoilt="model.norm.weight"), tmp_path / "out", layout="sentence-transformers")
    assert not (tmp_path / "out").exists()


def test_a_captioner_has_no_vectors(tmp_path):
    with pytest.raises(CheckpointError, match="has no vectors"):
        export_checkpoint("relsim-mini-captioner", tmp_path / "out", layout="sentence-transformers")
    assert not (tmp_path / "out").exists()
