"""What every folder of tests shares: the golden data and the networks built from it.

`golden/` was made by the published package on a small random network; `images/` are its 17 pictures.
"""

import functools
import importlib.util
import json
import os
import re
import signal
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from relsim.data.records import ImageRecord
from relsim.fingerprint import Fingerprint
from relsim.vectors import VectorTable

# Idle threads of OpenMP spin for a while by default; where other programs want the same cores that triples the time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# A job that is started in the background may have interrupts switched off, and so would every program that tests start
# and interrupt.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def golden():
    """The folder of golden data."""
    return GOLDEN


@pytest.fixture(scope="session")
def expected():
    """The golden scores, captions and loss."""
    return json.loads((GOLDEN / "expected.json").read_text())


@pytest.fixture(scope="session")
def golden_paths(expected):
    """The 17 golden image files, in the order of the golden embeddings."""
    return [GOLDEN / "images" / name for name in expected["images"]]


@pytest.fixture(scope="session")
def golden_pictures(golden_paths):
    """The 17 golden pictures, converted to RGB as the published call does."""
    return [Image.open(path).convert("RGB") for path in golden_paths]


@pytest.fixture(scope="session")
def golden_embeddings():
    """(17, 384) embeddings of the published package."""
    return np.load(GOLDEN / "expected_embeddings_fp32.npy")


@pytest.fixture(scope="session")
def load_golden():
    """Loads the golden checkpoint on its golden base, on the CPU in fp32 unless told otherwise."""
    from relsim.models.loading import load_query_vlm

    def load(checkpoint=GOLDEN / "relsim", **options):
        return load_query_vlm(
            checkpoint, **{"base_model": GOLDEN / "base", "device": "cpu", "dtype": "float32", **options}
        )

    return load


@pytest.fixture(scope="session")
def packed(load_golden):
    """The golden network on the packed engine."""
    return load_golden(engine="packed")


@pytest.fixture(scope="session")
def plain(load_golden):
    """The golden network on transformers' own forward."""
    return load_golden(engine="plain")


@pytest.fixture(scope="session", params=["packed", "plain"])
def vlm(request):
    """The golden network, once on each engine."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def metric(packed):
    """The metric on the golden network."""
    from relsim.metric import RelationalSimilarity

    return RelationalSimilarity(packed)


@pytest.fixture(scope="session")
def noise():
    """`noise(width, height, seed)` gives a picture of random pixels over a gradient."""

    def picture(width, height, seed=0):
        rng = np.random.default_rng([seed, width, height])
        y, x = np.mgrid[0:height, 0:width]
        smooth = np.stack([x * 255 / width, y * 255 / height, (x + y) % 256], axis=-1)
        return Image.fromarray((smooth * 0.6 + rng.integers(0, 100, smooth.shape)).clip(0, 255).astype(np.uint8))

    return picture


@pytest.fixture(scope="session")
def embed():
    """`embed(vlm, pictures)` gives the embeddings of pictures as one batch."""

    def run(vlm, pictures):
        return vlm.embed([vlm.prepare(picture) for picture in pictures])

    return run


@pytest.fixture(scope="session")
def hub_server():
    """The module tests/local_hub.py."""
    return _beside("local_hub")


@pytest.fixture(scope="session")
def chat_server():
    """The module tests/chat_server.py."""
    return _beside("chat_server")


@pytest.fixture(scope="session")
def qdrant_server():
    """The module tests/qdrant_server.py."""
    return _beside("qdrant_server")


@pytest.fixture(scope="session")
def page_outline():
    """The module tests/page_outline.py."""
    return _beside("page_outline")


@pytest.fixture(scope="session")
def clip_base(tmp_path_factory):
    """The folder of a small random CLIP: pictures of 28 pixels, 24 numbers."""
    return _beside("small_towers").clip_folder(tmp_path_factory.mktemp("towers") / "clip")


@pytest.fixture(scope="session")
def dino_base(tmp_path_factory):
    """The folder of a small random DINOv2: pictures of 28 pixels, 32 numbers."""
    return _beside("small_towers").dino_folder(tmp_path_factory.mktemp("towers") / "dino")


def _beside(name):
    """A module beside the tests; importlib mode has no other way to it."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def shard_row():
    """`shard_row(number, image_hash, data, …)`: the row of an image's bytes, or of a status where there are none."""
    from dataclasses import asdict

    from relsim.data.facts import image_facts
    from relsim.data.records import Status
    from relsim.data.shard_rows import ShardRow

    facts = functools.cache(image_facts)

    def row(number, image_hash, data, **columns):
        if isinstance(data, Status):
            return ShardRow(number, image_hash, data, **{"reason": f"it is {data.value}", **columns})
        return ShardRow(number, image_hash, Status.OK, image=data, **{**asdict(facts(data)), **columns})

    return row


@pytest.fixture(scope="session")
def make_shards(shard_row):
    """`make_shards(folder, {image_hash: bytes or status, …}, …)` writes a shard folder and returns it."""
    from relsim.data.shard_writing import ShardWriter

    def write(folder, images, **options):
        with ShardWriter(folder, **options) as writer:
            for number, (image_hash, data) in enumerate(images.items()):
                writer.append(shard_row(number, image_hash, data))
        return folder

    return write


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 600 KB, and a function that mounts it again with other options."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder, lambda options: subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="session")
def documented():
    """`documented(content)` holds a document's keys against its example in docs/formats.md; fingerprints are data."""
    page = (Path(__file__).parents[1] / "docs" / "formats.md").read_text(encoding="utf-8")
    examples = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]
    by_schema = {example["schema"]: example for example in examples if "schema" in example}

    def keys(value):
        if isinstance(value, dict):
            return {key: None if key == "fingerprint" else keys(item) for key, item in value.items()}
        return keys(value[0]) if isinstance(value, list) and value else None

    def hold(content):
        assert keys(content) == keys(by_schema[content["schema"]])

    return hold


@pytest.fixture(scope="session")
def unit():
    """Random unit vectors: (rows, numbers, seed) -> float32 array."""

    def make(rows, numbers, seed=0):
        vectors = np.random.default_rng(seed).standard_normal((rows, numbers)).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    return make


@pytest.fixture(scope="session")
def named():
    """Records by id."""

    def make(ids, **fields):
        return [ImageRecord(image_id, f"/pictures/{image_id}.png", fields) for image_id in ids]

    return make


@pytest.fixture(scope="session")
def facts():
    return Fingerprint.of({"encoder": "relational", "recipe": "native", "precision": "float32"})


@pytest.fixture
def new_table(tmp_path, facts, named):
    """A table of these ids and vectors, one part per piece."""

    def make(ids, vectors, pieces=1, name="table"):
        table = VectorTable.create(tmp_path / name, facts, vectors.shape[1])
        for number, rows in enumerate(np.array_split(np.arange(len(ids)), pieces)):
            table.append(f"{number:06d}", named([ids[row] for row in rows]), vectors[rows])
        table.close()
        return table

    return make
