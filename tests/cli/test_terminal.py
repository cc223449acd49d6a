"""What a person sees in a terminal of 80 columns."""

import re
import sys

import pytest

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def test_the_bar_tells_speed_time_left_and_failures_and_stdout_stays_clean(in_terminal, many, tmp_path):
    code, shown, out = in_terminal(
        "embed", many, "--encoder", "slow_encoder:Slow", "--part-rows", 16, "--out", tmp_path / "t", stream="stderr"
    )
    assert code == 3
    frames = [ESCAPE.sub("", frame).strip() for frame in re.split(r"[\r\n]|\x1b\[2K", shown)]
    bars = [frame for frame in frames if frame.startswith("embedding") and "images/s" in frame]
    assert bars
    assert max(len(frame) for frame in frames if frame.startswith("embedding")) <= 80
    found = [re.search(r"(\d+)/200 +([\d.]+) images/s, (\d+:\d\d:\d\d) left", bar) for bar in bars]
    assert all(found)
    done = [int(match[1]) for match in found]
    assert done == sorted(done)
    assert all(float(match[2]) < 2000 for match in found)
    assert any("1 failed" in bar for bar in bars)
    # The bar is gone in the end; what remains is the summary.
    assert not frames[-1]
    assert "195-link.png: a link that leads nowhere (missing)" in frames[-2]
    assert re.fullmatch(r".*/t: 196 embedded in [\d.]+ s \([\d.]+ images/s\); 196 rows in the table\n", out)


def test_a_continued_run_counts_what_is_left(in_terminal, run, many, tmp_path):
    images = [many / f"{number}.png" for number in range(40)]
    slow = ["--encoder", "slow_encoder:Slow", "--part-rows", "8", "--out", tmp_path / "t"]
    run("embed", *images[:30], *slow)
    _, shown, out = in_terminal("embed", *images, *slow, stream="stderr")
    assert "/10" in shown
    assert "10 embedded" in out
    assert "30 were there" in out


def test_json_shows_no_bar(in_terminal, plain_images, tmp_path):
    folder = plain_images(tmp_path / "images", {"a.png": "red"})
    code, shown, out = in_terminal(
        "embed", folder, "--encoder", "fake", "--out", tmp_path / "t", "--json", stream="stderr"
    )
    assert (code, shown) == (0, "")
    assert out.startswith("{")


@pytest.fixture(scope="module")
def products(golden_embeddings):
    return golden_embeddings @ golden_embeddings.T


@pytest.fixture(scope="module")
def matrix(in_terminal, expected, products):
    """What `relsim score` prints of the golden scores, without the model behind it."""
    code = f"from relsim.cli.output import print_matrix; print_matrix({expected['images']}, {products.tolist()})"
    return in_terminal(code, command=[sys.executable, "-c"])


def test_a_wide_matrix_keeps_to_the_terminal(matrix, expected):
    code, shown, err = matrix
    lines = shown.splitlines()
    assert (code, err) == (0, "")
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line != line.rstrip()] == []
    names = dict(line.split() for line in lines if line.endswith((".png", ".jpg")))
    assert list(names.values()) == expected["images"]


def test_a_wide_matrix_is_cut_by_columns_and_whole(matrix, products):
    blocks = [block.splitlines() for block in matrix[1].split("\n\n")[1:]]
    assert [number for block in blocks for number in block[0].split()] == [str(number) for number in range(1, 18)]
    rows = [[float(cell) for block in blocks for cell in block[number].split()[1:]] for number in range(1, 18)]
    assert [cell for row in rows for cell in row] == pytest.approx(products.ravel().tolist(), abs=6e-4)


@pytest.mark.parametrize("verb_name", ["", "score", "embed", "search", "demo", "doctor"])
def test_help_keeps_to_the_terminal(verb_name, in_terminal):
    code, shown, _ = in_terminal(*filter(None, [verb_name]), "--help")
    assert code == 0
    assert max(map(len, shown.splitlines())) <= 80
    assert "\x1b" not in shown
    assert "..." not in shown.partition("Commands:")[2]
