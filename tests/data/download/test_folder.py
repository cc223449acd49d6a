"""The folder of a download: what is kept, what is refused, and what a second run changes."""

import asyncio
import contextlib
import gc
import hashlib
import io
import json
import socket
import ssl
import threading
import xml.etree.ElementTree as ET
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from PIL import Image

from relsim.data.download import DownloadOptions, download
from relsim.data.download.names import refusal_of
from relsim.data.manifest import ManifestRow
from relsim.data.records import Status
from relsim.data.shards import ShardFolder
from relsim.errors import ShardError
from relsim.files import exclusive_lock

WRONG_IDS = [
    "../outside",
    "a/../../outside",
    "/etc/outside",
    "..",
    ".",
    "",
    "a//b",
    "a/",
    ".hidden",
    "a\\..\\b",
    "c:evil",
    "nul\0byte",
    "line\nbreak",
    "\udcff",
    "x" * 300,
    "dot.",
]


def snapshot(folder):
    """Every file below a folder with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def table(folder):
    return pq.read_table(folder / "status").to_pylist()


def test_a_shard_folder_opens_and_has_one_row_for_each(fetch, tmp_path):
    addresses = [f"/ok/{number}.jpg" for number in range(5)] + ["/404", "/html"]
    _, summary = fetch(*addresses, part_rows=3)
    shards = ShardFolder.open(tmp_path / "out")
    assert [part.rows for part in shards.contents.parts] == [3, 3, 1]
    assert [row.row for row in shards.rows()] == list(range(7))
    assert dict(shards.contents.statuses) == dict(summary.statuses) == {"ok": 5, "dead": 1, "not_image": 1}
    assert shards.contents.origin == {"name": "list", "sha256": summary.sha256, "rows": 7}
    assert sorted(path.name for path in (tmp_path / "out" / ".download").iterdir()) == ["run.json"]


def test_the_summary_says_what_the_server_did(fetch, tmp_path, web):
    _, summary = fetch("/ok/1.jpg", "/404", "/410", "ftp://example.org/", "")
    document = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert document == summary.to_dict()
    assert document["statuses"] == {"dead": 2, "refused": 2, "ok": 1}
    assert document["codes"] == {"200": 1, "404": 1, "410": 1, "none": 2}
    assert document["hosts"]["127.0.0.1"] == {"rows": 3, "ok": 1}
    assert document["hosts"]["none"] == {"rows": 1, "ok": 0}
    assert document["host_count"] == 3
    assert document["run"]["rows"] == 5


def test_the_picture_of_outcomes_is_svg_with_every_status(fetch, tmp_path):
    fetch("/ok/1.jpg", "/404", "/grey")
    root = ET.parse(tmp_path / "out" / "outcomes.svg").getroot()  # noqa: S314 - our own file
    texts = ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "list: 1 of 3 images (33.3%)" in texts
    assert {"ok", "dead", "placeholder"} <= set(texts)
    assert texts.count("1 (33.3%)") == 3


def test_the_picture_paints_what_may_come_back(fetch, tmp_path):
    """Of the bars: dead, truncated and the part of blocked that was answered 429; not 403, not a placeholder."""
    fetch("/404", "/truncated/1.jpg", "/403", "/limited/c?fail=9", "/limited/d?fail=9", "/grey", retries=0)
    root = ET.parse(tmp_path / "out" / "outcomes.svg").getroot()  # noqa: S314 - our own file
    inside = [element for group in root.iter("{http://www.w3.org/2000/svg}g") for element in group]
    bars, names = {}, []
    for element in inside:
        if element.get("text-anchor") == "end":
            names.append(element.text)
        elif element.tag.endswith("rect"):
            bars.setdefault(names[-1], []).append((element.get("fill"), float(element.get("width"))))
    (back,) = {fill for fill, _ in bars["dead"][1:]}
    assert {name for name, found in bars.items() if back in dict(found)} == {"dead", "truncated", "blocked"}
    assert bars["truncated"][0][1] == bars["truncated"][1][1]
    assert bars["blocked"][1][1] == pytest.approx(bars["blocked"][0][1] * 2 / 3, abs=0.1)


def test_a_finished_download_is_not_done_again(fetch, tmp_path, web):
    fetch("/ok/31.jpg", "/404?once")
    before, asked = snapshot(tmp_path / "out"), web.asked
    _, summary = fetch("/ok/31.jpg", "/404?once")
    after = snapshot(tmp_path / "out")
    assert web.asked == asked
    assert summary.run.rows == 0
    assert {name for name in before if before[name] != after[name]} <= {"summary.json"}


def test_retry_tries_those_statuses_only_and_leaves_other_parts_byte_for_byte(fetch, tmp_path, web):
    addresses = ["/ok/41.jpg", "/ok/42.jpg", "/limited/43.jpg?fail=2&code=500", "/404?r", "/ok/44.jpg", "/403?r"]
    rows, _ = fetch(*addresses, part_rows=2, retries=0)
    assert [row.status.value for row in rows] == ["ok", "ok", "error", "dead", "ok", "blocked"]
    folder = tmp_path / "out"
    before, asked = snapshot(folder), web.asked
    again, summary = fetch(*addresses, part_rows=2, retries=1, retry=frozenset({Status.ERROR, Status.BLOCKED}))
    assert [row.status.value for row in again] == ["ok", "ok", "ok", "dead", "ok", "blocked"]
    assert web.asked - asked == {"/limited/43.jpg?fail=2&code=500": 2, "/403?r": 1}
    assert summary.run.rows == 2
    after = snapshot(folder)
    assert after["part-00000.parquet"] == before["part-00000.parquet"]
    kept = [(old.image, old.fetched_at) == (new.image, new.fetched_at) for old, new in zip(rows, again, strict=True)]
    assert kept == [True, True, False, True, True, False]
    assert dict(ShardFolder.open(folder).contents.statuses) == {"ok": 4, "blocked": 1, "dead": 1}


def test_another_list_is_refused(fetch, tmp_path):
    fetch("/ok/1.jpg", ids=["a"])
    before = snapshot(tmp_path / "out")
    for changed in ({"ids": ["b"]}, {"ids": ["a"], "layout": "files"}):
        with pytest.raises(ShardError, match=r"another folder|go on so"):
            fetch("/ok/1.jpg", **changed)
    with pytest.raises(ShardError, match="another list"):
        fetch("/ok/2.jpg", ids=["a"])
    assert snapshot(tmp_path / "out") == before


def test_shards_that_no_download_made_are_not_written_into(fetch, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "part-00000.parquet").write_bytes(b"somebody's")
    with pytest.raises(ShardError, match="no download made"):
        fetch("/ok/1.jpg")


def test_a_damaged_part_is_named_and_fetched_again_once_removed(fetch, tmp_path):
    whole, _ = fetch("/ok/1.jpg", "/ok/2.jpg", part_rows=1)
    part = tmp_path / "out" / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(ShardError, match=r"part-00001\.parquet"):
        fetch("/ok/1.jpg", "/ok/2.jpg", part_rows=1)
    part.unlink()
    again, summary = fetch("/ok/1.jpg", "/ok/2.jpg", part_rows=1)
    assert summary.run.rows == 1
    assert [row.image for row in again] == [row.image for row in whole]


def test_two_processes_do_not_write_one_folder(fetch, tmp_path):
    (tmp_path / "out").mkdir()
    with (
        exclusive_lock(tmp_path / "out" / ".shards.lock"),
        pytest.raises(ShardError, match="written by another process"),
    ):
        fetch("/ok/1.jpg")


@pytest.mark.parametrize("image_id", WRONG_IDS, ids=ascii)
def test_ids_that_lead_elsewhere_cannot_name_a_file(image_id):
    assert refusal_of(image_id)


@pytest.mark.parametrize("image_id", ["a", "399f03d25bb5d725", "group_3/8f14e45f", "größe", "a b", "a.b", "_x-1"])
def test_plain_ids_can(image_id):
    assert refusal_of(image_id) is None


@pytest.mark.parametrize("layout", ["shards", "files"])
def test_no_id_leads_out_of_the_folder(layout, fetch, tmp_path):
    ids = [*WRONG_IDS[:5], *WRONG_IDS[6:], "good", "group_1/good"]
    folder = tmp_path / "deep" / "er" / "out"
    _, summary = fetch(*["/ok/1.jpg"] * len(ids), ids=ids, layout=layout, folder=folder)
    refused = len(ids) - 2 if layout == "files" else 8  # in shards an id names no file: see test_names
    assert summary.statuses == {"refused": refused, "ok": len(ids) - refused}
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(folder)]
    assert outside == []


def test_a_link_inside_the_folder_is_not_followed_out(fetch, tmp_path):
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "out"
    elsewhere.mkdir()
    folder.mkdir()
    (folder / "group_1").symlink_to(elsewhere)
    with pytest.raises(ShardError, match="leads out of"):
        fetch("/ok/1.jpg", ids=["group_1/a"], layout="files")
    assert list(elsewhere.iterdir()) == []


def test_a_shard_folder_keeps_all_rows_of_an_id(fetch, tmp_path):
    rows, _ = fetch("/404", "/ok/1.jpg", "/ok/2.jpg", ids=["a", "a", "a"])
    assert [row.status.value for row in rows] == ["dead", "ok", "ok"]
    assert ShardFolder.open(tmp_path / "out").read("a").image == rows[1].image


def test_files_hold_the_original_bytes_and_a_table_of_every_row(fetch, made, tmp_path):
    addresses = ["/ok/1.jpg", "/ok/2.png", "/404", "/ok/3.jpg", "/ok/4.webp"]
    ids = ["a", "group_2/b", "c", "A", "d"]
    _, summary = fetch(*addresses, ids=ids, layout="files", part_rows=2)
    folder = tmp_path / "out"
    images = {name: data for name, data in snapshot(folder).items() if name.endswith((".jpg", ".png", ".webp"))}
    assert images == {
        "a.jpg": made.picture(1),
        "group_2/b.png": made.picture(2, format_name="PNG"),
        "d.webp": made.picture(4, format_name="WEBP"),
    }
    rows = table(folder)
    assert [row["status"] for row in rows] == ["ok", "ok", "dead", "refused", "ok"]
    assert [row["file"] for row in rows] == ["a.jpg", "group_2/b.png", None, None, "d.webp"]
    assert "row 0 has this id" in rows[3]["reason"]  # some file systems take A for a
    assert rows[0]["sha256"] == hashlib.sha256(images["a.jpg"]).hexdigest()
    assert summary.bytes >= sum(map(len, images.values()))
    assert not (folder / "shards.json").exists()


def test_reencoded_files_are_those_of_the_published_code(fetch, made, tmp_path):
    fetch("/ok/5.jpg", "/ok/6.webp", ids=["a", "b"], layout="files", reencode="png")
    for name, number, kind in [("a", 5, "JPEG"), ("b", 6, "WEBP")]:
        expected = io.BytesIO()
        Image.open(io.BytesIO(made.picture(number, format_name=kind))).convert("RGB").save(expected, "PNG")
        assert (tmp_path / "out" / f"{name}.png").read_bytes() == expected.getvalue()
    assert [row["format"] for row in table(tmp_path / "out")] == ["JPEG", "WEBP"]


def test_files_are_retried_and_flagged_like_shards(fetch, tmp_path):
    addresses = ["/same/1", "/same/2", "/limited/51.jpg?fail=1&code=500", "/same/3"]
    fetch(*addresses, layout="files", part_rows=2, retries=0, same_bytes=3)
    assert [row["status"] for row in table(tmp_path / "out")] == ["ok", "ok", "error", "ok"]
    fetch(*addresses, layout="files", part_rows=2, same_bytes=3, retry=frozenset({Status.ERROR}))
    rows = table(tmp_path / "out")
    assert [row["status"] for row in rows] == ["ok"] * 4
    assert [row["reason"] for row in rows] == [*["the same bytes are under 3 ids"] * 2, None, rows[0]["reason"]]


def test_the_cleaned_address_is_fetched_and_the_raw_one_kept(web, quick, tmp_path):
    raw = f"{web.https}/limited/61.jpg?fail=0&amp;after=9"
    row = ManifestRow("a", raw, extra={"url_clean": raw.replace("&amp;", "&")})
    download([row], tmp_path / "out", quick)
    assert web.asked["/limited/61.jpg?fail=0&after=9"] == 1
    assert next(ShardFolder.open(tmp_path / "out").rows()).url_link == raw


def test_a_notebook_can_call_it(web, quick, tmp_path):
    """There a loop is running already."""

    async def cell():
        return download([ManifestRow("a", f"{web.https}/ok/1.jpg")], tmp_path / "out", quick)

    assert asyncio.run(cell()).ok == 1


def test_an_empty_list_is_an_empty_folder(quick, tmp_path):
    assert download([], tmp_path / "out", quick).rows == 0
    assert len(ShardFolder.open(tmp_path / "out")) == 0


def test_certificates_that_cannot_be_read_are_told_before_anything_happens(web, quick, tmp_path):
    from relsim.errors import SourceError

    (tmp_path / "no.pem").write_text("no certificate")
    for path in (tmp_path / "no.pem", tmp_path / "absent.pem"):
        with pytest.raises(SourceError, match="PEM"):
            download([ManifestRow("a", f"{web.https}/ok/1.jpg")], tmp_path / "out", replace(quick, ca_file=path))


def test_a_full_disk_ends_the_run_and_keeps_what_is_finished(web, quick, made, small_disk):
    folder, remount = small_disk
    rows = [ManifestRow(f"a{number}", f"{web.https}/ok/{number}.png") for number in range(60)]
    with pytest.raises(ShardError, match="space"):
        download(rows, folder / "out", replace(quick, part_rows=10))
    remount("size=20m")
    summary = download(rows, folder / "out", replace(quick, part_rows=10))
    assert summary.ok == 60
    assert 0 < summary.run.rows < 60
    images = [row.image for row in ShardFolder.open(folder / "out").rows(("image",))]
    assert images == [made.picture(number, format_name="PNG") for number in range(60)]


def test_the_defaults_are_safe():
    defaults = DownloadOptions()
    assert not defaults.allow_private
    assert not defaults.ignore_robots
    assert defaults.user_agent.startswith("relsim/")


@pytest.fixture
def frozen(authority):
    """A TLS server that reads requests and then does nothing: no answer, and no farewell when the client closes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    held, ended = [], threading.Event()

    def serve():
        while not ended.is_set():
            with contextlib.suppress(OSError):
                client = context.wrap_socket(listening.accept()[0], server_side=True)
                client.recv(65_536)
                held.append(client)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.1)
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"https://127.0.0.1:{listening.getsockname()[1]}"
        ended.set()
        thread.join()
    for client in held:
        client.close()


def test_a_server_that_says_no_farewell_leaves_no_connection_open(frozen, fetch):
    """TLS waits for the other side when it closes; an unclosed connection would be a warning, and so a failure."""
    rows, _ = fetch(*(f"/{number}.jpg" for number in range(4)), base=frozen, read_timeout=0.3, retries=0)
    assert [row.status for row in rows] == [Status.TIMEOUT] * 4
    gc.collect()
