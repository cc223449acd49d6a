"""The published manifest: what is read, what is kept, what is refused, and that a written file is whole."""

import signal
import subprocess
import sys

import pytest

from relsim.data.manifest import BadLine, ManifestRow, read_manifest, write_manifest
from relsim.errors import SourceError

PUBLISHED = (
    b'{"image_hash": "a0", "url_link": "https://x.org/a.jpg?b=1&amp;c=2", "caption": "\\"3D models of {Object}\\""}\n'
    b'{"image_hash": "b1", "url_link": "https://x.org/b.jpg"}\n'
)


@pytest.fixture
def manifest(tmp_path):
    def write(content: bytes):
        path = tmp_path / "list.jsonl"
        path.write_bytes(content)
        return path

    return write


def test_published_rows_are_read_as_written(manifest):
    assert read_manifest(manifest(PUBLISHED)) == [
        ManifestRow("a0", "https://x.org/a.jpg?b=1&amp;c=2", '"3D models of {Object}"'),
        ManifestRow("b1", "https://x.org/b.jpg"),
    ]


def test_reading_and_writing_gives_the_same_bytes(manifest, tmp_path):
    out = tmp_path / "out.jsonl"
    assert write_manifest(out, read_manifest(manifest(PUBLISHED))) == 2
    assert out.read_bytes() == PUBLISHED


def test_unknown_fields_are_kept_in_order(manifest, tmp_path):
    line = '{"image_hash": "a", "zeta": [1, {"x": null}], "alpha": "schön"}\n'.encode()
    rows = read_manifest(manifest(line))
    assert rows[0].extra == {"zeta": [1, {"x": None}], "alpha": "schön"}
    write_manifest(tmp_path / "out.jsonl", rows)
    assert (tmp_path / "out.jsonl").read_bytes() == line


def test_mark_crlf_empty_lines_and_no_last_newline_are_accepted(manifest):
    content = b'\xef\xbb\xbf{"image_hash": "a"}\r\n\r\n  \n{"image_hash": "b"}'
    assert [row.image_hash for row in read_manifest(manifest(content))] == ["a", "b"]


def test_null_counts_as_absent(manifest):
    assert read_manifest(manifest(b'{"image_hash": "a", "url_link": null, "caption": null}')) == [ManifestRow("a")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"image_hash": "a"', "not JSON"),
        (b"[1, 2]", "a JSON object is needed, not a list"),
        (b"null", "a JSON object is needed, not null"),
        (b"{}", "image_hash must be there"),
        (b'{"image_hash": ""}', "image_hash must be there"),
        (b'{"image_hash": 7}', "image_hash must be there"),
        (b'{"image_hash": "a", "caption": 7}', "caption must be a string or null, not a number"),
        (b'{"image_hash": "a", "url_link": ["x"]}', "url_link must be a string or null, not a list"),
        (b'{"image_hash": "a", "url_link": true}', "not true or false"),
        (b'{"image_hash": "a", "image_hash": "b"}', "the name 'image_hash' occurs twice"),
        (b'{"image_hash": "a", "x": NaN}', "NaN is not a JSON value"),
        (b'{"image_hash": "\xff"}', "not UTF-8 (byte 17 of the line)"),
        (b'{"image_hash": "a"} {"image_hash": "b"}', "not JSON"),
        (b'{"image_hash": "a", "x": ' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_bad_line_is_named_with_its_number(manifest, line, reason):
    path = manifest(b'{"image_hash": "good"}\n' + line + b'\n{"image_hash": "also good"}\n')
    with pytest.raises(SourceError) as caught:
        read_manifest(path)
    assert "has 1 bad line: line 2: " in str(caught.value)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_the_first_bad_lines_are_shown(manifest):
    with pytest.raises(SourceError) as caught:
        read_manifest(manifest(b"x\n" * 1_200))
    message = str(caught.value)
    assert "1,200 bad lines" in message
    assert "line 5:" in message
    assert "line 6:" not in message
    assert "and 1,195 more" in message


def test_bad_lines_can_be_collected_instead(manifest):
    bad: list[BadLine] = []
    rows = read_manifest(manifest(b'oops\n{"image_hash": "a"}\n[]\n'), on_bad_line=bad.append)
    assert [row.image_hash for row in rows] == ["a"]
    assert [line.number for line in bad] == [1, 3]


def test_a_missing_manifest_is_one_clear_line(tmp_path):
    with pytest.raises(SourceError, match=r"cannot read the manifest .*none\.jsonl: no such file or directory"):
        read_manifest(tmp_path / "none.jsonl")


def test_half_a_surrogate_pair_survives(manifest, tmp_path):
    rows = read_manifest(manifest(b'{"image_hash": "a", "caption": "\\ud83d"}'))
    write_manifest(tmp_path / "out.jsonl", rows)
    assert read_manifest(tmp_path / "out.jsonl") == rows


@pytest.mark.parametrize(
    "row",
    [
        ManifestRow(""),
        ManifestRow("a", extra={"caption": "hidden"}),
        ManifestRow("a", extra={"x": float("nan")}),
        ManifestRow("a", extra={"x": object()}),
    ],
)
def test_what_could_not_be_read_again_is_not_written(tmp_path, row):
    path = tmp_path / "out.jsonl"
    with pytest.raises(SourceError, match="row 2 cannot be written"):
        write_manifest(path, [ManifestRow("good"), row])
    assert list(tmp_path.iterdir()) == []


def test_rows_that_fail_midway_leave_the_earlier_file(manifest, tmp_path):
    path = manifest(PUBLISHED)

    def rows():
        yield ManifestRow("new")
        raise RuntimeError("source lost")

    with pytest.raises(RuntimeError, match="source lost"):
        write_manifest(path, rows())
    assert path.read_bytes() == PUBLISHED
    assert [entry.name for entry in tmp_path.iterdir()] == ["list.jsonl"]


def test_a_kill_in_the_middle_leaves_the_earlier_file(manifest):
    path = manifest(PUBLISHED)
    program = (
        "import sys, time\n"
        "from relsim.data.manifest import ManifestRow, write_manifest\n"
        "def rows():\n"
        "    for number in range(200_000):\n"
        "        yield ManifestRow(str(number))\n"
        "    sys.stdout.write('half\\n'); sys.stdout.flush()\n"
        "    time.sleep(60)\n"
        "write_manifest(sys.argv[1], rows())\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"half\n"
        writer.send_signal(signal.SIGKILL)
    assert path.read_bytes() == PUBLISHED
    assert write_manifest(path, [ManifestRow("after")]) == 1
    assert read_manifest(path) == [ManifestRow("after")]


def test_a_full_disk_leaves_the_earlier_file(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk can be mounted by root only")
    try:
        path = disk / "list.jsonl"
        path.write_bytes(PUBLISHED)
        with pytest.raises(SourceError, match="no space left on device"):
            write_manifest(path, (ManifestRow(str(number)) for number in range(100_000)))
        assert path.read_bytes() == PUBLISHED
        assert [entry.name for entry in disk.iterdir()] == ["list.jsonl"]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path):
    with pytest.raises(SourceError, match=r"cannot write the manifest .*: no such file or directory"):
        write_manifest(tmp_path / "none" / "list.jsonl", [])
