"""Every `relsim train …` that documents show is a run that could begin, and leaves the checkpoint they go on with."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^ *```sh\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
IN_A_LINE = re.compile(r"`relsim (train \w+ [^`]+)`")
PUBLISHED = "data: {train_json: groups.json, test_json: groups.json}\ntraining: {num_train_epochs: 50}\n"


def commands(text):
    """The words after `relsim` of each command of that name in a block of shell."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if "relsim" in words:
            yield words[words.index("relsim") + 1 :]


def shown():
    """Pages, each with the commands of a block, those of training among them."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        found = [list(commands(block)) for block in BLOCK.findall(text)]
        found += [[shlex.split(command)] for command in IN_A_LINE.findall(text)]
        yield from ((page.name, block) for block in found if any(words[:1] == ["train"] for words in block))


@pytest.fixture
def settings(verb, monkeypatch, tmp_path):
    """`settings(words)`: the configuration that a command comes to, in a folder with the files that documents name."""
    from relsim.training import filter_run, labels, loop

    calls = []

    def stand_in(config, *_, **__):
        calls.append(config)
        outcome = loop.Outcome(config.run.out, 5, tmp_path / "last", None, {})
        of_filter = filter_run.FilterOutcome(outcome, tmp_path / "last", {})
        return of_filter if config.objective.task == "yes_no" else outcome

    monkeypatch.setattr(loop, "train", stand_in)
    monkeypatch.setattr(filter_run, "train_filter", stand_in)
    monkeypatch.setattr(labels, "labelled_samples", lambda *_: [])
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "formats.md").read_text(), re.DOTALL)
    (tmp_path / "run.yaml").write_text(example)
    (tmp_path / "config.yaml").write_text(PUBLISHED)

    def run(words):
        result = verb(*words)
        assert result.exit_code == 0, f"{shlex.join(words)}: {result.stderr}"
        return calls.pop()

    return run


def holds_out(config):
    data = config.data
    apart = data.eval_manifest is not None or data.eval_crops is not None or bool(data.held_out_groups)
    return config.objective.task == "yes_no" or apart or data.eval_fraction > 0


@pytest.mark.parametrize("block", [pytest.param(block, id=page) for page, block in shown()])
def test_a_command_of_the_documents_is_a_run(settings, block):
    """Its settings are whole and valid, and where the block goes on with the best checkpoint, something is held out."""
    for words in block:
        if words[:1] != ["train"]:
            continue
        config = settings(words)
        goes_on = any(f"{config.run.out}/best" in word for others in block for word in others)
        assert holds_out(config) or not goes_on, f"{shlex.join(words)} leaves no {config.run.out}/best"


def test_the_documents_show_commands_of_every_kind():
    trained = [words[1] for _, block in shown() for words in block if words[0] == "train"]
    assert {"metric", "captioner", "filter"} <= set(trained)
    assert {page for page, _ in shown()} >= {"README.md", "training.md", "curation.md", "encoders.md", "filter.md"}


@pytest.mark.parametrize(
    ("words", "folder"),
    [
        (["metric", "a.jsonl"], "runs/metric"),
        (["captioner", "a.jsonl"], "runs/captioner"),
        (["filter", "a.jsonl"], "runs/filter"),
        (["captioner", "--config", "config.yaml"], "runs/captioner"),
        (["metric", "--config", "run.yaml"], "runs/metric"),
        (["metric", "a.jsonl", "--run-name", "mine"], "runs/mine"),
        (["metric", "a.jsonl", "--set", "run.out=there"], "there"),
        (["metric", "a.jsonl", "--out", "here"], "here"),
        (["metric", "a.jsonl", "--out", "here", "--run-name", "mine"], "here/mine"),
    ],
)
def test_a_run_has_a_folder_without_being_given_one(settings, words, folder):
    assert str(settings(["train", *words]).run.out) == folder
