import pytest

from relsim.data.records import Failure, ImageRecord, Status


@pytest.fixture(scope="session")
def failed():
    """Failures by id."""

    def make(ids, status=Status.EMPTY, reason="zero bytes"):
        return [Failure(ImageRecord(image_id, f"/pictures/{image_id}.png"), status, reason) for image_id in ids]

    return make


@pytest.fixture(params=["hnsw", "binary"])
def kind(request, monkeypatch):
    """A graph is built by one thread: by several, now and then, no link leads to a row, another one in each run."""
    if request.param == "hnsw":
        usearch = pytest.importorskip("usearch.index", reason="the extra `index` is not installed")
        add = usearch.Index.add
        monkeypatch.setattr(usearch.Index, "add", lambda self, *rows: add(self, *rows, threads=1))
    return request.param
