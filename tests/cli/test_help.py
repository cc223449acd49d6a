"""Help texts and docs/cli.md, which is made of the same."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import relsim
import relsim.cli.verbs
from relsim.cli.main import app

ROOT = Path(__file__).parents[2]
GROUP = typer.main.get_command(app)


def verbs(group, *before):
    """Every verb by the words that call it, those below others included."""
    for name, command in group.commands.items():
        yield (*before, name), command
        if hasattr(command, "commands"):
            yield from verbs(command, *before, name)


VERBS = dict(verbs(GROUP))


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_help_mentions_every_option_and_verb(words, flag, verb):
    result = verb(*words, flag)
    assert (result.exit_code, result.stderr) == (0, "")
    command = VERBS[words]
    below = list(getattr(command, "commands", ()))
    assert below or [option for param in command.params for option in param.opts if option.startswith("-")]
    for param in command.params:
        shown = param.opts if param.param_type_name == "option" else [param.metavar]
        assert [option for option in shown if option not in result.stdout] == []
    assert [name for name in below if f"  {name} " not in result.stdout] == []


def test_nothing_is_without_help():
    assert all(command.help for command in VERBS.values())
    params = [param for command in (GROUP, *VERBS.values()) for param in command.params]
    assert [param.name for param in params if not param.help] == []


def test_lists_say_what_the_verbs_themselves_say():
    """Lists are made without loading the verbs; the first sentence of a verb's help is the text in the list."""

    def told(entries, commands):
        for name, entry in entries.items():
            yield name, entry.help, commands[name].help.partition("\n\n")[0].replace("\n", " ")
            yield from told(getattr(entry, "below", {}), getattr(commands[name], "commands", {}))

    listed = [row for part in relsim.cli.verbs.VERBS.values() for row in told(part, GROUP.commands)]
    assert len(listed) == len(VERBS)
    assert [(name, short, whole) for name, short, whole in listed if not whole.startswith(short)] == []


def test_a_list_loads_no_verb():
    code = (
        "import sys; sys.argv[1:] = ['--help']; from relsim.cli.main import main\n"
        "try: main()\nfinally: print(sorted(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "'relsim.cli.verbs'" in shown
    assert "'relsim.cli.score'" not in shown


def test_no_verb_can_be_taken_away():
    with pytest.raises(TypeError, match="score"):
        del GROUP.commands["score"]


def test_the_group_lists_every_verb(verb):
    for arguments in (["--help"], []):
        shown = verb(*arguments)
        text = shown.stdout + shown.stderr
        assert [name for name in GROUP.commands if f"  {name} " not in text] == []


def test_the_version(verb):
    result = verb("--version")
    assert (result.exit_code, result.stdout) == (0, f"relsim {relsim.__version__}\n")


def test_verbose_logs_what_relsim_does_and_nothing_else(verb, golden_paths, model_flags, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("relsim"), "level", logging.NOTSET)  # and set back afterwards
    result = verb("-v", "score", *golden_paths[:2], *model_flags, "--recipe", "crop448")
    assert result.exit_code == 0
    assert "recipe crop448 in place of the checkpoint's native" in caplog.messages
    assert {record.name.partition(".")[0] for record in caplog.records} == {"relsim"}


def test_the_page_of_the_command_line_is_up_to_date():
    script = ROOT / "docs" / "generate_cli.py"
    result = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert result.stderr == ""
    assert result.returncode == 0


def test_a_page_that_is_behind_is_told_with_the_command(tmp_path):
    (tmp_path / "generate_cli.py").write_text((ROOT / "docs" / "generate_cli.py").read_text())
    (tmp_path / "cli.md").write_text("# The command line\n")
    command = [sys.executable, tmp_path / "generate_cli.py"]
    behind = subprocess.run([*command, "--check"], capture_output=True, text=True, check=False)
    assert behind.returncode == 1
    assert behind.stderr.rstrip().endswith("write it again: python docs/generate_cli.py")
    subprocess.run(command, check=True)
    assert (tmp_path / "cli.md").read_text() == (ROOT / "docs" / "cli.md").read_text()
