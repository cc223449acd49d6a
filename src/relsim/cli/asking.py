"""What verbs share that ask a model behind an endpoint: options, settings of a request, and the client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from relsim.endpoint.client import Endpoint
    from relsim.endpoint.replies import Prices, Reply

PANEL, _COST = "Asking", "Cost"
MAX_TOKENS = 256

MaxSide = Annotated[
    int, typer.Option(metavar="PIXELS", min=28, help="Send pictures with their longer side at most this long.")
]
KeyVariable = Annotated[
    str, typer.Option(metavar="NAME", help="Environment variable that holds the key.", rich_help_panel=PANEL)
]
Concurrency = Annotated[
    int, typer.Option(metavar="N", min=1, help="Questions under way at once.", rich_help_panel=PANEL)
]
PerMinute = Annotated[
    float | None, typer.Option(metavar="N", help="Questions a minute at most.", rich_help_panel=PANEL)
]
Timeout = Annotated[
    float, typer.Option(metavar="SECONDS", help="Time for one answer, to its last byte.", rich_help_panel=PANEL)
]
Tries = Annotated[int, typer.Option(metavar="N", min=1, help="Tries for each question.", rich_help_panel=PANEL)]
AskAgain = Annotated[
    bool, typer.Option("--ask-again", help="Ask anew where the kept answer is of no use.", rich_help_panel=PANEL)
]
PriceIn = Annotated[
    float | None, typer.Option(metavar="PRICE", help="Price of a million input tokens.", rich_help_panel=_COST)
]
PriceOut = Annotated[
    float | None, typer.Option(metavar="PRICE", help="Price of a million output tokens.", rich_help_panel=_COST)
]


def kept_in(default: str) -> Any:
    """The option for the folder of answers, which is somewhere else by default in each verb."""
    return typer.Option(metavar="DIR", help=f"Where answers are kept. Default: {default}.", rich_help_panel=PANEL)


def prices_of(price_in: float | None, price_out: float | None) -> Prices | None:
    """Both prices, or None without either. Raises `RelsimError` for one alone."""
    from relsim.endpoint.replies import Prices
    from relsim.errors import RelsimError

    if (price_in is None) != (price_out is None):
        raise RelsimError("a cost needs both prices: --price-in and --price-out")
    return Prices(price_in, price_out) if price_in is not None and price_out is not None else None


def settings_of(given: Sequence[str], own: Mapping[str, Any], *, keep_null: bool = False) -> dict[str, Any]:
    """Fields of the request: the verb's own, and what is given as NAME=VALUE; null takes one away.

    With `keep_null` it stays as None, to take away what is set later.
    """
    from relsim.errors import RelsimError

    settings: dict[str, Any] = dict(own)
    for text in given:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise RelsimError(f"--set {text!r} is not of the form NAME=VALUE, such as seed=1")
        try:
            settings[name] = json.loads(value)
        except ValueError:
            settings[name] = value
    return {name: value for name, value in settings.items() if keep_null or value is not None}


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """A folder of answers, made and locked from the first question to the last file. Raises `RelsimError`."""
    from relsim.errors import RelsimError
    from relsim.files import FileInUseError, exclusive_lock

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(folder / ".lock"):
            yield
    except FileInUseError as error:
        raise RelsimError(f"another process is asking for {folder}; let it finish, or name another folder") from error
    except OSError as error:
        raise RelsimError(f"{folder} cannot be written: {(error.strerror or str(error)).lower()}") from error


def open_endpoint(
    address: str,
    model: str,
    *,
    settings: dict[str, Any],
    limits: dict[str, Any],
    key_variable: str,
    replies: Path,
    ask_again: bool | Callable[[Reply], bool],
    api_version: str | None = None,
) -> Endpoint:
    """The client of these options, with a folder of answers. Raises `RelsimError`."""
    from relsim.endpoint.cache import ReplyCache
    from relsim.endpoint.client import Endpoint, key_of_environment
    from relsim.endpoint.pace import Policy
    from relsim.errors import RelsimError

    try:
        policy = Policy(**limits)
    except ValueError as error:
        raise RelsimError(str(error)) from error
    return Endpoint(
        address,
        model,
        key=key_of_environment(key_variable),
        settings=settings,
        cache=ReplyCache(replies),
        policy=policy,
        ask_again=ask_again,
        api_version=api_version,
    )
