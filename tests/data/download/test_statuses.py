"""Every status, caused by a real server: what it does, what becomes of the row, and how often it was asked."""

import numpy as np
import pytest

from relsim.data.records import Status

LONG = "/ok/1.jpg?" + "x" * 10_000
# address: status, code, part of the reason, requests that the server saw (None: not counted)
CASES = {
    "/ok/1.jpg": (Status.OK, 200, None, 1),
    "/ok/2.png": (Status.OK, 200, None, 1),
    "/ok/3.webp": (Status.OK, 200, None, 1),
    "/gzipped/4.jpg": (Status.OK, 200, None, 1),
    "/hops/4": (Status.OK, 200, None, None),
    "/limited/5.jpg?fail=1&after=1": (Status.OK, 200, None, 2),
    "/limited/6.jpg?fail=1&after=1&date=1&code=503": (Status.OK, 200, None, 2),
    "/reset/7.jpg?fail=1": (Status.OK, 200, None, 2),
    "/404": (Status.DEAD, 404, "answered 404", 1),
    "/410": (Status.DEAD, 410, "answered 410", 1),
    "/401": (Status.BLOCKED, 401, "answered 401", 1),
    "/403": (Status.BLOCKED, 403, "answered 403", 1),
    "/451": (Status.BLOCKED, 451, "answered 451", 1),
    "/limited/8.jpg?fail=99&after=0": (Status.BLOCKED, 429, "answered 429", 2),
    "/cut/25.jpg?code=404": (Status.DEAD, 404, "answered 404", 1),
    "/cut/26.jpg?code=302&to=/ok/26.jpg": (Status.OK, 200, None, 1),
    "/mute/27.jpg?code=302&to=/ok/27.jpg": (Status.OK, 200, None, 1),
    "/mute/28.jpg?code=403": (Status.BLOCKED, 403, "answered 403", 1),
    "/408": (Status.TIMEOUT, 408, "answered 408", 2),
    "/silent": (Status.TIMEOUT, None, "fell silent", 2),
    "/stalls/9.jpg": (Status.TIMEOUT, 200, "fell silent", 2),
    "/drip": (Status.TIMEOUT, None, "not done after 8 s", 2),
    "/head-drip": (Status.TIMEOUT, None, "not done after 8 s", 2),
    "/huge": (Status.TOO_LARGE, 200, "1,099,511,627,776 bytes", 1),
    "/endless": (Status.TOO_LARGE, 200, "goes on", 1),
    "/bomb.gz": (Status.TOO_LARGE, 200, "goes on", 1),
    "/bomb.png": (Status.TOO_LARGE, 200, "60,000 x 60,000", 1),
    "/html": (Status.NOT_IMAGE, 200, "a page", 1),
    "/text": (Status.NOT_IMAGE, 200, "not an image", 1),
    "/empty": (Status.EMPTY, 200, "no body", 1),
    "/204": (Status.EMPTY, 204, "no body", 1),
    "/truncated/10.jpg": (Status.TRUNCATED, 200, "ends before", 1),
    "/longer/11.jpg": (Status.TRUNCATED, 200, "ends early", 2),
    "/shorter/12.jpg": (Status.TRUNCATED, 200, "ends before", 1),  # the rest comes when nobody listens any more
    "/shorter/12.jpg?at-once": (Status.ERROR, None, "no HTTP", 2),  # the rest comes where an answer should begin
    "/gzip-cut/13.jpg": (Status.TRUNCATED, 200, "packed body ends early", 2),
    "/damaged/14.png": (Status.DAMAGED, 200, "damaged", 1),
    "/robots/15.jpg?tag=noai": (Status.ROBOTS, 200, "noai", 1),
    "/robots/16.jpg?tag=relsim:+noindex": (Status.ROBOTS, 200, "noindex", 1),
    "/robots/17.jpg?tag=otherbot:+noai": (Status.OK, 200, None, 1),
    "/pixel": (Status.PLACEHOLDER, 200, "1 x 1 pixels", 1),
    "/grey": (Status.PLACEHOLDER, 200, "single colour", 1),
    "/500": (Status.ERROR, 500, "answered 500", 2),
    "/502": (Status.ERROR, 502, "answered 502", 2),
    "/400": (Status.ERROR, 400, "answered 400", 1),
    "/loop/a": (Status.ERROR, None, "more than 5 redirects", 3),
    "/hops/6": (Status.ERROR, None, "more than 5 redirects", 1),
    "/nowhere": (Status.ERROR, 302, "no address", 1),
    "/reset/18.jpg": (Status.ERROR, 200, "connection was lost", 2),
    "/garbage": (Status.ERROR, None, "no HTTP", 2),
    "/brotli": (Status.ERROR, 200, "br, which was not asked for", 1),
    "http://127.0.0.1:1/a.jpg": (Status.ERROR, None, "no connection", None),
    LONG: (Status.REFUSED, None, "characters, more than 8,192", 0),
    "": (Status.REFUSED, None, "no address", None),
    "ftp://example.org/a.jpg": (Status.REFUSED, None, "only http and https", None),
    "https://user:secret@example.org/a.jpg": (Status.REFUSED, None, "user name or password", None),
    "https://example.org:99999/a.jpg": (Status.REFUSED, None, "not an address", None),
    "https://example.org/a\nb.jpg": (Status.REFUSED, None, "control characters", None),
    "/redirect?to=file:///etc/passwd": (Status.REFUSED, 302, "only http and https", 1),
    "/redirect?to=//user:pw@example.org/": (Status.REFUSED, 302, "user name or password", 1),
}


@pytest.fixture(scope="module")
def outcomes(web, quick, tmp_path_factory):
    """All addresses in one download, and how often each was asked for."""
    from dataclasses import replace

    from relsim.data.download import download
    from relsim.data.manifest import ManifestRow
    from relsim.data.shards import COLUMNS, part_rows

    folder = tmp_path_factory.mktemp("statuses") / "out"
    rows = [
        ManifestRow(
            f"id{number:02d}", (web.https if address.startswith("/") else "") + address, "a caption", {"n": number}
        )
        for number, address in enumerate(CASES)
    ]
    before = web.asked.copy()
    summary = download(rows, folder, replace(quick, per_host=64))
    asked = web.asked - before
    found = dict(zip(CASES, part_rows(folder / "part-00000.parquet", COLUMNS), strict=True))
    return found, asked, summary


@pytest.mark.parametrize("address", CASES, ids=lambda text: text[:40] or "nothing")
def test_every_kind_of_answer_ends_as_its_status(outcomes, address):
    rows, asked, _ = outcomes
    status, code, reason, requests = CASES[address]
    row = rows[address]
    assert (row.status, row.http_code) == (status, code), row.reason
    assert row.reason is None if reason is None else reason in row.reason
    assert "\n" not in (row.reason or "")
    assert row.fetched_at.tzinfo is not None
    if requests is not None:
        assert asked[address] == requests


def test_a_name_that_does_not_exist_is_dead_and_one_that_cannot_be_looked_up_is_not(fetch):
    """What the system says of a name that no registry gives away decides: without a network it may say "try again"."""
    import socket

    rows, _ = fetch("http://no-such-host.invalid/a.jpg")
    with pytest.raises(socket.gaierror) as caught:
        socket.getaddrinfo("no-such-host.invalid", 80)
    gone = caught.value.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
    assert rows[0].status is (Status.DEAD if gone else Status.ERROR)


def test_every_row_is_there_as_the_list_has_it(outcomes):
    rows, _, summary = outcomes
    assert [row.row for row in rows.values()] == list(range(len(CASES)))
    assert [row.image_hash for row in rows.values()] == [f"id{number:02d}" for number in range(len(CASES))]
    assert [row.extra for row in rows.values()] == [{"n": number} for number in range(len(CASES))]
    assert {row.caption for row in rows.values()} == {"a caption"}
    assert summary.rows == sum(summary.statuses.values()) == len(CASES)


def test_kept_images_are_the_very_bytes_with_their_facts(outcomes, made):
    import hashlib
    import io

    from PIL import Image

    rows, _, _ = outcomes
    for address, number, format_name in [
        ("/ok/1.jpg", 1, "JPEG"),
        ("/ok/2.png", 2, "PNG"),
        ("/gzipped/4.jpg", 4, "JPEG"),
    ]:
        row, data = rows[address], made.picture(number, format_name=format_name)
        assert row.image == data
        assert row.sha256 == hashlib.sha256(data).hexdigest()
        assert (row.width, row.height) == Image.open(io.BytesIO(data)).size
        assert row.format == format_name
    assert all((row.image is not None) == (row.status is Status.OK) for row in rows.values())


def test_a_retry_after_is_waited_for(web, fetch):
    import time

    began = time.monotonic()
    fetch("/limited/901.jpg?fail=1&after=2")
    assert time.monotonic() - began >= 2


@pytest.mark.parametrize("how", ["cut", "mute"])
def test_a_retry_after_counts_whatever_becomes_of_the_body(how, fetch, web):
    """No reason is lost with a body that ends early: after the wait the row is asked for again."""
    import time

    began = time.monotonic()
    rows, _ = fetch(f"/{how}/903.jpg?code=429&after=3")
    assert (rows[0].status, rows[0].http_code, rows[0].reason) == (Status.BLOCKED, 429, "the server answered 429")
    assert web.asked[f"/{how}/903.jpg?code=429&after=3"] == 2
    assert time.monotonic() - began >= 3


def test_an_answer_just_before_the_time_limit_is_no_timeout(fetch, web):
    rows, _ = fetch("/mute/29.jpg?code=403&s=2.2", base=web.http, total_timeout=3, read_timeout=9)
    assert (rows[0].status, rows[0].http_code) == (Status.BLOCKED, 403)


@pytest.mark.parametrize(
    ("asked", "status", "reason"),
    [
        ("after=3600", Status.BLOCKED, "the server answered 429 and asks to wait 3,600 s"),
        ("after=3600&code=503", Status.ERROR, "the server answered 503 and asks to wait 3,600 s"),
        ("after=61", Status.BLOCKED, "the server answered 429 and asks to wait 61 s"),
        ("after=7200&date=1", Status.BLOCKED, "the server answered 429 and asks to wait 7,"),
        ("after=" + "9" * 400, Status.BLOCKED, "the server answered 429 and asks to wait a year or more"),
    ],
)
def test_a_server_that_asks_for_more_than_the_longest_wait_is_not_asked_again(asked, status, reason, web, fetch):
    address = f"/limited/902.jpg?fail=1&{asked}"
    rows, _ = fetch(address, longest_wait=60, retries=5)
    assert (rows[0].status, rows[0].http_code) == (status, 503 if "503" in asked else 429)
    assert rows[0].reason.startswith(reason)
    assert web.asked[address] == 1


def test_no_row_waits_for_a_host_that_asks_for_too_much(web, fetch):
    """Its further rows are tried once, whatever they would be tried again for."""
    addresses = ["/limited/904.jpg?fail=1&after=3600", "/limited/905.jpg?fail=1&after=1", "/502?b", "/ok/906.jpg"]
    rows, _ = fetch(*addresses, workers=1, retries=3)
    assert [row.status.value for row in rows] == ["blocked", "blocked", "error", "ok"]
    assert [row.reason for row in rows[1:]] == ["the server answered 429", "the server answered 502", None]
    assert [web.asked[address] for address in addresses] == [1, 1, 1, 1]


def test_a_host_that_keeps_asking_for_pauses_uses_up_its_patience(web, fetch):
    addresses = [f"/limited/{number}.jpg?fail=99&after=1" for number in range(910, 920)]
    _, summary = fetch(*addresses, per_host=1, patience=2, retries=5)
    assert summary.statuses == {"blocked": 10}
    # 1 s each: two pauses, and then one request for each row that is left.
    assert 10 < sum(web.asked[address] for address in addresses) <= 10 + 3


@pytest.mark.parametrize(("kind", "requests"), [("silent", 6 + 2), ("stalls", 6 + 2), ("garbage", 6 + 2), ("500", 18)])
def test_a_host_without_answers_gets_no_retries_after_a_while(kind, requests, web, fetch):
    """Six rows, three attempts each: the third in a row without an answer is the last that is not a row's only one."""
    addresses = [f"/{kind}/{number}?quiet" if kind != "500" else f"/500?quiet={number}" for number in range(6)]
    _, summary = fetch(*addresses, base=web.http, workers=1, retries=2, silence=3, read_timeout=0.5)
    assert summary.ok == 0
    assert sum(web.asked[address] for address in addresses) == requests


def test_an_answer_ends_the_silence_of_a_host(web, fetch):
    kinds = ("garbage", "404", "garbage", "empty") * 2
    addresses = [f"/{kind}/{number}?loud" for number, kind in enumerate(kinds)]
    fetch(*addresses, base=web.http, workers=1, retries=1, silence=2, backoff=6)
    # Silent once, then an answer; the retries come when all have been asked for once.
    assert [web.asked[address] for address in addresses] == [2, 1] * 4


def test_certificates_are_verified(web, fetch, quick):
    rows, _ = fetch(
        f"{web.wrong}/ok/1.jpg",
        web.https.replace("127.0.0.1", "localhost") + "/ok/1.jpg",
    )
    assert [row.status for row in rows] == [Status.ERROR, Status.OK]
    assert "certificate is refused" in rows[0].reason


def test_an_authority_that_was_not_named_is_not_trusted(web, fetch):
    rows, _ = fetch("/ok/1.jpg", ca_file=None)
    assert rows[0].status is Status.ERROR
    assert "certificate is refused" in rows[0].reason


def test_robots_can_be_ignored(web, fetch):
    rows, _ = fetch("/robots/1.jpg?tag=noai", ignore_robots=True)
    assert rows[0].status is Status.OK


def test_placeholders_are_known_by_rules_and_can_be_kept(web, fetch, made, tmp_path):
    import hashlib

    rules = tmp_path / "rules.txt"
    digest = hashlib.sha256(made.picture(21)).hexdigest()
    rules.write_text(f"sha256 {digest}  # gone\nurl 127.0.0.1/same/*\nphash {'0' * 16} 0\n")
    addresses = ["/ok/21.jpg", "/same/1.jpg", "/ok/22.jpg", "/grey"]
    rows, _ = fetch(*addresses, placeholders=rules)
    assert [row.status.value for row in rows] == ["placeholder", "placeholder", "ok", "placeholder"]
    assert "known placeholder" in rows[0].reason
    assert "127.0.0.1/same/*" in rows[1].reason
    rows, _ = fetch(*addresses, placeholders=rules, keep_placeholders=True, folder=tmp_path / "kept")
    assert {row.status for row in rows} == {Status.OK}


def test_the_same_bytes_under_many_ids_are_flagged(web, fetch):
    addresses = [f"/same/{number}.jpg" for number in range(4)] + ["/ok/1.jpg", "/ok/1.jpg?again"]
    rows, summary = fetch(*addresses, same_bytes=3, part_rows=2)
    assert [row.status for row in rows] == [Status.OK] * 6
    assert [row.reason for row in rows] == ["the same bytes are under 4 ids"] * 4 + [None] * 2
    (group,) = summary.duplicates
    assert (group.sha256, group.ids, group.first) == (rows[0].sha256, 4, ("id000", "id001", "id002", "id003"))


def test_flags_go_when_they_no_longer_hold(web, fetch, tmp_path):
    addresses = [f"/same/{number}.jpg" for number in range(3)]
    before, _ = fetch(*addresses, same_bytes=3)
    assert [row.reason for row in before] == ["the same bytes are under 3 ids"] * 3
    after, summary = fetch(*addresses, same_bytes=4)
    assert [row.reason for row in after] == [None] * 3
    assert summary.duplicates == ()
    assert [row.image for row in after] == [row.image for row in before]


def test_plain_http_is_fetched_as_well(web, fetch, made):
    rows, _ = fetch("/ok/5.jpg", "/longer/6.jpg", "/reset/7.jpg", base=web.http)
    assert [row.status.value for row in rows] == ["ok", "truncated", "error"]
    assert np.array_equal(np.frombuffer(rows[0].image, np.uint8), np.frombuffer(made.picture(5), np.uint8))
