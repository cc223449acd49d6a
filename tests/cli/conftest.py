"""The command as a person runs it: in a process of its own, in a terminal, or (for speed) within this process."""

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from relsim.encoders.registry import PAIRWISE

COMMAND = [sys.executable, "-m", "relsim"]

SLOW_ENCODER = '''
"""The fake encoder, taking its time over every picture."""
import time
from relsim.encoders.fake import FakeEncoder

class Slow(FakeEncoder):
    def encode(self, batch):
        time.sleep(0.004 * len(batch))
        return super().encode(batch)
'''


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """Variables of a process that finds the encoder `slow_encoder:Slow`, and no checkpoint of the person's own."""
    folder = tmp_path_factory.mktemp("encoders")
    (folder / "slow_encoder.py").write_text(SLOW_ENCODER)
    # Absolute, because a process may run in another folder.
    paths = [str(folder), *(str(Path(path).resolve()) for path in os.environ.get("PYTHONPATH", "").split(":") if path)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RELSIM_")}
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1", "TERM": "xterm"}


@pytest.fixture(scope="session")
def start(environment):
    """Starts `relsim …` as a process: `start("embed", folder, …)`."""

    def popen(*arguments, **options):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment, "text": True}
        return subprocess.Popen([*COMMAND, *map(str, arguments)], **{**pipes, **options})

    return popen


@pytest.fixture(scope="session")
def run(start):
    """Runs `relsim …` as a process to its end."""

    def to_the_end(*arguments, stdin=None, **options):
        with start(*arguments, stdin=subprocess.PIPE, **options) as process:
            out, err = process.communicate(stdin, timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    return to_the_end


@pytest.fixture
def verb(monkeypatch):
    """Runs `relsim …` within this process, which loads torch and a model but once."""
    from relsim.cli.main import app

    monkeypatch.delenv("RELSIM_CHECKPOINT", raising=False)
    monkeypatch.delenv("RELSIM_BASE_MODEL", raising=False)
    monkeypatch.delenv("RELSIM_DTYPE", raising=False)

    def invoke(*arguments, stdin=None):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin, prog_name="relsim")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture
def refused(verb):
    """Runs a verb that must end with exit code 1, nothing on stdout and one line on stderr, which it returns."""

    def line(*arguments, **options):
        result = verb(*arguments, **options)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("relsim: ")
        assert result.stderr.count("\n") == 1
        return result.stderr.removeprefix("relsim: ").rstrip("\n")

    return line


@pytest.fixture
def document(verb):
    """The JSON document that a verb prints, with `exits` as its exit code."""

    def parsed(*arguments, exits=0, **options):
        result = verb(*arguments, "--json", **options)
        assert result.exit_code == exits, result.stderr
        return json.loads(result.stdout)

    return parsed


@pytest.fixture(scope="session")
def in_terminal(environment):
    """Runs `relsim …` with its stdout or stderr in a terminal; gives (exit code, what the terminal got, the other)."""

    def show(*arguments, stream="stdout", columns=80, command=COMMAND):
        reader, writer = pty.openpty()
        fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        other = "stderr" if stream == "stdout" else "stdout"
        streams = {stream: writer, other: subprocess.PIPE}
        # COLUMNS would count for more than the terminal's own width.
        variables = {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES")}
        shown = []
        with subprocess.Popen([*command, *map(str, arguments)], **streams, stdin=reader, env=variables) as process:
            os.close(writer)
            thread = threading.Thread(target=_read_terminal, args=(reader, shown))
            thread.start()
            rest = (process.stderr or process.stdout).read()
            process.wait(timeout=120)
            thread.join()
        os.close(reader)
        return process.returncode, b"".join(shown).decode().replace("\r\n", "\n"), rest.decode()

    return show


def _read_terminal(descriptor, shown):
    while True:
        try:
            data = os.read(descriptor, 65_536)
        except OSError:  # what Linux says when the last writer has left
            return
        if not data:
            return
        shown.append(data)


@pytest.fixture(scope="session")
def model_flags(golden):
    """The options that name the golden checkpoint."""
    return ["-c", golden / "relsim", "--base-model", golden / "base", "--device", "cpu", "--dtype", "float32"]


@pytest.fixture(scope="session")
def plain_images():
    """`plain_images(folder, {"a.png": "red", …})` writes pictures of one colour, whose fake vectors are known."""

    def write(folder, colours):
        folder.mkdir(parents=True, exist_ok=True)
        for name, colour in colours.items():
            Image.new("RGB", (28, 28), colour).save(folder / name, format="PNG")
        return folder

    return write


@pytest.fixture(scope="session")
def many(tmp_path_factory):
    """A folder of 200 small pictures, four of which cannot be used."""
    folder = tmp_path_factory.mktemp("many")
    rng = np.random.default_rng(5)
    for number in range(196):
        pixels = rng.integers(0, 256, (32 + number % 7, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "3-empty.png").write_bytes(b"")
    (folder / "50-text.png").write_text("no picture")
    (folder / "120-short.png").write_bytes((folder / "120.png").read_bytes()[:500])
    (folder / "195-link.png").symlink_to("nowhere")
    return folder


@pytest.fixture(scope="session")
def contents():
    """All that a table holds, in order: ids, sources, fields, the bytes of the vectors, and failures by id."""
    from relsim.vectors import VectorTable

    def read(path):
        table = VectorTable.open(path)
        table.verify()
        rows = [(row.image_id, row.source, dict(row.fields), row.vector.tobytes()) for row in table.rows()]
        failures = sorted((f.record.image_id, f.record.source, f.status.value, f.reason) for f in table.failures())
        return rows, failures

    return read


@pytest.fixture(scope="session")
def files_of():
    """The bytes of every file in a folder, by name, the lock apart."""

    def read(folder):
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}

    return read


@pytest.fixture
def server(chat_server, monkeypatch):
    """A model behind an endpoint on this machine, which needs no key."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with chat_server.ChatServer() as running:
        yield running


MEASURE = '''
"""A measure of pairs in whole numbers: in how many channels the first pixels of two pictures differ."""
import numpy as np
from relsim.fingerprint import Fingerprint

class Channels:
    name = "channels"
    fingerprint = Fingerprint.of({"encoder": "channels"})

    def prepare(self, image):
        return image.convert("RGB").getpixel((0, 0))

    def distance(self, batch_a, batch_b):
        return (np.array(batch_a) != np.array(batch_b)).sum(axis=1).astype(np.float32)
'''


@pytest.fixture
def measure(tmp_path, monkeypatch):
    """`channels`, a measure of pairs that is found by its name as `lpips` is."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "channels_measure.py").write_text(MEASURE)
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    monkeypatch.setitem(PAIRWISE, "channels", ("differing channels", "channels_measure:Channels"))
    yield "channels"
    sys.modules.pop("channels_measure", None)
