"""What each lever of the forward pass gives: all on, then each off in turn, on the same pictures in the same run.

    python benchmarks/levers.py [--models golden,20m,90m] [--dtype NAME] [--images 16] [--rounds 3] [--json FILE]

Pictures are read and prepared once; what is measured is the way from patches to vectors, on one thread and by CPU time,
which other work on the machine changes least. Ways take turns round by round, and each one's median counts. Every way
must give the same vectors as all levers together (cosine 0.999 at least), so that nothing is measured that computes
something else. The last row is no lever that is off but one that is off by default: blocks compiled by torch. Padding
and 8-bit products are in docs/lab-log.md and docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the whole field uses

from _pictures import write_pictures
from against_published import CHECKOUT, machine, positive, say, write_json
from models import SHAPES, STOCK_TABLE_ROWS, write_model
from relsim.data.images import read_image
from relsim.data.records import ImageRecord
from relsim.encoders.stream import DEFAULT_BUDGET, cut_by_cost
from relsim.models import layers, layout, packed, tables
from relsim.models.layout import Segments
from relsim.models.loading import Engine, load_query_vlm
from relsim.models.pixels import Patches
from relsim.models.query_vlm import QueryVLM

LEAST_COSINE = 0.999
ALL = "all levers"
CPU_NORM = "norms of mixed types"
"""A lever of a CPU's; a GPU reads less without it, and has it off."""
Way = Callable[[QueryVLM], AbstractContextManager[Any]]


def patched(target: Any, name: str, value: Any) -> Way:
    """A way that puts `value` in the place of a part of the package."""
    return lambda _: mock.patch.object(target, name, value)


def attend_each(q: Tensor, k: Tensor, v: Tensor, segments: Sequence[Segments], **options: Any) -> Tensor:
    """`attend` with a product for every segment, as transformers has it, in place of one for each length."""
    single: list[Segments] = []
    for run in segments:
        for number in range(run.count):
            start, stop = number * run.length, (number + 1) * run.length
            rows = None if run.rows is None else run.rows[start:stop]
            single.append(Segments(run.start + start, 1, run.length, rows))
    return layers.attend(q, k, v, single, **options)


def rotate_in_reals(x: Tensor, rotation: Tensor) -> Tensor:
    """`rotate` by cosines and sines in place of one complex product."""
    cosine, sine = (part if x.dim() == part.dim() else part[:, None] for part in (rotation.real, rotation.imag))
    even, odd = x[..., 0::2].float(), x[..., 1::2].float()
    return torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], dim=-1).flatten(-2).to(x.dtype)


def mixed_norm(self: layers.Norm, x: Tensor) -> Tensor:
    """`Norm` without widening first."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
    scale = length.square_().div_(x.shape[-1]).add_(self.epsilon).rsqrt_()
    scaled: Tensor = (x * scale).to(x.dtype)
    return scaled.mul_(self.weight)


def whole_last_layer(head: Tensor | None = None) -> Callable[..., Tensor]:
    """The language model with every row of the last layer, and with `head` (V, H) its logits, as published."""

    def run(self: Any, x: Tensor, batch: tables.BatchTables, *_: Any) -> Tensor:
        for block, prefix in zip(self.blocks, self._prefix, strict=True):
            q, k, v = self._project(block, x, batch.token_rotation)
            x = self._finish(block, x, packed.attend(q, k, v, batch.layout.prompts, prefix=prefix, causal=True))
        x = self._norm(x)
        if head is not None:
            for run_of in batch.layout.prompts:  # one product for each picture: all logits at once are gigabytes
                for start in range(run_of.start, run_of.stop, run_of.length):
                    F.linear(x[start : start + run_of.length], head)
        return x[batch.last]

    return run


def with_head(vlm: QueryVLM) -> AbstractContextManager[Any]:
    """The published forward's head over all tokens, of the stock vocabulary; its result is thrown away, as there."""
    forward: Any = vlm._forward  # noqa: SLF001 - the benchmark looks inside
    suffix: Tensor = forward._suffix  # noqa: SLF001 - as above
    head = suffix.new_zeros((STOCK_TABLE_ROWS, suffix.shape[1]))
    head.uniform_(-0.1, 0.1)
    return mock.patch.object(packed._LanguageModel, "__call__", whole_last_layer(head))  # noqa: SLF001 - as above


@contextmanager
def prefix_every_time(vlm: QueryVLM) -> Iterator[None]:
    """The prompt before the image is read again for every picture."""
    forward: Any = vlm._forward  # noqa: SLF001 - the benchmark looks inside
    language = type(forward._language)  # noqa: SLF001 - as above
    call = language.__call__

    def run(self: Any, x: Tensor, batch: tables.BatchTables, *rest: Any) -> Tensor:
        for _ in range(len(batch.last)):
            self.read_prefix()
        found: Tensor = call(self, x, batch, *rest)
        return found

    with mock.patch.object(language, "__call__", run):
        yield


@contextmanager
def unfolded_pixels(vlm: QueryVLM) -> Iterator[None]:
    """Pixels scaled, normalised and repeated for the second frame, then multiplied, as the published processor does."""
    vision: Any = vlm._forward._vision  # type: ignore[attr-defined]  # noqa: SLF001 - the benchmark looks inside
    folded = vision._embed  # noqa: SLF001 - as above
    std, mean = (
        torch.tensor(values, device=folded.weight.device).repeat(vlm.pixels.patch_size**2)
        for values in (vlm.pixels.std, vlm.pixels.mean)
    )
    weight = folded.weight * (255 * std)
    twice = torch.cat([weight, weight], dim=1) / 2
    bias = folded.bias + weight @ (mean / std)

    def run(pixels: Tensor) -> Tensor:
        normalised = (pixels / 255 - mean) / std
        return F.linear(torch.cat([normalised, normalised], dim=1), twice, bias)

    with mock.patch.object(vision, "_embed", run):
        yield


@contextmanager
def tables_every_time(vlm: QueryVLM) -> Iterator[None]:
    """Layout and rotations of every batch anew, angles by cosine and sine."""
    forward: Any = vlm._forward  # noqa: SLF001 - the benchmark looks inside
    frequencies = forward._vision._frequencies  # noqa: SLF001 - as above

    def turned(_: tables.PatchRotations, positions: Tensor, places: int) -> Tensor:  # noqa: ARG001 - as the method's
        return layers.rotation_of((positions[..., None] * frequencies).flatten(1))

    with (
        mock.patch.object(tables.PatchRotations, "__call__", turned),
        mock.patch.object(layout, "grid_layout", layout.grid_layout.__wrapped__),
        mock.patch.object(layout, "prompt_positions", layout.prompt_positions.__wrapped__),
        mock.patch.object(
            forward,
            "_tables",
            forward._tables.__wrapped__,  # noqa: SLF001 - as above
        ),
    ):
        yield


WAYS: dict[str, Way] = {
    ALL: lambda _: nullcontext(),
    "head over all tokens (published)": with_head,
    "every row of the last layer": patched(packed._LanguageModel, "__call__", whole_last_layer()),  # noqa: SLF001 - the benchmark looks inside
    "prompt before the image read for every picture": prefix_every_time,
    "one product for each window and picture": patched(packed, "attend", attend_each),
    "rotation in real numbers": patched(packed, "rotate", rotate_in_reals),
    CPU_NORM: patched(layers.Norm, "__call__", mixed_norm),
    "pixels normalised and repeated": unfolded_pixels,
    "indices and rotations anew": tables_every_time,
}
ALONE = "one picture at a time"
PLAIN = "none: transformers' forward, one picture at a time, without the head"
COMPILED = "all levers, and blocks compiled by torch"
ENGINES: dict[str, Engine] = {ALL: "packed", PLAIN: "plain", COMPILED: "compiled"}


def embed(vlm: QueryVLM, prepared: Sequence[Patches], budget: int = DEFAULT_BUDGET) -> Tensor:
    """Vectors (len(prepared), D), in batches of so many tokens."""
    found = torch.empty(len(prepared), vlm.dimension)
    for rows in cut_by_cost([vlm.tokens(item) for item in prepared], budget):
        found[rows] = vlm.embed([prepared[row] for row in rows])
    return found


def measure(vlms: Mapping[str, QueryVLM], prepared: Sequence[Patches], rounds: int) -> dict[str, list[float]]:
    """CPU milliseconds per picture of every way, in each round; `vlms` are the model on each of its engines."""
    seconds: dict[str, list[float]] = {name: [] for name in (*WAYS, ALONE, PLAIN, COMPILED)}
    vlm = vlms[ALL]
    exact = embed(vlm, prepared)
    embed(vlms[COMPILED], prepared)  # its programs are made now
    for number in range(rounds):
        for name, taken in seconds.items():
            with ExitStack() as stack:
                stack.enter_context(WAYS.get(name, WAYS[ALL])(vlm))
                started = time.thread_time()
                found = embed(vlms.get(name, vlm), prepared, 1 if name in (ALONE, PLAIN) else DEFAULT_BUDGET)
                taken.append(1000 * (time.thread_time() - started) / len(prepared))
            cosine = float((found * exact).sum(dim=1).min())
            if not cosine >= LEAST_COSINE:
                raise SystemExit(f"{name}: another vector, cosine {cosine:.5f}")
        say(f"round {number + 1} of {rounds}: {ALL} {seconds[ALL][-1]:.1f} CPU ms per picture")
    return seconds


def table(found: dict[str, dict[str, list[float]]]) -> str:
    """Ways down, models across: pictures per second of one thread, and what the lever gives."""
    medians = {model: {name: statistics.median(taken) for name, taken in ways.items()} for model, ways in found.items()}
    lines = ["| without the lever | " + " | ".join(found) + " |", "| --- |" + " --- |" * len(found)]
    for name in next(iter(medians.values())):
        cells = [
            f"{1000 / ways[name]:.1f}" + ("" if name == ALL else f" (x {ways[name] / ways[ALL]:.2f})")
            for ways in medians.values()
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> int:
    """Write the models, measure each, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", default="golden,20m,90m", help="names with commas between")
    parser.add_argument("--dtype", default="float32,bfloat16", help="precisions with commas between")
    parser.add_argument("--images", type=positive, default=16)
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--scratch", type=Path, default=CHECKOUT / ".benchmarks", help="where models are written")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round here as well")
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    options.scratch.mkdir(parents=True, exist_ok=True)
    paths = write_pictures(options.scratch / "pictures", options.images)
    facts, found = machine(), {}
    for name in options.models.split(","):
        folder = CHECKOUT / "tests" / "golden" if name == "golden" else options.scratch / "models" / name
        if name != "golden":
            write_model(SHAPES[name], folder, CHECKOUT / "tests" / "golden")
        for dtype in options.dtype.split(","):
            given: dict[str, Any] = {"base_model": folder / "base", "device": "cpu", "dtype": dtype, "recipe": "native"}
            vlms = {way: load_query_vlm(folder / "relsim", **given, engine=engine) for way, engine in ENGINES.items()}
            prepared = [vlms[ALL].prepare(read_image(ImageRecord(path.name, str(path))).image) for path in paths]
            found[f"{name} {dtype}"] = measure(vlms, prepared, options.rounds)
    print(table(found))
    if options.json is not None:
        write_json(options.json, {"machine": facts, "images": len(paths), "rounds": found})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
