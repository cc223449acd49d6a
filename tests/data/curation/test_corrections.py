"""Corrections of captions by people: lines that are added, one writer, what kills and full disks leave."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest

from relsim.data.curation.corrections import Change, Corrections, InUseError, OutOfDateError
from relsim.data.curation.inventory import take_inventory
from relsim.data.lists import read_list
from relsim.data.manifest import ManifestRow, write_manifest
from relsim.errors import SourceError

NOW = datetime(2026, 11, 27, 12, tzinfo=timezone.utc)
CAPTIONS = ("A red {Car}", '"Growth of {Subject}"', None, "Two {Objects}")

ENDLESS = """
import sys
from datetime import datetime, timezone
from pathlib import Path
from relsim.data.curation.corrections import Corrections
from relsim.data.curation.inventory import take_inventory

items = take_inventory(sys.argv[1]).items
corrections, number = Corrections(Path(sys.argv[2]), items), 0
while True:
    number += 1
    was = corrections.caption(0)
    corrections.change(0, f"{number} of {{Objects}}", was=was, who="Ada", now=datetime.now(timezone.utc))
    print(number, flush=True)
"""


@pytest.fixture
def listed(tmp_path):
    """A manifest in which one id stands twice."""
    path = tmp_path / "list.jsonl"
    write_manifest(path, [ManifestRow(f"id{n % 3}", f"https://a/{n}", text) for n, text in enumerate(CAPTIONS)])
    return path


@pytest.fixture
def open_corrections(listed):
    """`open_corrections()` opens the file of changes of the list; all are closed in the end."""
    opened = []

    def start():
        opened.append(Corrections(listed.with_name("changes.jsonl"), take_inventory(listed).items))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def lines(corrections):
    return [json.loads(line) for line in corrections.path.read_bytes().splitlines()]


def test_a_change_is_a_line_of_its_own_and_the_list_stays_as_it_was(open_corrections, listed):
    before, corrections = listed.read_bytes(), open_corrections()
    assert not corrections.path.exists()
    corrections.change(0, " A  {Vehicle}\n", was="A red {Car}", who="Ada", now=NOW)
    corrections.change(0, "One {Vehicle}", was="A {Vehicle}", who="Grace", now=NOW + timedelta(minutes=1))
    assert lines(corrections) == [
        {"id": "id0", "row": 0, "field": "caption", "old": "A red {Car}", "new": "A {Vehicle}", "who": "Ada",
         "when": "2026-11-27T12:00:00+00:00"},
        {"id": "id0", "row": 0, "field": "caption", "old": "A {Vehicle}", "new": "One {Vehicle}", "who": "Grace",
         "when": "2026-11-27T12:01:00+00:00"},
    ]  # fmt: skip
    assert listed.read_bytes() == before
    again = open_corrections()
    assert [again.caption(row) for row in range(4)] == ["One {Vehicle}", "Growth of {Subject}", None, "Two {Objects}"]
    assert (again.changed, again.people()) == ([0], ["Ada", "Grace"])


def test_an_id_that_stands_twice_is_two_rows(open_corrections):
    corrections = open_corrections()
    corrections.change(3, "Three {Objects}", was="Two {Objects}", who="Ada", now=NOW)
    assert corrections.caption(0) == "A red {Car}"
    assert open_corrections().caption(3) == "Three {Objects}"


def test_undo_leads_back_step_by_step_to_what_the_list_says(open_corrections, listed):
    corrections = open_corrections()
    for number, was in ((1, "Growth of {Subject}"), (2, "1 {Subject}"), (3, "2 {Subject}")):
        corrections.change(1, f"{number} {{Subject}}", was=was, who="Ada", now=NOW)
    seen = []
    for _ in range(3):
        corrections.undo(1, who="Grace", now=NOW)
        seen.append((corrections.caption(1), open_corrections().caption(1)))
    assert seen == [(text, text) for text in ("2 {Subject}", "1 {Subject}", "Growth of {Subject}")]
    with pytest.raises(OutOfDateError, match="nothing to take back"):
        corrections.undo(1, who="Grace", now=NOW)
    assert corrections.changed == []
    assert list(corrections.corrected()) == read_list(listed)
    assert [line.get("undo", False) for line in lines(corrections)] == [False] * 3 + [True] * 3
    corrections.change(1, "New {Subject}", was="Growth of {Subject}", who="Ada", now=NOW)
    assert open_corrections().caption(1) == "New {Subject}"


def test_the_corrected_list_is_the_list_but_for_the_captions(open_corrections, listed, tmp_path):
    corrections = open_corrections()
    corrections.change(1, "Decay of {Subject}", was="Growth of {Subject}", who="Ada", now=NOW)
    corrections.change(2, "Some {Objects}", was=None, who="Ada", now=NOW)
    write_manifest(tmp_path / "new.jsonl", corrections.corrected())
    old, new = read_list(listed), read_list(tmp_path / "new.jsonl")
    assert [row.caption for row in new] == ["A red {Car}", "Decay of {Subject}", "Some {Objects}", "Two {Objects}"]
    assert "caption_clean" in old[1].extra
    assert "caption_clean" not in new[1].extra
    assert [(row.image_hash, row.url_link) for row in new] == [(row.image_hash, row.url_link) for row in old]


def test_whoever_saw_another_caption_is_refused(open_corrections):
    corrections = open_corrections()
    corrections.change(0, "A {Vehicle}", was="A red {Car}", who="Ada", now=NOW)
    with pytest.raises(OutOfDateError, match="somebody has changed"):
        corrections.change(0, "Some {Vehicle}", was="A red {Car}", who="Grace", now=NOW)
    assert corrections.caption(0) == "A {Vehicle}"


@pytest.mark.parametrize(("caption", "who"), [("  \n", "Ada"), ("x" * 4_001, "Ada"), ("a", " "), ("a", "x" * 201)])
def test_what_is_no_caption_or_name_is_refused(open_corrections, caption, who):
    corrections = open_corrections()
    with pytest.raises(SourceError, match=r"a caption has|a name has"):
        corrections.change(0, caption, was="A red {Car}", who=who, now=NOW)
    assert corrections.changes == 0


def test_only_the_first_may_write_and_the_others_see_it(open_corrections):
    first, second = open_corrections(), open_corrections()
    first.change(0, "A {Vehicle}", was="A red {Car}", who="Ada", now=NOW)
    with pytest.raises(InUseError, match="another process"):
        second.change(3, "b", was="Two {Objects}", who="Grace", now=NOW)
    second.refresh()
    assert second.caption(0) == "A {Vehicle}"
    first.close()
    second.change(3, "Some {Objects}", was="Two {Objects}", who="Grace", now=NOW)
    first.refresh()
    assert (first.changed, second.changed) == ([0, 3], [0, 3])


def test_a_kill_leaves_every_change_that_was_told_and_no_part_of_another(open_corrections, listed):
    path = listed.with_name("changes.jsonl")
    command = [sys.executable, "-c", ENDLESS, str(listed), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        told = 0
        while told < 20:
            told = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        told = int((process.stdout.read().split() or [told])[-1])
    with path.open("ab") as file:
        file.write(b'{"id": "id0", "row": 0, "fie')  # as a power cut may leave it
    corrections = open_corrections()
    assert corrections.changes in (told, told + 1)
    last = corrections.caption(0)
    assert last == f"{corrections.changes} of {{Objects}}"
    corrections.change(0, "One {Object}", was=last, who="Grace", now=NOW)
    assert [line["new"] for line in lines(corrections)][-2:] == [last, "One {Object}"]


def test_a_full_disk_is_told_and_nothing_of_the_change_is_kept(small_disk, listed):
    folder, _ = small_disk
    corrections = Corrections(folder / "changes.jsonl", take_inventory(listed).items)
    corrections.change(0, "A {Vehicle}", was="A red {Car}", who="Ada", now=NOW)
    size = corrections.path.stat().st_size
    with (folder / "fill").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4_096))

    def change():
        for number in range(4):  # the rest of the page that is there may hold one or two
            corrections.change(3, f"{number}{'x' * 3_999}", was=corrections.caption(3), who="Ada", now=NOW)

    with pytest.raises(SourceError, match="no space left"):
        change()
    kept = lines(corrections)
    assert len(kept) == corrections.changes
    assert corrections.path.stat().st_size >= size
    os.unlink(folder / "fill")  # noqa: PTH108 - beside a mount
    corrections.change(1, "Decay of {Subject}", was="Growth of {Subject}", who="Ada", now=NOW)
    assert lines(corrections)[:-1] == kept
    corrections.close()


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (Change("id9", 0, "A red {Car}", "b", "Ada", "t").line(), "has no id9 in row 0"),
        (Change("id0", 9, "A red {Car}", "b", "Ada", "t").line(), "in row 9"),
        (Change("id0", 0, "A blue {Car}", "b", "Ada", "t").line(), "another state of the list"),
        (b"{}\n", "no change of a caption"),
        (b"[1]\n", "no change of a caption"),
        (b"junk\n", "no change of a caption"),
        (b'{"id":"id0","row":true,"field":"caption","old":"a","new":"b","who":"c","when":"d"}\n', "another kind"),
        (b'{"id":"id0","row":0,"field":"url_link","old":"a","new":"b","who":"c","when":"d"}\n', "another kind"),
    ],
)
def test_changes_of_another_list_are_refused(open_corrections, listed, line, fault):
    good = Change("id1", 1, '"Growth of {Subject}"', "b", "Ada", "t").line()
    path = listed.with_name("changes.jsonl")
    path.write_bytes(good + line)
    with pytest.raises(SourceError, match=fault) as told:
        open_corrections()
    assert "line 2" in str(told.value)
