"""`relsim download` as a person runs it: kills, interrupts, retries, progress and refusals, against a real server."""

import importlib.util
import json
import random
import re
import signal
import sys
import time
from pathlib import Path

import pytest

from relsim.data.download.outcomes import MAY_COME_BACK
from relsim.data.manifest import ManifestRow, write_manifest
from relsim.data.records import Status
from relsim.data.shards import COLUMNS, ShardFolder, part_rows
from relsim.errors import ShardError

_PLACE = Path(__file__).parents[1] / "data" / "download" / "conftest.py"
_spec = importlib.util.spec_from_file_location("download_fixtures", _PLACE)
fixtures = sys.modules.setdefault("download_fixtures", importlib.util.module_from_spec(_spec))
_spec.loader.exec_module(fixtures)
authority, ca_file, made, web = fixtures.authority, fixtures.ca_file, fixtures.made, fixtures.web

WORKERS = 6
KINDS = ["ok", "ok", "slow", "html", "404", "truncated", "hops/1", "reset", "same", "403"]


@pytest.fixture
def listed(web, tmp_path):
    """Writes a manifest of addresses on the server."""

    def write(addresses, name="list.jsonl"):
        rows = [ManifestRow(f"id{number:03d}", web.https + address) for number, address in enumerate(addresses)]
        write_manifest(tmp_path / name, rows)
        return tmp_path / name

    return write


@pytest.fixture
def flags(ca_file):
    """What lets a download reach the server, and keeps its waits short."""
    return ["--allow-private", "--ca-file", ca_file, "--decoders", 1, "--workers", WORKERS, "--retries", 0]


def comparable(folder):
    """All rows, in order, without their times."""
    rows = [row for part in sorted(folder.glob("part-*")) for row in part_rows(part, COLUMNS)]
    return [
        tuple(getattr(row, name) for name in COLUMNS if name not in ("seconds", "fetched_at"))
        for row in sorted(rows, key=lambda row: row.row)
    ]


def addresses_of(count, run):
    """Addresses of every kind, the slow ones well spread; `run` makes them different from those of another run."""
    return [f"/{KINDS[number % len(KINDS)]}/{number}.jpg?s=0.15&run={run}" for number in range(count)]


def test_kills_at_any_moment_leave_no_trace(start, run, listed, flags, web, tmp_path):
    count = 150
    options = [*flags, "--part-rows", 20, "--per-host", WORKERS, "--same-bytes", 3]
    whole = run("download", listed(addresses_of(count, "x")), "-o", tmp_path / "whole", *options)
    assert whole.returncode == 3, whole.stderr
    manifest, folder = listed(addresses_of(count, "x")), tmp_path / "killed"
    once, kills = web.asked, 0  # what one run asks for
    while kills < 7:
        with start("download", manifest, "-o", folder, *options) as process:
            if kills:  # the first may come before there is anything at all
                while process.poll() is None and not any((folder / ".download").glob("*.spool")):
                    time.sleep(0.005)
            time.sleep(random.uniform(0, 0.4))
            process.send_signal(signal.SIGKILL)
            process.communicate()
        if process.returncode != -signal.SIGKILL:
            break
        kills += 1
    last = run("download", manifest, "-o", folder, *options)
    assert last.returncode == 3, last.stderr
    assert kills >= 3
    assert comparable(folder) == comparable(tmp_path / "whole")
    assert [path.name for path in (folder / ".download").iterdir()] == ["run.json"]
    twice = (web.asked - once) - once
    assert twice.total() <= kills * WORKERS * 2  # what was under way at a kill; a redirect is two requests


def test_an_interrupt_stops_cleanly_and_says_how_to_go_on(start, run, listed, flags, tmp_path):
    manifest, folder = listed([f"/slow/{number}.jpg?s=0.2" for number in range(60)]), tmp_path / "out"
    with start("download", manifest, "-o", folder, *flags, "--part-rows", 2) as process:
        while not any(folder.glob("part-*")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err == "relsim: interrupted; finished rows are kept, run it again to go on\n"
    assert not list((folder / ".download").glob(".tmp-*"))
    with pytest.raises(ShardError, match="unfinished"):
        ShardFolder.open(folder)
    result = run("download", manifest, "-o", folder, *flags, "--part-rows", 2)
    assert (result.returncode, result.stderr) == (0, "")
    assert "60 of 60 images (100.0%)" in result.stdout
    assert json.loads((folder / "summary.json").read_text())["run"]["rows"] < 60


def test_a_second_process_is_refused_and_a_retry_goes_on_after_a_kill(
    start, run, refused, listed, flags, web, tmp_path
):
    addresses = [f"/limited/{number}.jpg?fail=1&code=500&s=0.1" for number in range(30)]
    manifest, folder = listed(addresses), tmp_path / "out"
    first = run("download", manifest, "-o", folder, *flags, "--part-rows", 10)
    assert first.returncode == 3
    asked = web.asked
    slow = [*flags, "--workers", 1, "--retry", "error"]
    with start("download", manifest, "-o", folder, *slow) as process:
        while not any((folder / ".download").glob("*.spool")):
            assert process.poll() is None
            time.sleep(0.002)
        message = refused("download", manifest, "-o", folder, *flags)
        process.kill()
        process.communicate()
    assert "written by another process" in message
    last = run("download", manifest, "-o", folder, *slow)
    assert last.returncode == 0, last.stderr
    assert "30 of 30 images" in last.stdout
    extra = (web.asked - asked).total() - 30
    assert 0 <= extra <= 1  # the one that was under way
    assert json.loads((folder / ".download" / "run.json").read_text())["retry"] is None


def test_json_is_the_summary_and_nothing_else(document, listed, flags, tmp_path):
    manifest = listed(["/ok/1.jpg", "/404", "/ok/2.jpg"])
    summary = document("download", manifest, "-o", tmp_path / "out", *flags, exits=3)
    assert summary["schema"] == "relsim.download/1"
    assert summary["list"]["name"] == "list.jsonl"
    assert (summary["rows"], summary["statuses"]) == (3, {"ok": 2, "dead": 1})
    assert summary == json.loads((tmp_path / "out" / "summary.json").read_text())


def test_documents_have_the_keys_that_the_page_of_formats_gives(document, listed, flags, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    examples = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]
    by_schema = {example.get("schema"): example for example in examples}
    options = [*flags, "--same-bytes", 2]
    summary = document("download", listed(["/same/1", "/same/2"]), "-o", tmp_path / "out", *options)
    record = json.loads((tmp_path / "out" / ".download" / "run.json").read_text())
    for name, real in {"relsim.download/1": summary, "relsim.download_run/1": record}.items():
        assert list(real) == list(by_schema[name])
    for key in ("list", "run"):
        assert list(summary[key]) == list(by_schema["relsim.download/1"][key])
    assert list(summary["duplicates"][0]) == list(by_schema["relsim.download/1"]["duplicates"][0])
    section = page.partition("### Statuses of a download")[2].partition("###")[0]
    told = {
        name for row in re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    files = {"missing", "directory", "bad_shape", "unreadable", "encoder"}
    assert told == {status.value for status in Status} - files
    cells = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    back = {cell[0].strip("`"): cell[-1] for cell in cells if len(cell) == 4 and cell[-1] != "no"}
    assert back.keys() == {status.value for status in MAY_COME_BACK}
    assert all(code is None or str(code) in back[status.value] for status, code in MAY_COME_BACK.items())


def test_every_image_there_exits_0_and_the_report_is_for_people(verb, listed, flags, tmp_path):
    result = verb("download", listed(["/ok/1.jpg", "/ok/2.jpg"]), "-o", tmp_path / "out", *flags)
    assert (result.exit_code, result.stderr) == (0, "")
    head, row = result.stdout.splitlines()
    assert head.startswith(f"{tmp_path / 'out'}: 2 of 2 images (100.0%), ")
    assert row.split() == ["ok", "2", "100.0%", "#" * 30]


def test_what_may_come_back_is_named_with_the_option(verb, listed, flags, tmp_path):
    result = verb("download", listed(["/ok/1.jpg", "/404", "/500", "/403"]), "-o", tmp_path / "out", *flags)
    assert result.exit_code == 3
    assert result.stderr == "try again what may have come back: --retry error,dead\n"


def test_truncated_rows_and_those_of_429_are_named_too(verb, listed, flags, tmp_path):
    manifest = listed(["/truncated/7.jpg", "/limited/named?fail=9", "/403"])
    result = verb("download", manifest, "-o", tmp_path / "out", *flags)
    assert result.stderr == "try again what may have come back: --retry truncated,blocked\n"
    result = verb("download", listed(["/403", "/html"], "other.jsonl"), "-o", tmp_path / "other", *flags)
    assert (result.exit_code, result.stderr) == (3, "")


def test_the_waits_that_a_server_may_ask_for_are_options(verb, listed, flags, tmp_path):
    """The server asks for 2 s: it is waited for, unless that is more than --longest-wait or all of --patience."""
    cases = {"waits": ([], "fail=1", "ok"), "short": (["--longest-wait", 0], "fail=9", "blocked")}
    cases["spent"] = (["--patience", 0], "fail=1", "blocked")
    for name, (options, fail, status) in cases.items():
        manifest = listed([f"/limited/{name}?{fail}&after=2"], f"{name}.jsonl")
        verb("download", manifest, "-o", tmp_path / name, *flags[:-2], "--retries", 2, *options)
        (row,) = ShardFolder.open(tmp_path / name).rows()
        assert row.status is Status(status)
        took = json.loads((tmp_path / name / "summary.json").read_text())["run"]["seconds"]
        assert took >= 2 or status != "ok"
    assert verb("download", manifest, "-o", tmp_path / "x", "--longest-wait", -1).exit_code == 2


def test_bad_lines_are_told_and_the_rest_is_downloaded(verb, listed, flags, tmp_path):
    manifest = listed(["/ok/1.jpg", "/ok/2.jpg"])
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join([lines[0], "no json", '{"image_hash": 5}', lines[1]]))
    result = verb("download", manifest, "-o", tmp_path / "out", *flags)
    assert result.exit_code == 0
    told = result.stderr.splitlines()
    assert [line.partition(": ")[2].partition(":")[0] for line in told] == ["passed over line 2", "passed over line 3"]


def test_seed_groups_are_downloaded_from_their_file(verb, flags, web, tmp_path):
    groups = [{"anonymous_caption": '"Growth of {Subject}"', "image_urls": [f"{web.https}/ok/{n}.png" for n in (1, 2)]}]
    (tmp_path / "seed_group.json").write_text(json.dumps(groups))
    result = verb("download", tmp_path / "seed_group.json", "-o", tmp_path / "out", *flags)
    assert result.exit_code == 0
    rows = list(ShardFolder.open(tmp_path / "out").rows())
    assert {row.caption for row in rows} == {'"Growth of {Subject}"'}
    assert all(row.extra["caption_clean"] == "Growth of {Subject}" for row in rows)


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_seed_groups_without_addresses_are_told_by_their_form(there, suffix, refused, made, tmp_path):
    """Whether the folders of images are beside the list or not."""
    groups = [{"anonymous_caption": f"Growth of {{Subject}} {n}", "index_group": n} for n in range(2)]
    text = json.dumps(groups) if suffix == "json" else "\n".join(map(json.dumps, groups))
    listed = tmp_path / f"seed_group.{suffix}"
    listed.write_text(text)
    if there:
        for number in range(2):
            (tmp_path / f"group_{number}").mkdir()
            (tmp_path / f"group_{number}" / "x.png").write_bytes(made.picture(number))
    message = refused("download", listed, "-o", tmp_path / "out")
    assert "form with index_group" in message
    assert "image_urls" in message
    assert not (tmp_path / "out").exists()


def test_a_shard_folder_is_a_source_of_images(verb, listed, flags, tmp_path):
    verb("download", listed(["/ok/1.jpg", "/404", "/ok/2.jpg"]), "-o", tmp_path / "out", *flags)
    result = verb("embed", tmp_path / "out", "--out", tmp_path / "table", "--encoder", "fake")
    assert result.exit_code == 3
    assert "2 embedded" in result.stdout
    assert "the server answered 404 (dead)" in result.stderr


def test_progress_is_shown_in_a_terminal(in_terminal, listed, flags, tmp_path):
    manifest = listed([f"/slow/{number}.jpg?s=0.3" for number in range(8)] + ["/404"])
    code, shown, out = in_terminal(
        "download", manifest, "-o", tmp_path / "out", *flags, "--workers", 2, stream="stderr", columns=160
    )
    assert code == 3
    assert "rows/s" in shown
    assert "MB/s" in shown
    assert "ok, 1 dead" in shown
    assert "8 of 9 images" in out


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["no-such-name"], "the catalog has"),
        (["no-such.jsonl"], "no such file"),
        (["LIST", "--retry", "ok"], "does not name statuses"),
        (["LIST", "--reencode", "png"], "belongs to --layout files"),
        (["LIST", "--allow-network", "nonsense"], "not a network"),
        (["LIST", "--placeholders", "no-such-rules"], "cannot read the rules"),
        (["EMPTY"], "nothing to download"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(arguments, part, refused, listed, tmp_path, monkeypatch):
    monkeypatch.setenv("RELSIM_DATA", str(tmp_path))
    (tmp_path / "empty.jsonl").write_text("")
    places = {"LIST": listed(["/ok/1.jpg"]), "EMPTY": tmp_path / "empty.jsonl"}
    message = refused("download", *(places.get(word, word) for word in arguments), "-o", tmp_path / "out")
    assert part in message.lower() or part in message


def test_a_missing_extra_is_named_with_its_command(refused, listed, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    message = refused("download", listed(["/ok/1.jpg"]), "-o", tmp_path / "out")
    assert message.endswith('needs the package aiohttp: pip install "relsim[download]"')


def test_memory_stays_flat_whatever_servers_send(start, web, tmp_path):
    """Two dozen bodies without end, each given up after 16 MiB: together they would be 384 MiB."""
    rows = [ManifestRow(f"id{number}", f"{web.http}/endless?{number}") for number in range(24)]
    write_manifest(tmp_path / "list.jsonl", rows)
    options = ["--allow-private", "--max-mb", 16, "--workers", 40, "--per-host", 40, "--decoders", 1]
    most = 0
    with start("download", tmp_path / "list.jsonl", "-o", tmp_path / "out", *options) as process:
        while process.poll() is None:
            most = max(most, peak_of(process.pid))
            time.sleep(0.02)
    assert process.returncode == 3
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["statuses"] == {"too_large": 24}
    assert 0 < most < 300 * 2**20


def peak_of(pid):
    """The largest resident memory of a process so far, in bytes."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)
