"""`relsim demo`: it runs to its end, and the commands that it shows are commands that work."""

import shlex
from itertools import takewhile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def shown(tmp_path_factory, run, golden, model_flags):
    """What a demo in a process of its own printed, its tables kept, as {command: lines below it}."""
    folder = tmp_path_factory.mktemp("demo")
    result = run("demo", "--images", golden / "images", "--out", folder, *model_flags)
    assert (result.returncode, result.stderr) == (0, "")
    commands, current = {}, []
    for line in result.stdout.splitlines():
        if line.startswith("$ relsim "):
            current = commands[line.removeprefix("$ relsim ")] = []
        else:
            current.append(line)
    return commands


def test_it_scores_embeds_and_searches(shown):
    assert [shlex.split(command)[0] for command in shown] == ["score", "embed", "embed", "search", "search", "search"]


def test_its_score_is_the_golden_one(shown, expected):
    """The first two images, scored in a process of its own."""
    score = next(lines[0] for command, lines in shown.items() if command.startswith("score"))
    assert float(score) == pytest.approx(expected["scores_first4"][0][1], abs=1e-4)


def test_every_command_works_when_it_is_pasted(shown, verb):
    """And prints what the demo printed, except that the tables are there by now."""
    for command, lines in shown.items():
        result = verb(*shlex.split(command))
        assert (result.exit_code, result.stderr) == (0, ""), command
        if command.startswith("embed"):
            assert "0 embedded, 17 were there; 17 rows" in result.stdout
        else:
            assert result.stdout.splitlines() == list(takewhile(bool, lines))


def test_its_tables_are_temporary_unless_asked_for(verb, plain_images, tmp_path, model_flags):
    folder = plain_images(tmp_path / "images", {"a.png": "red", "b.png": "blue", "c.png": "green"})
    (folder / "d.png").write_bytes(b"")
    result = verb("demo", "--images", folder, *model_flags)
    assert result.exit_code == 0
    assert result.stdout.endswith("The tables were temporary; --out DIR keeps them.\n")
    assert result.stderr.count("d.png: the file is empty (empty)") == 2
    table = next(line for line in result.stdout.splitlines() if "rows in the table" in line).partition(":")[0]
    assert "relsim-demo-" in table
    assert not Path(table).exists()


def test_two_images_are_too_few(refused, plain_images, tmp_path, model_flags):
    folder = plain_images(tmp_path / "images", {"a.png": "red", "b.png": "blue"})
    assert "holds 2 images; the demo needs at least three" in refused("demo", "--images", folder, *model_flags)
