"""What answers mean: codes, Retry-After, X-Robots-Tag."""

import socket
from datetime import datetime, timezone

import pytest
from yarl import URL

from relsim.data.download.options import parse_statuses
from relsim.data.download.outcomes import MAY_COME_BACK, may_come_back, of_code, of_lookup, seconds_of
from relsim.data.download.placeholders import Placeholders
from relsim.data.download.robots import forbidden_by
from relsim.data.facts import ImageFacts
from relsim.data.records import Status
from relsim.errors import SourceError

NOON = datetime(2026, 11, 27, 12, tzinfo=timezone.utc)
CODES = (socket.EAI_NONAME, socket.EAI_AGAIN, socket.EAI_FAIL)
AGENT = "relsim/1.0 (+https://example.org)"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("Fri, 27 Nov 2026 12:00:30 GMT", 30),
        ("Fri, 27 Nov 2026 13:00:00 +0100", 0),
        ("Friday, 27-Nov-26 12:01:00 GMT", 60),
        ("Fri Nov 27 12:00:05 2026", 5),
        ("Thu, 26 Nov 2026 12:00:00 GMT", 0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text, seconds):
    assert seconds_of(text, NOON) == seconds


def test_codes_have_their_status_and_say_whether_to_try_again():
    expected = {
        **dict.fromkeys((200, 203, 206), None),
        **dict.fromkeys((404, 410), (Status.DEAD, False)),
        **dict.fromkeys((401, 402, 403, 407, 451), (Status.BLOCKED, False)),
        429: (Status.BLOCKED, True),
        408: (Status.TIMEOUT, True),
        **dict.fromkeys((500, 502, 503, 504, 520), (Status.ERROR, True)),
        **dict.fromkeys((300, 304, 400, 405, 406, 414, 418, 501, 505), (Status.ERROR, False)),
    }
    found = {code: of_code(code) for code in expected}
    assert {code: failure and (failure.status, failure.again) for code, failure in found.items()} == expected


def test_whatever_is_tried_again_in_a_run_is_in_the_table_of_what_may_come_back():
    again = {code: failure for code in range(300, 600) if (failure := of_code(code)) is not None and failure.again}
    assert {failure.status for failure in again.values()} == {Status.BLOCKED, Status.TIMEOUT, Status.ERROR}
    for code, failure in again.items():
        assert MAY_COME_BACK[failure.status] in (None, code)
    assert of_code(403).status not in may_come_back({"blocked": 3}, {"403": 3})


def test_what_may_come_back_counts_blocked_rows_of_429_only():
    statuses = {"ok": 9, "dead": 5, "blocked": 7, "truncated": 2, "robots": 1, "damaged": 1}
    codes = {"200": 13, "404": 5, "403": 4, "429": 3}
    assert may_come_back(statuses, codes) == {"truncated": 2, "blocked": 3, "dead": 5}
    assert may_come_back({"ok": 9, "robots": 1, "refused": 2}, {"200": 10, "none": 2}) == {}


@pytest.mark.parametrize(
    ("values", "directive"),
    [
        (["noai"], "noai"),
        (["noarchive, NoImageAI"], "NoImageAI"),
        (["noindex"], "noindex"),
        (["none"], "none"),
        (["all"], None),
        (["nofollow", "noindex"], "noindex"),
        (["relsim: noai"], "relsim: noai"),
        (["RelSim: nofollow, noai"], "noai"),
        (["otherbot: noai"], None),
        (["otherbot: nofollow, noindex"], None),
        (["otherbot: noindex, relsim: noindex"], "relsim: noindex"),
        (["*: noindex"], "*: noindex"),
        (["max-snippet: 20, noindex"], "noindex"),
        (["unavailable_after: 25 Jun 2010 15:00:00 PST"], None),
        (["otherbot: nofollow", "noimageindex"], "noimageindex"),
        (["", ",,", ":"], None),
        ([], None),
    ],
)
def test_robots_directives_are_understood(values, directive):
    assert forbidden_by(values, AGENT) == directive


def test_statuses_to_retry_are_named_by_a_list():
    assert parse_statuses("dead, timeout") == {Status.DEAD, Status.TIMEOUT}
    for text in ("", "ok", "dead,gone"):
        with pytest.raises(SourceError, match=r"there are: .*dead, timeout, blocked"):
            parse_statuses(text)


def test_a_lookup_that_fails_for_now_is_tried_again():
    assert [
        (of_lookup(socket.gaierror(code, "")).status, of_lookup(socket.gaierror(code, "")).again) for code in CODES
    ] == [
        (Status.DEAD, False),
        (Status.ERROR, True),
        (Status.ERROR, True),
    ]


def test_placeholder_rules_that_are_none_are_told_with_their_line(tmp_path):
    rules = tmp_path / "rules.txt"
    wrong = ["sha256 abc", "md5 " + "0" * 32, "phash " + "0" * 16 + " many", "url nowhere", "url a/b c", "phash"]
    for line in wrong:
        rules.write_text(f"# a comment\n\nurl example.org/gone.png  # gone\n{line}\n")
        with pytest.raises(SourceError, match=r"rules\.txt, line 4: .* is no rule"):
            Placeholders.load(rules)


def test_placeholders_are_alike_up_to_the_bits_of_their_rule(tmp_path):
    rules = tmp_path / "rules.txt"
    rules.write_text("phash 00000000000000ff 3\n")
    known = Placeholders.load(rules)

    def verdict(phash):
        return known.of_image(ImageFacts(640, 480, "JPEG", "0" * 64, phash), one_colour=False)

    assert verdict("00000000000000ff")
    assert verdict("00000000000000f8")
    assert verdict("00000000000000f0") is None


@pytest.mark.parametrize(
    ("url", "known"),
    [
        ("https://i.imgur.com/removed.png", True),
        ("https://i.imgur.com/removed.png?x=1", True),
        ("https://i.imgur.com/abc.png", False),
        ("https://live.staticflickr.com/a/photo_unavailable_l.png", True),
        ("https://example.org/photo_unavailable.png", False),
    ],
)
def test_addresses_of_known_placeholders(url, known):
    assert bool(Placeholders.load().of_url(URL(url))) == known
