"""Where the time of an embedding goes: CPU milliseconds per picture and stage, on one thread.

    python benchmarks/stages.py [--checkpoint DIR [--base DIR]] [--recipe NAME] [--pictures DIR] [--json FILE]

Files are read, prepared and embedded by this package's own functions, one after another and without its pools, while a
clock of this thread's CPU time stands around each stage. A stage inside another one counts for itself alone, so the
stages add up to the whole. Precisions take turns round by round on the same files, and each stage's least round counts:
other work on the machine makes a stage dearer (it empties caches) and never cheaper.

The clocks themselves take a microsecond or two per call, of which a batch has some hundreds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from PIL import Image

from _pictures import write_pictures
from against_published import CHECKOUT, machine, positive, say, write_json
from relsim import relsim
from relsim.data.images import load_image
from relsim.data.records import ImageRecord, LoadedImage
from relsim.encoders.stream import DEFAULT_BUDGET, cut_by_cost
from relsim.metric import RelationalSimilarity
from relsim.models import layers, packed, query_vlm, tables

Milliseconds = dict[str, float]

READ, REST = "reading and decoding", "everything else"
TOWERS: tuple[tuple[str, Any], ...] = (
    ("vision", packed._VisionTower),  # noqa: SLF001 - the benchmark looks inside
    ("language", packed._LanguageModel),  # noqa: SLF001 - see above
)
PARTS: tuple[tuple[str, Any, str], ...] = (
    ("products", layers.Linear, "__call__"),
    ("gated MLP, but for its products", layers.GatedMLP, "__call__"),
    ("norms", layers.Norm, "__call__"),
    ("rotation", packed, "rotate"),
    ("attention", packed, "attend"),
    ("attention", packed, "attend_last"),
)
PREPARING: tuple[tuple[str, Any, str], ...] = (
    ("resizing", Image.Image, "resize"),
    ("cutting into patches", query_vlm, "cut"),
    ("layout and rotations", tables, "batch_layout"),
    ("layout and rotations", tables.PatchRotations, "__call__"),
    ("layout and rotations", tables.TokenRotations, "__call__"),
)


class Clock:
    """CPU seconds of this thread by stage; what is spent in an inner stage is not the outer one's."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._open: list[str] = []
        self._since = time.thread_time()

    @contextmanager
    def stage(self, name: str, *, inside: bool = False) -> Iterator[None]:
        """Charge what happens to `name`, or with `inside` to `name` as a part of the stage around it."""
        if inside:
            around = next((one for one in reversed(self._open) if one in dict(TOWERS)), None)
            name = name if around is None else f"{around}: {name}"
        self._charge()
        self._open.append(name)
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    def _charge(self) -> None:
        now = time.thread_time()
        if self._open:
            self.seconds[self._open[-1]] = self.seconds.get(self._open[-1], 0.0) + now - self._since
        self._since = now


@contextmanager
def clocked(clock: Clock) -> Iterator[None]:
    """The package with a clock around each stage."""

    def around(target: Any, attribute: str, name: str, *, inside: bool = False) -> Any:
        return mock.patch.object(target, attribute, _timed(clock, getattr(target, attribute), name, inside=inside))

    with ExitStack() as stack:
        for name, target, attribute in PREPARING:
            stack.enter_context(around(target, attribute, name))
        for name, tower in TOWERS:
            stack.enter_context(around(tower, "__call__", name))
        for name, target, attribute in PARTS:
            stack.enter_context(around(target, attribute, name, inside=True))
        yield


def _timed(clock: Clock, function: Callable[..., Any], name: str, *, inside: bool) -> Callable[..., Any]:
    @wraps(function)
    def run(*positional: Any, **named: Any) -> Any:
        with clock.stage(name, inside=inside):
            return function(*positional, **named)

    return run


def one_pass(model: RelationalSimilarity, paths: Sequence[Path]) -> Milliseconds:
    """CPU milliseconds per picture of each stage, in one pass over all files."""
    clock = Clock()
    encoder = model.encoder
    forward: Any = model.vlm._forward  # noqa: SLF001 - the benchmark looks inside
    forward._tables.cache_clear()  # noqa: SLF001 - pictures of their own sizes hardly make the same batch twice
    with clocked(clock), clock.stage(REST):
        prepared = []
        for path in paths:
            with clock.stage(READ):
                loaded = load_image(ImageRecord(str(path), str(path)))
            if not isinstance(loaded, LoadedImage):
                raise SystemExit(f"{path} cannot be used: {loaded.reason}")
            prepared.append(encoder.prepare(loaded.image))
        for rows in cut_by_cost([encoder.cost(item) for item in prepared], DEFAULT_BUDGET):
            encoder.encode([prepared[row] for row in rows])
    return {name: 1000 * seconds / len(paths) for name, seconds in clock.seconds.items()}


def least(rounds: Sequence[Milliseconds]) -> Milliseconds:
    """Each stage's least round, the dearest stage first."""
    stages = {name: min(one.get(name, 0.0) for one in rounds) for name in rounds[0]}
    return dict(sorted(stages.items(), key=lambda item: -item[1]))


def table(found: dict[str, Milliseconds]) -> str:
    """Stages down, precisions across."""
    names = list(dict.fromkeys(name for stages in found.values() for name in stages))
    lines = [f"| stage, CPU ms per picture | {' | '.join(found)} |", "| --- |" + " --- |" * len(found)]
    lines += [f"| {name} | {' | '.join(f'{stages.get(name, 0):.2f}' for stages in found.values())} |" for name in names]
    return "\n".join([*lines, f"| all | {' | '.join(f'{sum(stages.values()):.2f}' for stages in found.values())} |"])


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    golden = CHECKOUT / "tests" / "golden"
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--checkpoint", default=str(golden / "relsim"), help="folder or name of an embedded checkpoint")
    parser.add_argument("--base", help="folder of its base model; by default the one that the checkpoint names")
    parser.add_argument("--recipe", default="native", help="`own` for the checkpoint's")
    parser.add_argument("--dtypes", default="float32,bfloat16", help="precisions, with commas between")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="by default those of against_published.py")
    parser.add_argument("--images", type=positive, default=48, help="how many of them at most")
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--scratch", type=Path, default=CHECKOUT / ".benchmarks", help="where pictures are written")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round here as well")
    options = parser.parse_args(words)
    if options.base is None and options.checkpoint == str(golden / "relsim"):
        options.base = str(golden / "base")
    return options


def main(words: Sequence[str] | None = None) -> int:
    """Load a model per precision, pass over the files in turns, print the table."""
    options = arguments(words)
    torch.set_num_threads(1)
    if options.pictures is None:
        paths = write_pictures(options.scratch / "pictures", options.images)
    else:
        paths = sorted(options.pictures.iterdir())[: options.images]
    models: dict[str, RelationalSimilarity] = {}
    for dtype in options.dtypes.split(","):
        models[dtype], _ = relsim(
            checkpoint_dir=options.checkpoint,
            base_model=options.base,
            device="cpu",
            dtype=dtype,
            recipe=None if options.recipe == "own" else options.recipe,
        )
        one_pass(models[dtype], paths[:4])
    rounds: dict[str, list[Milliseconds]] = {dtype: [] for dtype in models}
    for number in range(1, options.rounds + 1):
        for dtype, model in models.items():
            rounds[dtype].append(one_pass(model, paths))
            total = sum(rounds[dtype][-1].values())
            say(f"{dtype} round {number} of {options.rounds}: {total:.1f} CPU ms per picture")
    found = {dtype: least(passes) for dtype, passes in rounds.items()}
    print(table(found))
    if options.json is not None:
        facts = {"machine": machine(), "images": len(paths), "checkpoint": options.checkpoint}
        write_json(options.json, {**facts, "least": found, "rounds": rounds})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
