import pytest

from relsim.data.records import Failure, ImageRecord, Status


@pytest.fixture(scope="session")
def failed():
    """Failures by id."""

    def make(ids, status=Status.EMPTY, reason="zero bytes"):
        return [Failure(ImageRecord(image_id, f"/pictures/{image_id}.png"), status, reason) for image_id in ids]

    return make
