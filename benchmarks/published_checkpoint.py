"""A checkpoint that our trainer writes, loaded by the published relsim 0.1.0 and by this package: do both say the same?

    python benchmarks/published_checkpoint.py [--steps 6] [--published-env DIR]

Trains LoRA and projection on the golden base and its eight training pictures for a few steps, once with the query
token's row frozen, as published, and once with it trained, and writes the published layout. Both packages, each in
its own environment, then embed the golden pictures from their files (`native` recipe, float32).

Exit code 1: an embedding's number or a score differs by more than 1e-4, the trained row is not in the checkpoint, or a
run failed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from _published_env import EnvironmentProblemError, published_python
from against_published import CHECKOUT, PassError, Runner, positive, say
from relsim.models.checkpoint import PUBLISHED_PROJECTION, read_checkpoint
from relsim.training.config import TrainingConfig
from relsim.training.loop import train

MAX_GAP = 1e-4
VARIANTS = {"query row frozen": False, "query row trained": True}
COLUMNS = ("checkpoint", "pictures", "embeddings, largest difference", "scores, largest difference", "scores between")


@dataclass(frozen=True, slots=True)
class Agreement:
    """Vectors (N, 384) of both packages from one checkpoint."""

    name: str
    published: NDArray[np.float64]
    ours: NDArray[np.float64]

    @property
    def embeddings(self) -> float:
        """Largest difference of a number of an embedding."""
        return float(np.abs(self.published - self.ours).max())

    @property
    def scores(self) -> float:
        """Largest difference of a score: the dot product of two embeddings, in both packages."""
        return float(np.abs(self.published @ self.published.T - self.ours @ self.ours.T).max())

    @property
    def agrees(self) -> bool:
        """Whether both differences are small; a NaN is not."""
        return self.embeddings <= MAX_GAP and self.scores <= MAX_GAP

    def row(self) -> str:
        """A line of the printed table; the range of scores says that agreement is not for want of difference."""
        scores = self.published @ self.published.T
        return (
            f"| {self.name} | {len(self.published)} | {self.embeddings:.1e} | {self.scores:.1e} "
            f"| {scores.min():.3f} and {scores[~np.eye(len(scores), dtype=bool)].max():.3f} |"
        )


def trained_checkpoint(golden: Path, out: Path, *, query_row: bool, steps: int) -> Path:
    """The last checkpoint of a short run; its learning rate is high, so that a few steps move every part."""
    given = [f"run.out={out}", f"run.steps={steps}", f"run.log_every={steps}", "run.precision=fp32"]
    given += [f"model.base={golden / 'base'}", f"model.train_query_row={str(query_row).lower()}"]
    given += [f"data.manifests=[{golden}/train/train.jsonl]", f"data.image_folder={golden}/train/images"]
    given += ["optimizer.batch_size=8", "optimizer.micro_batch_size=4", "optimizer.learning_rate=0.01"]
    return train(TrainingConfig.from_yaml(None, given)).last


def moved_row(checkpoint: Path, golden: Path) -> float:
    """How far the query token's row in the checkpoint is from the base's; 0 where the checkpoint holds no table."""
    from safetensors.torch import load_file

    found = read_checkpoint(checkpoint)
    tables = [tensor for name, tensor in found.adapter.items() if name.endswith("embed_tokens.weight")]
    if not tables:
        return 0.0
    base = next(
        tensor
        for name, tensor in load_file(golden / "base" / "model.safetensors").items()
        if name.endswith("embed_tokens.weight")
    )
    token = found.query_token_id
    return float((tables[0][token].float() - base[token].float()).abs().max())


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=positive, default=6, help="training steps of each checkpoint")
    parser.add_argument("--threads", type=positive, default=min(2, len(os.sched_getaffinity(0))))
    parser.add_argument("--golden", type=Path, default=CHECKOUT / "tests" / "golden", help="the golden checkpoint")
    parser.add_argument("--published-env", type=Path, default=CHECKOUT / ".venv-published", metavar="DIR")
    options = parser.parse_args(words)
    if not (options.golden / "base").is_dir():
        parser.error(f"{options.golden} has no folder base: name the golden checkpoint with --golden")
    return options


def main(words: Sequence[str] | None = None) -> int:
    """Train, load twice, print the table; the exit code."""
    options = arguments(words)
    golden = options.golden.resolve()
    pictures = sorted((golden / "images").iterdir())
    found = []
    with tempfile.TemporaryDirectory() as place:
        scratch = Path(place)
        listing = scratch / "pictures.txt"
        listing.write_text("".join(f"{path}\n" for path in pictures), encoding="utf-8")
        try:
            # absolute() and not resolve(): the interpreter of a venv is a link that must be called by its own name.
            runner = Runner(published_python(options.published_env.absolute()), scratch, listing, options.threads)
            for number, (name, query_row) in enumerate(VARIANTS.items()):
                folder = scratch / f"model-{number}"
                folder.mkdir()
                (folder / "base").symlink_to(golden / "base")
                checkpoint = trained_checkpoint(
                    golden, scratch / f"run-{number}", query_row=query_row, steps=options.steps
                ).resolve()
                (folder / "relsim").symlink_to(checkpoint)
                moved = moved_row(checkpoint, golden)
                size = (checkpoint / PUBLISHED_PROJECTION).stat().st_size
                say(f"{name}: row moved by {moved:.1e}, {PUBLISHED_PROJECTION} of {size:,} bytes")
                if query_row != (moved > 0):
                    say(f"{name}: the query token's row in the checkpoint is not what was trained")
                    return 1
                published = runner.run("published", folder, "float32").vectors
                found.append(Agreement(name, published, runner.run("ours", folder, "float32").vectors))
        except (EnvironmentProblemError, PassError) as problem:
            say(str(problem))
            return 1
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    for one in found:
        print(one.row())
    return 0 if all(one.agrees for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
