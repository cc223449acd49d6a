"""`--engine ray`: what is asked of the cluster, and which options exclude each other. See tests/distributed as well."""

import contextlib

import pytest

from relsim.distributed import cluster
from relsim.errors import ClusterError

RAY = ("--engine", "ray")


@pytest.fixture
def asked(monkeypatch, refused, plain_images, tmp_path):
    """What a verb asks of the cluster, which then is not there."""
    folder = plain_images(tmp_path / "images", {"a.png": "black"})
    settings = []

    @contextlib.contextmanager
    def running(address=None, **others):
        settings.append({"address": address, **others})
        raise ClusterError("no Ray here")
        yield

    monkeypatch.setattr(cluster, "running", running)

    def ask(verb, *options):
        assert "no Ray here" in refused(verb, folder, "--out", tmp_path / "out.jsonl", *RAY, *options)
        assert not (tmp_path / "out.jsonl").exists()
        return settings.pop()

    return ask


@pytest.mark.parametrize(
    ("options", "gpus"),
    [
        (["--encoder", "relational"], True),
        (["--encoder", "relational", "--device", "cuda"], True),
        (["--encoder", "relational", "--device", "cpu"], False),
        (["--encoder", "clip:device=cpu"], False),
        (["--encoder", "descriptors"], False),
        (["--encoder", "fake"], False),
        (["--encoder", "relsim.encoders.fake:FakeEncoder"], True),
    ],
)
def test_embedding_asks_for_gpus_where_it_may_use_them(options, gpus, asked):
    assert asked("embed", *options)["gpus"] is gpus


@pytest.mark.parametrize("work", ["caption", "filter"])
def test_captioners_and_filters_ask_for_none_with_a_device_that_is_none(work, asked):
    assert asked(work, "-c", "anywhere")["gpus"] is True
    assert asked(work, "-c", "anywhere", "--device", "cpu")["gpus"] is False


@pytest.mark.parametrize("options", [["--ray-workers", "3"], ["--workers", "3"]])
def test_embed_takes_its_workers_by_either_name(options, asked):
    found = asked("embed", *options, "--ray-address", "auto", "--encoder", "fake")
    assert (found["workers"], found["address"]) == (3, "auto")
    assert asked("embed", "--encoder", "fake")["workers"] is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--ray-workers", "2"], "it is for --engine ray"),
        (["--ray-address", "auto"], "it is for --engine ray"),
        ([*RAY, "--ray-workers", "2", "--workers", "2"], "it has nothing left to say"),
    ],
)
def test_options_that_exclude_each_other_are_wrong_usage(options, told, verb, tmp_path):
    result = verb("embed", tmp_path, "--out", tmp_path / "t", "--encoder", "fake", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
