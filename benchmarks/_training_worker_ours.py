"""One run of this package's trainer for `training.py`, in one of four modes.

- speed: prepare from nothing (crops, caption vectors), then train; seconds of both.
- trace: write what the run begins with and the order of its pictures, then train.
- golden: loss and accuracy of the golden training batch with the golden checkpoint, nothing trained.
- memory: train on stored crops and watch the memory.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from pathlib import Path
from typing import Any

import _measure

parser = argparse.ArgumentParser()
parser.add_argument("mode", choices=("speed", "trace", "golden", "memory"))
parser.add_argument("--golden", required=True, type=Path)
parser.add_argument("--threads", required=True, type=int)
parser.add_argument("--scratch", required=True, type=Path)
parser.add_argument("--out", required=True, type=Path)
parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", dest="settings")
options = parser.parse_args()
_measure.pin(options.threads)

import torch  # noqa: E402  after the pinning, so that thread pools see the processors that count
from safetensors.torch import save_file  # noqa: E402

from relsim.models.checkpoint import read_checkpoint  # noqa: E402
from relsim.training.config import TrainingConfig  # noqa: E402
from relsim.training.feed import open_data, read_patches  # noqa: E402
from relsim.training.loop import train  # noqa: E402
from relsim.training.network import TrainingNetwork  # noqa: E402
from relsim.training.objectives import contrastive_rows  # noqa: E402
from relsim.training.prompts import prepare_processor  # noqa: E402
from relsim.training.samples import Order  # noqa: E402
from relsim.training.texts import TextVectors  # noqa: E402


def configuration() -> TrainingConfig:
    """The published flags on the golden base, and what the command line adds."""
    given = [f"run.out={options.scratch / 'run'}", f"model.base={options.golden / 'base'}", "run.log_every=1"]
    given += ["run.save_every=1000000", "run.precision=fp32", f"run.threads={options.threads}"]
    return TrainingConfig.from_yaml(None, [*given, *options.settings])


def trained(config: TrainingConfig) -> dict[str, Any]:
    """Loss, wall time since the loop began and CPU time of this process after each step of a run."""
    lines: list[tuple[Any, float]] = []
    train(config, watcher=lambda line: lines.append((dict(line), time.process_time())))
    steps = [(line, cpu_seconds) for line, cpu_seconds in lines if "loss" in line]
    return {
        "seconds": [line["seconds"] for line, _ in steps],
        "cpu_seconds": [cpu_seconds for _, cpu_seconds in steps],
        "reader_cpu_seconds": 0.0,  # reading ahead is a thread of this process
        "losses": [line["loss"] for line, _ in steps],
    }


def new_network(config: TrainingConfig) -> TrainingNetwork:
    """The network of a run, as the run draws it from its seed."""
    processor = prepare_processor(Path(config.model.base), options.scratch / "processor")
    return TrainingNetwork(config, device=torch.device("cpu"), precision="fp32", processor=processor)


def prepare(config: TrainingConfig) -> float:
    """Seconds to make and store crops and caption vectors, which a run does once."""
    begun = time.perf_counter()
    part = open_data(config).train
    TextVectors.of([text for texts in part.captions for text in texts], part.store.folder)
    return time.perf_counter() - begun


def trace(config: TrainingConfig) -> dict[str, Any]:
    """Train without dropout; `start.safetensors` and `order.jsonl` let another trainer do the same."""
    part = open_data(config).train
    network = new_network(config)
    start = {name: parameter.detach().clone() for name, parameter in network.trained().items()}
    start["query_row"] = network.model.get_input_embeddings().weight[network.prompt.query].detach().clone()
    save_file(start, options.scratch / "start.safetensors")
    order = Order(config.run.seed, len(part), config.optimizer.batch_size)
    rows = [row for step in range(config.run.steps or 0) for row in order.batch(step)]
    ids, captions = part.image_ids, part.captions
    lines = [json.dumps({"image_hash": ids[row], "url_link": "", "caption": captions[row][0]}) for row in rows]
    (options.scratch / "order.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    del network
    return trained(config)


def golden_batch(config: TrainingConfig) -> dict[str, Any]:
    """Loss of the training network with the weights of the golden checkpoint, in evaluation mode."""
    expected = json.loads((options.golden / "expected.json").read_text(encoding="utf-8"))["train_batch"]
    part = open_data(config).train
    network = new_network(config)
    checkpoint = read_checkpoint(options.golden / "relsim")
    parameters = dict(network.model.named_parameters())
    for name, tensor in checkpoint.adapter.items():
        if "lora_" in name:
            parameters[name.replace(".weight", ".default.weight")].data.copy_(tensor)
        elif name.endswith("embed_tokens.weight"):
            network.model.get_input_embeddings().weight.data[: len(tensor)] = tensor
    if network.projection is None:
        raise SystemExit("the metric has a projection")
    network.projection.weight.data.copy_(checkpoint.projection_weight)
    network.projection.bias.data.copy_(checkpoint.projection_bias)
    places = {image_id: row for row, image_id in enumerate(part.image_ids)}
    rows = torch.tensor([places[image_hash] for image_hash in expected["image_hashes"]]).numpy()
    texts = torch.from_numpy(TextVectors.of(expected["captions"])[expected["captions"]])
    targets = torch.arange(len(rows))
    with network.evaluating():
        images = network.embed(read_patches(part, rows, network.pixels))
    losses = contrastive_rows(images, texts, targets, expected["temperature"], None)
    hits = (images @ texts.T).argmax(1) == targets
    return {
        "loss": losses.mean().item(),
        "accuracy": hits.float().mean().item(),
        "expected_loss": expected["loss"],
        "expected_accuracy": expected["accuracy"],
    }


class MemoryWatch(threading.Thread):
    """The largest private memory (`RssAnon`) seen: pages of mapped files are the system's to drop, so not counted."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0

    def run(self) -> None:
        """Look every 10 ms, for ever."""
        while True:
            for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
                if line.startswith("RssAnon:"):
                    self.peak = max(self.peak, int(line.split()[1]) * 1024)
            time.sleep(0.01)


def watched(config: TrainingConfig) -> dict[str, Any]:
    """A run and the most memory that it held."""
    watch = MemoryWatch()
    watch.start()
    facts = trained(config)
    return facts | {"peak_private_bytes": watch.peak, "peak_bytes": _measure.peak_memory()}


def main() -> None:
    """Do what `mode` says; the facts are written as JSON."""
    options.scratch.mkdir(parents=True, exist_ok=True)
    config = configuration()
    if options.mode == "speed":
        preparation = prepare(config)
        facts = {"preparation_seconds": preparation, **trained(config), "peak_bytes": _measure.peak_memory()}
    else:
        facts = {"trace": trace, "golden": golden_batch, "memory": watched}[options.mode](config)
    options.out.write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    main()
