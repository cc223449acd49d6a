import numpy as np
import pytest

from relsim.data.records import Failure, ImageRecord, Status
from relsim.fingerprint import Fingerprint
from relsim.vectors import VectorTable


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
def failed():
    """Failures by id."""

    def make(ids, status=Status.EMPTY, reason="zero bytes"):
        return [Failure(ImageRecord(image_id, f"/pictures/{image_id}.png"), status, reason) for image_id in ids]

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
