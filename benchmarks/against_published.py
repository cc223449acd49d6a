"""Speed, memory and agreement of this package against the published relsim 0.1.0, side by side in one run.

    python benchmarks/against_published.py [--models golden,20m,90m] [--rounds 5] [--images 48] [--json FILE]

Both packages get the same weights, the same image files and the `native` recipe, and run in turns (A B A B …), each
pass in a process of its own: load, warm up on two images, then one timed pass from file to embedding. The published
package runs in an environment of its own, which is made with pip when it is not there.

Exit code 1: the float32 embeddings of some image disagree (cosine under 0.9999), or a pass failed. A missed speed
target does not change the exit code: speed belongs to the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from _comparison import MIN_COSINE, NOISY_SPREAD, Comparison, Pass, table
from _pictures import write_pictures
from _published_env import EnvironmentProblemError, published_python
from models import SHAPES, write_model

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent

QUIET_LOAD = 0.5
"""Load average above which other programs use the processors."""


@dataclass(frozen=True, slots=True)
class Case:
    """A model to compare on: the precision of the timed passes and the speed ratio that is aimed at."""

    dtype: str
    target: float


CASES = {"golden": Case("float32", 6.0), "20m": Case("bfloat16", 12.0), "90m": Case("bfloat16", 60.0)}


class PassError(Exception):
    """A worker did not finish."""


@dataclass(frozen=True, slots=True)
class Runner:
    """Starts workers: one package, one model, one precision, one pass."""

    published: Path
    scratch: Path
    images: Path
    threads: int

    def run(self, package: str, folder: Path, dtype: str) -> Pass:
        """One pass of `package` ("published" or "ours") over the images with the model in `folder`."""
        python = self.published if package == "published" else Path(sys.executable)
        with tempfile.TemporaryDirectory(dir=self.scratch) as place:
            out = Path(place) / package
            command = [str(python), str(HERE / f"_{package}_worker.py")]
            command += ["--base", str(folder / "base"), "--checkpoint", str(folder / "relsim")]
            command += ["--images", str(self.images), "--dtype", dtype]
            command += ["--threads", str(self.threads), "--out", str(out)]
            done = subprocess.run(command, env=self._environment(package), capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise PassError(f"the pass of {package} in {dtype} over {folder} failed:\n{done.stderr[-3000:]}")
            facts = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
            return Pass(vectors=np.load(out.with_suffix(".npy")).astype(np.float64), **facts)

    def _environment(self, package: str) -> dict[str, str]:
        environment = dict(os.environ)
        if package == "published":
            # A path to our sources would put our relsim in the place of the published one.
            environment.pop("PYTHONPATH", None)
        count = str(self.threads)
        offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
        return environment | offline | {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count}


def compare(name: str, folder: Path, runner: Runner, rounds: int, *, same_precision: bool) -> Comparison:
    """All rounds of one model, and for a bf16 model one more pair in float32."""
    case = CASES[name]
    ours_dtype = case.dtype if same_precision or case.dtype == "float32" else "default"
    published, ours = [], []
    for number in range(1, rounds + 1):
        published.append(runner.run("published", folder, case.dtype))
        ours.append(runner.run("ours", folder, ours_dtype))
        say(
            f"{name} round {number} of {rounds}: published {published[-1].images_per_second:.2f}, "
            f"ours {ours[-1].images_per_second:.2f} images/s"
        )
    exact = (published[-1], ours[-1])
    if case.dtype != "float32":
        say(f"{name}: agreement in float32")
        exact = (runner.run("published", folder, "float32"), runner.run("ours", folder, "float32"))
    label = case.dtype if ours_dtype == case.dtype else f"{case.dtype}, ours in its default"
    return Comparison(name, label, case.target, published, ours, exact)


def machine() -> dict[str, Any]:
    """What the speed depends on: processor, its matrix instructions, number of processors, other work."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    lines = dict(line.split(":", 1) for line in reversed(text.splitlines()) if ":" in line)
    facts = {key.strip(): value.strip() for key, value in lines.items()}
    flags = facts.get("flags", "").split()
    wanted = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
    return {
        "processor": facts.get("model name", platform.processor()),
        "instructions": [flag for flag in wanted if flag in flags],
        "processors": len(os.sched_getaffinity(0)),
        "load_before": os.getloadavg()[0],
    }


def say(line: str) -> None:
    """Progress, for people: standard error."""
    print(line, file=sys.stderr, flush=True)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write to a temporary name beside `path`, then rename."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", type=model_names, default=list(CASES), help="names with commas between")
    parser.add_argument("--rounds", type=positive, default=5, help="pairs of passes per model")
    parser.add_argument("--images", type=positive, default=48, help="number of picture files")
    parser.add_argument("--threads", type=positive, default=2, help="processors that each package may use")
    parser.add_argument(
        "--same-precision",
        action="store_true",
        help="run ours in bf16 where the published package does, not in what it takes by default on this processor",
    )
    parser.add_argument("--golden", type=Path, default=CHECKOUT / "tests" / "golden", help="the golden checkpoint")
    parser.add_argument("--published-env", type=Path, default=CHECKOUT / ".venv-published", metavar="DIR")
    parser.add_argument("--scratch", type=Path, default=CHECKOUT / ".benchmarks", help="where models and pictures go")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure here as well")
    options = parser.parse_args(words)
    if not (options.golden / "relsim").is_dir():
        parser.error(f"{options.golden} has no folder relsim: name the golden checkpoint with --golden")
    if options.threads > len(os.sched_getaffinity(0)):
        parser.error(f"--threads {options.threads}: only {len(os.sched_getaffinity(0))} processors may be used here")
    return options


def model_names(text: str) -> list[str]:
    """Names of CASES from a list with commas."""
    names = text.split(",")
    unknown = [name for name in names if name not in CASES]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown model {unknown[0]!r}, known are {', '.join(CASES)}")
    return names


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def main(words: Sequence[str] | None = None) -> int:
    """Make what is missing, run, print the table; the exit code."""
    options = arguments(words)
    facts = machine() | {"threads": options.threads}
    scratch = options.scratch.resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    folders = {name: scratch / name for name in options.models}
    for name in options.models:
        if name in SHAPES:
            write_model(SHAPES[name], folders[name], options.golden)
        else:
            folders[name] = options.golden.resolve()
    pictures = write_pictures(scratch / "pictures", options.images)
    listing = scratch / "pictures.txt"
    listing.write_text("".join(f"{path}\n" for path in pictures), encoding="utf-8")
    try:
        # absolute() and not resolve(): the interpreter of a venv is a link that must be called by its own name.
        runner = Runner(published_python(options.published_env.absolute()), scratch, listing, options.threads)
        comparisons = [
            compare(name, folders[name], runner, options.rounds, same_precision=options.same_precision)
            for name in options.models
        ]
    except (EnvironmentProblemError, PassError) as problem:
        say(str(problem))
        return 1
    print(table(comparisons))
    print(f"\n{facts['processor']}, {options.threads} threads, {', '.join(facts['instructions'])}")
    if options.json:
        write_json(options.json, {"schema": 1, "machine": facts, "models": [one.to_dict() for one in comparisons]})
    if facts["load_before"] > QUIET_LOAD:
        say(
            f"the load before the start was {facts['load_before']:.1f}: other programs ran, the ratios are not reliable"
        )
    for one in comparisons:
        if one.is_noisy:
            say(f"{one.model}: rounds of one package differ by over {NOISY_SPREAD} times: the machine was not quiet")
    disagreeing = [one.model for one in comparisons if not one.agrees]
    if disagreeing:
        say(f"float32 embeddings disagree (cosine under {MIN_COSINE}): {', '.join(disagreeing)}")
    return 1 if disagreeing else 0


if __name__ == "__main__":
    sys.exit(main())
