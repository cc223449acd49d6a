"""Downloading by workers of Ray: the rows of one process, limits of hosts kept, and nothing fetched twice."""

import io
import os
import pickle
import signal
import threading
import time
from collections import Counter
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from relsim.data.download.loop import jobs_of
from relsim.data.download.options import DownloadOptions
from relsim.data.download.progress import DownloadFolder
from relsim.data.manifest import ManifestRow, write_manifest
from relsim.data.shards import COLUMNS, ShardFolder
from relsim.distributed.downloading import Outbox, shares

HOSTS = tuple(f"127.0.0.{number}" for number in (1, 2, 4, 5))
ROWS, PER_HOST = 360, 2


class Pictures:
    """Hosts that send a picture for each number, or 404 for each tenth, and count who asks at a time."""

    def __init__(self):
        self.asked, self.active, self.most = Counter(), Counter(), Counter()
        self._lock = threading.Lock()
        # One port on every host.
        self.servers = [ThreadingHTTPServer((HOSTS[0], 0), self._handler())]
        self.port = self.servers[0].server_port
        self.servers += [ThreadingHTTPServer((host, self.port), self._handler()) for host in HOSTS[1:]]
        for server in self.servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def _handler(self):
        counts = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                counts.answer(self, self.server.server_address[0], int(self.path[1:]))

            def log_message(self, *arguments):
                pass

        return Handler

    def answer(self, request, host, number):
        with self._lock:
            self.asked[number] += 1
            self.active[host] += 1
            self.most[host] = max(self.most[host], self.active[host])
        time.sleep(0.05)
        with self._lock:
            self.active[host] -= 1
        data = b"" if number % 10 == 0 else picture(number)
        request.send_response(200 if data else 404)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)


def picture(number):
    data = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


@pytest.fixture
def pictures():
    found = Pictures()
    yield found
    for server in found.servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def arguments(pictures, tmp_path):
    """A download of all rows in parts of 50, one of which has no address that may be fetched."""
    rows = [
        ManifestRow(f"id{number}", f"http://{HOSTS[number % len(HOSTS)]}:{pictures.port}/{number}", extra={"n": number})
        for number in range(1, ROWS)
    ]
    path = tmp_path / "list.jsonl"
    write_manifest(path, [*rows, ManifestRow("odd", "ftp://127.0.0.1/x")])
    limits = ("--per-host", PER_HOST, "--retries", 0, "--decoders", 1, "--part-rows", 50)
    return ["download", path, "--allow-private", *limits]


def rows_of(folder):
    """All that does not tell of time."""
    return [replace(row, seconds=None, fetched_at=None) for row in ShardFolder.open(folder).rows(COLUMNS)]


@pytest.fixture
def whole(arguments, run_verb, tmp_path):
    """The rows of one process."""
    assert run_verb(*arguments, "--out", tmp_path / "one")["statuses"]["ok"] == ROWS - 1 - 35
    return rows_of(tmp_path / "one")


def test_all_rows_of_a_host_have_one_worker():
    rows = [ManifestRow(f"id{number}", f"https://host{number % 7}.example/{number}") for number in range(70)]
    jobs = list(jobs_of([*rows, ManifestRow("none")], range(71), DownloadOptions()))
    for count in (1, 3, 50):
        found = shares(jobs, count)
        assert sorted(job.row for share in found for job in share) == list(range(71))
        hosts = [{job.url.host for job in share if job.url is not None} for share in found]
        assert sum(map(len, hosts)) == len(set().union(*hosts)) == 7
        assert all(share == sorted(share, key=lambda job: job.row) for share in found)
    assert len(shares(jobs, 3)) > 1


def test_an_outbox_passes_on_every_row_once(tmp_path):
    class Loop:
        async def to_the_end(self):
            for number in range(50):
                part = outbox.add(number, {"status": "ok"}, [bytes(2**20)], 2**20)
                outbox.finished("ok", number)
                if part is not None:
                    outbox.finish_part(part)

    outbox = Outbox(tmp_path)
    thread = threading.Thread(target=outbox.close_after, args=(Loop(),))
    thread.start()
    sent = [pickle.loads(pickle.dumps(rows)) for rows in outbox]  # noqa: S301 - made in this line
    thread.join()
    assert [(row.row, row.received, len(row.image)) for rows in sent for row in rows] == [
        (number, number, 2**20) for number in range(50)
    ]
    assert [len(rows) for rows in sent] == [8] * 6 + [2]


def test_what_goes_wrong_in_the_loop_is_raised_where_rows_are_read(tmp_path):
    class Loop:
        async def to_the_end(self):
            outbox.add(0, {}, [], 0)
            raise OSError("the disk is full")

    outbox = Outbox(tmp_path)
    outbox.close_after(Loop())
    with pytest.raises(OSError, match="the disk is full"):
        list(outbox)


class TestOnRay:
    """On a Ray that is there."""

    pytestmark = [pytest.mark.timeout(900)]  # noqa: RUF012 - as pytest wants it

    def test_rows_are_those_of_one_process_and_hosts_have_their_peace(
        self, arguments, cluster, run_verb, pictures, whole, tmp_path
    ):
        pictures.most.clear()
        summary = run_verb(*arguments, *cluster, "--ray-workers", 2, "--out", tmp_path / "ray")
        assert rows_of(tmp_path / "ray") == whole
        assert max(pictures.most.values()) == PER_HOST
        assert summary["run"]["rows"] == ROWS
        assert pictures.asked == dict.fromkeys(range(1, ROWS), 2)  # once by each download

    def test_after_a_kill_only_what_is_missing_is_fetched(
        self, arguments, cluster, start_verb, run_verb, pictures, whole, tmp_path, wait_until
    ):
        folder = tmp_path / "ray"
        with start_verb(*arguments, *cluster, "--ray-workers", 2, "--out", folder) as process:
            wait_until(lambda: kept_in(folder) > 30 or process.poll() is not None)
            process.send_signal(signal.SIGKILL)
            _, err = process.communicate()
        assert process.returncode == -signal.SIGKILL, err
        kept = kept_in(folder)
        wait_until(lambda: not any(pictures.active.values()))
        time.sleep(1)  # workers of a driver that is gone are ended by Ray
        pictures.asked.clear()
        summary = run_verb(*arguments, *cluster, "--out", folder)
        assert summary["run"]["rows"] == ROWS - kept
        assert pictures.asked.total() in (ROWS - kept, ROWS - kept - 1)  # one has nothing to fetch
        assert set(pictures.asked.values()) == {1}
        assert rows_of(folder) == whole

    def test_a_killed_worker_costs_what_it_had_not_sent(
        self, arguments, cluster, start_verb, marked, whole, tmp_path, wait_until
    ):
        folder = tmp_path / "ray"
        with start_verb(*arguments, *cluster, "--ray-workers", 2, "--out", folder) as process:
            wait_until(lambda: kept_in(folder) > 30 or process.poll() is not None)
            victims = [pid for pid, name in marked().items() if "_Downloader" in name]
            assert len(victims) == 2
            os.kill(victims[0], signal.SIGKILL)
            _, err = process.communicate()
        assert process.returncode == 3, err
        assert rows_of(folder) == whole

    def test_single_files_are_refused(self, arguments, cluster, start_verb, tmp_path):
        with start_verb(*arguments, *cluster, "--layout", "files", "--out", tmp_path / "files") as process:
            _, err = process.communicate()
        assert process.returncode == 1
        assert "take --layout shards with --engine ray" in err


def kept_in(folder):
    return DownloadFolder(folder).look().done if DownloadFolder.is_one(folder) else 0
