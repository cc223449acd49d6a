"""Write docs/cli.md from the command line itself; with --check, say whether it is up to date (exit 1 if not).

Made of the parameters and not of the help pages, so that it does not change with the width of a terminal or with
the version of the library that formats help.
"""

# ruff: noqa: INP001 - a script, not a package

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from relsim.cli.main import app

TARGET = Path(__file__).with_name("cli.md")
COMMAND = "python docs/generate_cli.py"

HEAD = f"""\
# The command line

<!-- Made by `{COMMAND}`. Edit the help texts in src/relsim/cli/, not this file. -->

`relsim VERB --help` shows the same. Results go to stdout, everything else to stderr.

| exit code | meaning |
| --- | --- |
| 0 | done |
| 1 | a known error, told in one line; of `data verify`, faults were found |
| 2 | wrong usage |
| 3 | done, but some images could not be used |
| 130 | interrupted |
"""


def page() -> str:
    """The whole page."""
    group: Any = typer.main.get_command(app)
    parts = [HEAD, "## relsim\n", f"{group.help}\n", *_table("option", _options(group))]
    for name, verb in _verbs(group):
        parts += [f"## relsim {name}\n", f"    relsim {name} {_usage(verb)}\n", f"{inspect.cleandoc(verb.help)}\n"]
        parts += [*_table("argument", _arguments(verb)), *_table("option", _options(verb))]
    return "\n".join(parts)


def _verbs(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Every verb with its whole name; a verb of its own verbs comes before them."""
    for name, verb in group.commands.items():
        yield before + name, verb
        if hasattr(verb, "commands"):
            yield from _verbs(verb, f"{before}{name} ")


def _usage(verb: Any) -> str:
    arguments = [param for param in verb.params if param.param_type_name == "argument"]
    words = [param.metavar + ("..." if param.nargs == -1 else "") for param in arguments]
    needed = [f"{param.opts[0]} {param.metavar}" for param in verb.params if _is_option(param) and param.required]
    if any(_is_option(param) for param in verb.params):
        needed.append("[OPTIONS]")
    if hasattr(verb, "commands"):
        needed.append("[VERB]" if verb.invoke_without_command else "VERB")
    return " ".join([*words, *needed])


def _arguments(verb: Any) -> Iterator[tuple[str, str, str]]:
    for param in verb.params:
        if param.param_type_name == "argument":
            yield f"`{param.metavar}`", param.help, ""


def _options(verb: Any) -> Iterator[tuple[str, str, str]]:
    for param in verb.params:
        if _is_option(param) and not param.hidden:
            value = "" if param.is_flag else f" {param.metavar}"
            names = ", ".join(f"`{name}{value}`" for name in sorted(param.opts, key=len))
            default = "required" if param.required else param.default
            yield (
                names,
                param.help,
                "" if default in (None, False, "") else f"`{default}`".replace("`required`", "required"),
            )


def _table(kind: str, rows: Iterator[tuple[str, str, str]]) -> Iterator[str]:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    if not cells:
        return
    with_default = any(row[2] for row in cells)
    head = [kind, "meaning", "default"][: 3 if with_default else 2]
    yield "| " + " | ".join(head) + " |"
    yield "| " + " | ".join("---" for _ in head) + " |"
    for row in cells:
        yield "| " + " | ".join(row[: len(head)]).rstrip() + " |"
    yield ""


def _is_option(param: Any) -> bool:
    return bool(param.param_type_name == "option") and param.name != "help"


def main() -> None:
    """Write the page, or with --check compare it."""
    text = page().rstrip() + "\n"
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text, encoding="utf-8")
    elif not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text:
        sys.exit(f"docs/cli.md is not what the command line says now; write it again: {COMMAND}")


if __name__ == "__main__":
    main()
