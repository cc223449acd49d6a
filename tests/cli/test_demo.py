"""`relsim demo`: it runs to its end, and the commands that it shows are commands that work."""

import shlex
from itertools import takewhile
from pathlib import Path

import pytest

from relsim.demo.workshop import Size


def commands_of(output):
    """{command: lines below it} of what a demo printed."""
    commands, current = {}, []
    for line in output.splitlines():
        if line.startswith("$ relsim "):
            current = commands[line.removeprefix("$ relsim ")] = []
        else:
            current.append(line)
    return commands


@pytest.fixture(scope="module")
def shown(tmp_path_factory, run, golden, model_flags):
    """What a demo of one's own folder, in a process of its own, printed; its tables are kept."""
    folder = tmp_path_factory.mktemp("demo")
    result = run("demo", "--images", golden / "images", "--out", folder, *model_flags)
    assert (result.returncode, result.stderr) == (0, "")
    return commands_of(result.stdout)


@pytest.fixture
def small(monkeypatch):
    """A demo of few pictures."""
    monkeypatch.setattr("relsim.demo.workshop.Size", lambda: Size(scenes=12, triplets=4, seed=3))


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


def test_photographs_are_warned_of_once_a_model(run, tmp_path, noise):
    (tmp_path / "photographs").mkdir()
    for number in range(3):
        noise(200, 150, number).save(tmp_path / "photographs" / f"{number}.png")
    result = run("score", tmp_path / "photographs", "--device", "cpu")
    assert result.returncode == 0
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("relsim: relsim-mini was trained on drawings")
    assert "thaoshibe/relsim-qwenvl25-lora" in result.stderr


def test_without_a_folder_it_draws_a_world_and_reports(verb, tmp_path, monkeypatch, small):
    monkeypatch.chdir(tmp_path)
    result = verb("demo", "--device", "cpu", "--dtype", "float32")
    assert (result.exit_code, result.stderr) == (0, "")
    report = Path(result.stdout.rstrip().splitlines()[-1].rpartition(": ")[2])
    assert report == tmp_path / "relsim-demo" / "report.html"
    assert report.read_text().startswith("<!doctype html>")
    commands = commands_of(result.stdout)
    for command in commands:
        elsewhere = "again" if command.startswith("demo world") else "relsim-demo/world"
        pasted = verb(*shlex.split(command.replace("relsim-demo/world", elsewhere)))
        told = pasted.stderr.startswith("4 captions; ") if command.startswith("caption") else pasted.stderr == ""
        assert (pasted.exit_code, told) == (0, True), command
    first = next(lines for command, lines in commands.items() if command.startswith("score"))
    assert first == []  # several commands stand together, their results below
    assert sorted(path.name for path in Path("again/images").iterdir()) == sorted(
        path.name for path in Path("relsim-demo/world/images").iterdir()
    )
    assert Path("again/manifest.jsonl").read_bytes() == Path("relsim-demo/world/manifest.jsonl").read_bytes()


def test_a_second_demo_takes_a_new_folder(verb, tmp_path, monkeypatch):
    from relsim.cli import demo

    monkeypatch.chdir(tmp_path)
    for name in ("relsim-demo", "relsim-demo-2"):
        assert str(demo.free_folder(Path("relsim-demo"))) == name
        Path(name).mkdir()


def test_a_folder_that_holds_something_is_left_alone(refused, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    assert "exists already" in refused("demo", "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_checkpoint_without_a_folder_is_refused(refused, golden):
    assert "--checkpoint: the drawn world" in refused("demo", "-c", golden / "relsim")


class TestWorld:
    def test_it_writes_a_gallery_that_embeds(self, verb, tmp_path):
        made = verb("demo", "world", "--out", tmp_path / "w", "--count", 5, "--triplets", 1, "--size", 56)
        assert (made.exit_code, made.stderr) == (0, "")
        assert made.stdout == f"{tmp_path}/w/manifest.jsonl: 14 pictures, 3 triplets\n"
        where = ("--image-folder", tmp_path / "w" / "images")
        result = verb("embed", tmp_path / "w" / "manifest.jsonl", *where, "-o", tmp_path / "t", "--encoder", "fake")
        assert (result.exit_code, result.stderr) == (0, "")
        assert "14 rows in the table" in result.stdout
        measured = verb("evaluate", "triplets", tmp_path / "w", "--encoder", "descriptors")
        assert (measured.exit_code, measured.stderr) == (0, "")

    def test_a_sheet_alone(self, verb, tmp_path):
        result = verb("demo", "world", "--sheet", tmp_path / "sheet.png")
        assert (result.exit_code, result.stdout) == (0, f"{tmp_path}/sheet.png\n")

    def test_it_must_know_where_to(self, refused):
        assert "--out DIR" in refused("demo", "world")

    def test_an_existing_folder_is_refused(self, refused, tmp_path):
        assert "exists already" in refused("demo", "world", "--out", tmp_path)

    @pytest.mark.parametrize(("option", "value"), [("--split", "test"), ("--size", 5), ("--count", -1)])
    def test_wrong_usage_exits_2(self, verb, tmp_path, option, value):
        assert verb("demo", "world", "--out", tmp_path / "w", option, value).exit_code == 2
