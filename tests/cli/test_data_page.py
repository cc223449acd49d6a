"""docs/data.md: its commands are ones that the command line takes, and its calls are ones that Python can make."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from relsim.cli.main import app
from relsim.data.catalog import CATALOG

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line.startswith("relsim ")]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_page_is_one(line):
    """Verbs, options and arguments are known, and none is missing."""
    words = shlex.split(line, comments=True)[1:]
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context(command.name, words)


def test_every_verb_of_data_is_on_the_page():
    group = typer.main.get_command(app).commands["data"]
    assert [name for name in group.commands if f"relsim data {name} " not in PAGE and f"data {name} " not in PAGE] == []


def test_the_table_has_every_collection_with_its_images():
    rows = {line.split("|")[1].strip(): line for line in PAGE.splitlines() if line.startswith("| `")}
    for entry in CATALOG:
        (line,) = (line for name, line in rows.items() if name.startswith(f"`{entry.name}`"))
        assert f"{entry.images:,}" in line


def test_the_calls_of_the_page_run(tmp_path, make_shards, golden_paths, monkeypatch):
    """All of them, on small collections of these names."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    images = {path.stem: path.read_bytes() for path in golden_paths[:4]}
    for name in ("shards", "their-shards"):
        make_shards(tmp_path / name, images)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "random_images_14k.jsonl").write_text('{"image_hash": "a"}\n')
    exec(code, {})  # noqa: S102 - the page's own text
    assert {path.name for path in tmp_path.iterdir()} >= {"kept.jsonl", "split", "tars"}
