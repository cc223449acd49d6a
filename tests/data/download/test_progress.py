"""Looking on while a download goes on: what is told is what has happened, at every row."""

from collections import Counter

import pytest

from relsim.data.download import DownloadOptions, download
from relsim.data.download.progress import DownloadFolder
from relsim.data.download.spool import Spool, facts_after
from relsim.data.manifest import ManifestRow
from relsim.data.records import Status
from relsim.errors import ShardError
from relsim.files import FileInUseError, exclusive_lock, is_locked

ADDRESSES = ["/ok/61.jpg", "/404", "/ok/62.jpg", "/html", "/grey", "/ok/63.jpg", "/404?again"]


class Witness:
    """Counts what a download tells, and looks at its folder each time."""

    def __init__(self, folder):
        self.folder, self.todo, self.told, self.seen = DownloadFolder(folder), None, Counter(), []

    def started(self, todo, total):
        self.todo, self.total = todo, total
        self.before = self.folder.look()

    def finished(self, status, size):
        self.told[status.value] += 1
        self.seen.append((dict(self.told), self.folder.look()))


@pytest.fixture
def watched(web, quick, tmp_path):
    """`watched(layout="files")` downloads, and gives the witness and the summary."""

    def run(**options):
        rows = [ManifestRow(f"id{number}", web.https + path) for number, path in enumerate(ADDRESSES)]
        witness = Witness(tmp_path / "out")
        given = DownloadOptions(**{name: getattr(quick, name) for name in quick.__slots__} | options)
        return witness, download(rows, tmp_path / "out", given, watcher=witness)

    return run


@pytest.mark.parametrize("layout", ["shards", "files"])
def test_every_row_is_seen_when_it_is_done(watched, tmp_path, layout):
    witness, summary = watched(layout=layout, part_rows=3)
    assert len(witness.seen) == len(ADDRESSES)
    for told, seen in witness.seen:
        assert (dict(seen.statuses), seen.done, seen.total, seen.busy) == (told, sum(told.values()), 7, True)
    after = DownloadFolder(tmp_path / "out").look()
    assert (dict(after.statuses), after.busy, after.name) == (dict(summary.statuses), False, "list")
    assert {status: rows for (status, _), rows in after.failures.items()} == {
        "dead": 2,
        "not_image": 1,
        "placeholder": 1,
    }
    assert all(reason for _, reason in after.failures)


def test_rows_that_a_retry_tries_again_are_not_done(watched):
    watched(part_rows=3)
    witness, _ = watched(part_rows=3, retry=frozenset({Status.DEAD}))
    assert (witness.before.done, witness.todo, "dead" in witness.before.statuses) == (5, 2, False)
    assert [seen.done for _, seen in witness.seen] == [6, 7]


def test_a_record_counts_when_its_last_byte_is_there(tmp_path):
    spool = Spool(tmp_path / "whole")
    ends = []
    for row in range(3):
        spool.append(row, {"status": "ok"}, [b"x" * 50], 50)
        ends.append((tmp_path / "whole").stat().st_size)
    spool.close()
    data = (tmp_path / "whole").read_bytes()
    found, position = [], 0
    for length in range(len(data) + 1):
        (tmp_path / "cut").write_bytes(data[:length])
        facts, position = facts_after(tmp_path / "cut", position)
        found += [fact["row"] for fact in facts]
        assert found == [row for row, end in enumerate(ends) if end <= length]


def test_a_folder_of_something_else_is_told(tmp_path):
    assert not DownloadFolder.is_one(tmp_path)
    with pytest.raises(ShardError, match="is not the folder of a download"):
        DownloadFolder(tmp_path).look()


def test_asking_takes_the_lock_from_nobody(tmp_path):
    path = tmp_path / "lock"
    assert not is_locked(path)
    with exclusive_lock(path):
        assert is_locked(path)
        with pytest.raises(FileInUseError), exclusive_lock(path):
            pass
    assert not is_locked(path)
    with exclusive_lock(path):
        pass
