"""A Ray that somebody has started: what has no place there, and where none is."""

import pytest

from relsim.distributed.cluster import Cluster, _with_places
from relsim.errors import ClusterError


@pytest.mark.parametrize(
    ("resources", "asked", "workers", "readers"),
    [
        ({"CPU": 8.0}, None, 7, 1),
        ({"CPU": 8.0}, 2, 2, 6),
        ({"CPU": 3.0}, 2, 2, 1),
        ({"CPU": 16.0, "GPU": 4.0}, None, 4, 12),
        ({"CPU": 16.0, "GPU": 4.0}, 3, 3, 13),
        ({"CPU": 16.0, "GPU": 4.0, "object_store_memory": 64.0 * 2**30}, None, 4, 12),
        ({"CPU": 16.0, "GPU": 4.0, "object_store_memory": 5.0 * 2**30}, None, 4, 4),
        ({"CPU": 16.0, "GPU": 4.0, "object_store_memory": 1.0 * 2**30}, None, 4, 1),
    ],
)
def test_there_is_a_worker_for_each_gpu_else_for_each_core_but_one(resources, asked, workers, readers):
    """What is left of the cores reads, as far as parts of 256 MiB fit into Ray's memory."""
    assert _with_places(resources, asked) == Cluster(workers, gpu="GPU" in resources, readers=readers)


@pytest.mark.parametrize(
    ("resources", "asked"), [({"CPU": 2.0}, 2), ({"CPU": 1.0}, None), ({"CPU": 16.0, "GPU": 1.0}, 2)]
)
def test_workers_that_would_never_get_a_place_are_refused(resources, asked):
    with pytest.raises(ClusterError, match="too little for"):
        _with_places(resources, asked)
