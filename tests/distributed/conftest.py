"""Ray on this machine, for tests: few resources, in processes that carry a mark by which they are found again."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SLOW_ENCODER = '''
"""The fake encoder, taking its time over every picture and noting who embedded how many; and what goes wrong."""
import os, time
from relsim.encoders.fake import FakeEncoder

class Slow(FakeEncoder):
    def __init__(self, log, seconds=0.02):
        self.log, self.seconds = log, seconds

    def encode(self, batch):
        with open(self.log, "a") as file:
            file.write(f"{os.getpid()} {len(batch)}\\n")
        time.sleep(self.seconds * len(batch))
        return super().encode(batch)

class Deadly(Slow):
    """Ends its process at white pictures."""

    def encode(self, batch):
        if any((pixels == 255).all() for pixels in batch):
            os._exit(1)
        return super().encode(batch)

class Faulty(FakeEncoder):
    """Cannot tell what it is."""

    @property
    def fingerprint(self):
        raise KeyError("version", "of the weights")
'''


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """A folder of 202 small pictures, two of which cannot be used."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(5)
    for number in range(200):
        pixels = rng.integers(0, 256, (32 + number % 7, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "3-empty.png").write_bytes(b"")
    (folder / "50-text.png").write_text("no picture")
    return folder


@pytest.fixture(scope="session")
def mark():
    return f"RELSIM_TEST_MARK={uuid.uuid4().hex}"


@pytest.fixture(scope="session")
def environment(tmp_path_factory, mark):
    """Variables of processes that find `slow_encoder:Slow` and carry the mark."""
    folder = tmp_path_factory.mktemp("encoders")
    (folder / "slow_encoder.py").write_text(SLOW_ENCODER)
    paths = [str(folder), *(str(Path(path).resolve()) for path in os.environ.get("PYTHONPATH", "").split(":") if path)]
    own = {"PYTHONPATH": os.pathsep.join(paths), "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex}  # of a cluster that ends with the tests
    name, value = mark.split("=")
    return {**os.environ, **own, **secret, name: value}


@pytest.fixture(scope="session")
def start_verb(environment):
    """Starts `relsim …` with JSON as its result."""

    def popen(*arguments):
        command = [sys.executable, "-m", "relsim", *map(str, arguments), "--json"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True)

    return popen


@pytest.fixture(scope="session")
def run_verb(start_verb):
    """Runs `relsim …`, which must exit with 3 as some rows fail, and gives its document."""

    def run(*arguments):
        with start_verb(*arguments) as process:
            out, err = process.communicate(timeout=500)
        assert process.returncode == 3, err
        return json.loads(out)

    return run


@pytest.fixture(scope="session")
def start(start_verb):
    """Starts `relsim embed …` in small parts."""

    def popen(*arguments):
        return start_verb("embed", *arguments, "--part-rows", "16")

    return popen


@pytest.fixture(scope="session")
def cluster(environment, tmp_path_factory):
    """The address of a Ray on the loopback with room for two workers, and all that is asked of it."""
    pytest.importorskip("ray", reason='the extra "ray" is not installed')
    port = _free_port()
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--port", port]
    command += ["--node-ip-address", "127.0.0.1", "--num-cpus", "3"]
    command += ["--include-dashboard", "false", "--disable-usage-stats", "--object-store-memory", str(2**28)]
    log = tmp_path_factory.mktemp("cluster") / "ray.log"
    with log.open("wb") as told, subprocess.Popen(command, stdout=told, stderr=told, env=environment) as head:
        try:
            wait_until(lambda: head.poll() is not None or b"Ray runtime started" in log.read_bytes())
            assert head.poll() is None, log.read_text()
            yield ("--engine", "ray", "--ray-address", f"127.0.0.1:{port}")
        finally:
            head.terminate()  # with --block it ends what it has started
            head.wait(timeout=60)


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return str(taken.getsockname()[1])


@pytest.fixture(scope="session")
def embed(start):
    """Runs `relsim embed …`, which must exit with 3 as two pictures fail, and gives its document."""

    def run(*arguments):
        with start(*arguments) as process:
            out, err = process.communicate(timeout=500)
        assert process.returncode == 3, err
        return json.loads(out)

    return run


@pytest.fixture
def marked(mark):
    """Processes that carry the mark, by id, with their command lines; what is asked of `/proc`."""

    def find():
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    return find


def wait_until(true, *, seconds=300):
    """Wait for a fact."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.02)


@pytest.fixture(name="wait_until")
def _wait_until():
    return wait_until


@pytest.fixture
def log(tmp_path):
    """A file of who embedded how many, and what it says: lines of (process, pictures)."""

    class Log:
        def __init__(self, name, kind="Slow"):
            self.path = tmp_path / name
            self.encoder = ("--encoder", f"slow_encoder:{kind}:log={self.path}")

        def lines(self):
            text = self.path.read_text() if self.path.exists() else ""
            return [tuple(map(int, line.split())) for line in text.splitlines()]

        def pictures(self):
            return sum(count for _, count in self.lines())

    return Log


@pytest.fixture
def contents():
    """All that a table holds, in order: ids, sources, fields, the bytes of the vectors, and failures by id."""
    from relsim.vectors import VectorTable

    def read(path):
        table = VectorTable.open(path)
        table.verify()
        rows = [(row.image_id, row.source, dict(row.fields), row.vector.tobytes()) for row in table.rows()]
        return rows, [(f.record.image_id, f.record.source, f.status.value, f.reason) for f in table.failures()]

    return read


@pytest.fixture
def verb_error():
    """What `relsim …`, which must refuse, says of it."""
    from typer.testing import CliRunner

    from relsim.cli.main import app

    def run(*arguments):
        result = CliRunner().invoke(app, [*map(str, arguments)])
        assert result.exit_code, result.output
        return str(result.exception) + result.output

    return run
