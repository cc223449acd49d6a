"""Make the embedded checkpoints, stage by stage; each stage is a command that can be run again.

    python recipes/embedded/make.py pictures       draw the training pictures                         5 minutes
    python recipes/embedded/make.py first-words    a VLM begins to describe scenes, from nothing     16 minutes
    python recipes/embedded/make.py mini-first     relsim-mini, its first lesson                     26 minutes
    python recipes/embedded/make.py mini-more      it goes on with Muon                              25 minutes
    python recipes/embedded/make.py mini           what was learned settles                           9 minutes
    python recipes/embedded/make.py base-words     the base begins to say what relsim-mini sees      34 minutes
    python recipes/embedded/make.py base           what was learned settles                           7 minutes
    python recipes/embedded/make.py pictures-more  draw pictures that nothing has seen                5 minutes
    python recipes/embedded/make.py mini-again     relsim-mini goes on                                5 minutes
    python recipes/embedded/make.py mini-settled   relsim-mini: what was learned settles              8 minutes
    python recipes/embedded/make.py pictures-composed  draw pictures of composed relations, too    8 minutes
    python recipes/embedded/make.py validation     draw pictures to validate by                      1 minute
    python recipes/embedded/make.py mini-composed  relsim-mini learns composed relations, too       30 minutes
    python recipes/embedded/make.py mini-composed-settled  what was learned settles                 23 minutes
    python recipes/embedded/make.py base-again     the base goes on                                  26 minutes
    python recipes/embedded/make.py base-settled   the base: what was learned settles                 8 minutes
    python recipes/embedded/make.py base-composed  the base learns composed relations, too          31 minutes
    python recipes/embedded/make.py attributes     relsim-mini-attributes                            12 minutes
    python recipes/embedded/make.py captioner      the anonymous captioner                            5 minutes
    python recipes/embedded/make.py mini-lora      the published recipe, for comparison              10 minutes
    python recipes/embedded/make.py pack           null distributions; into the package               1 minute
    python recipes/embedded/make.py all            all of these, in order

Times are those of two cores. Everything is written under --work (default: .embedded); a stage that was stopped goes on
where it was. `--quick` makes all of it in miniature, to see that the recipe runs.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import network
import pack
import pictures
from pictures import Plan
from relsim.training.config import TrainingConfig
from relsim.training.loop import train

HERE = Path(__file__).parent
PICTURES = {
    "pictures": Plan(20_261_122, relations=110_000, portraits=40_000),
    "pictures-more": Plan(20_261_127, relations=150_000, portraits=50_000),
    "pictures-composed": Plan(20_261_128, relations=100_000, portraits=40_000, composed=100_000),
}
"""What goes on from a checkpoint learns from pictures it has not seen."""
FEW = Plan(0, relations=400, portraits=100, composed=200)
VALIDATION = 2_000
STAGES = (
    "pictures",
    "first-words",
    "mini-first",
    "mini-more",
    "mini",
    "base-words",
    "base",
    "pictures-more",
    "mini-again",
    "mini-settled",
    "pictures-composed",
    "validation",
    "mini-composed",
    "mini-composed-settled",
    "base-again",
    "base-settled",
    "base-composed",
    "attributes",
    "captioner",
    "mini-lora",
)
ASIDE = ("untrained",)  # not part of `all`: a comparison
QUICK = ("run.steps=4", "run.save_every=4", "run.eval_every=4", "optimizer.batch_size=32", "optimizer.warmup_steps=1")


def run(stage: str, overrides: list[str]) -> None:
    """Train a stage by its YAML file; paths in it are relative to the working folder."""
    config = TrainingConfig.from_yaml(HERE / f"{stage}.yaml", overrides)
    train(config, resume=True, watcher=_show)


def _show(line: Mapping[str, float]) -> None:
    print(json.dumps({name: round(value, 4) for name, value in line.items()}), flush=True)


def main() -> None:
    """Run the stages that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="+", choices=(*STAGES, *ASIDE, "pack", "all"))
    parser.add_argument("--work", type=Path, default=Path(".embedded"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", dest="overrides")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    stages = (*STAGES, "pack") if "all" in arguments.stages else arguments.stages
    arguments.work.mkdir(parents=True, exist_ok=True)
    os.chdir(arguments.work)
    for stage in stages:
        print(f"== {stage}", flush=True)
        if stage in PICTURES:
            pictures.draw_pictures(Path(stage), FEW if arguments.quick else PICTURES[stage], side=network.SIDE)
            network.write_base(Path("runs/untrained"))
        elif stage == "validation":
            count = 100 if arguments.quick else VALIDATION
            pictures.draw_validation(Path(stage), count=count, side=network.SIDE, seed=PICTURES["pictures-more"].seed)
        elif stage == "pack":
            pack.pack(Path("runs"))
        else:
            run(stage, [*(QUICK if arguments.quick else ()), *arguments.overrides])


if __name__ == "__main__":
    main()
