"""One run of the published trainer, `train_relsim.py` of relsim 0.1.0, as it stands in the package.

The file is run as the program that it is, with its own command line; its network, data loader, loss, optimizer and
loop are its own. Stand-ins are those of `_published_standins.py` and, because the program is written for CUDA and
for a service:

- `.cuda()` gives the tensor or module back;
- the frozen MiniLM is read from a folder in place of the Hub;
- `wandb` is a diary that notes the time and the loss of every step.

With `--start FILE` (tensors of another trainer's beginning) LoRA and projection begin there, LoRA has no dropout, and
pictures come in the order of the manifest: what is left of chance is taken out, so that two trainers can be compared
step by step.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import runpy
import sys
import time
import types
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import _measure

parser = argparse.ArgumentParser()
parser.add_argument("--base", required=True)
parser.add_argument("--manifest", required=True)
parser.add_argument("--images", required=True)
parser.add_argument("--text-model", required=True)
parser.add_argument("--batch-size", required=True)
parser.add_argument("--epochs", required=True)
parser.add_argument("--learning-rate", required=True)
parser.add_argument("--dtype", required=True, choices=("float32", "bfloat16"))
parser.add_argument("--threads", required=True, type=int)
parser.add_argument("--start", help="tensors to begin with; also takes out dropout and shuffling")
parser.add_argument("--scratch", required=True)
parser.add_argument("--out", required=True)
options = parser.parse_args()
_measure.pin(options.threads)

import peft  # noqa: E402  after the pinning, so that thread pools see the processors that count
import sentence_transformers  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

import _published_standins as standins  # noqa: E402


class Diary(types.ModuleType):
    """In the place of `wandb`: when each step was logged, and its loss."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.started = 0.0
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []
        self.losses: list[float] = []

    def init(self, **_: Any) -> None:
        """Nothing to tell a service."""

    def finish(self) -> None:
        """See `init`."""

    def start(self) -> None:
        """Begin to count: the loop comes next."""
        self.started = time.perf_counter()

    def log(self, figures: dict[str, Any]) -> None:
        """One step is done."""
        self.seconds.append(time.perf_counter() - self.started)
        self.cpu_seconds.append(time.process_time())
        self.losses.append(figures["train/loss"])


def put_in_place(diary: Diary) -> Path:
    """All stand-ins; the folder of the published package, whose modules import each other by their bare names."""
    found = find_spec("relsim")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("this interpreter has no package relsim")
    folder = Path(found.submodule_search_locations[0])
    sys.path.insert(0, str(folder))
    sys.modules["wandb"] = diary
    standins.stand_in_for_torchvision()
    import relsim_model

    wrap = standins.of_any_width(relsim_model.QwenWithQueryToken)
    relsim_model.QwenWithQueryToken = wrap if options.start is None else started(wrap)
    transformers.AutoProcessor = types.SimpleNamespace(from_pretrained=lambda _: standins.processor_of(options.base))
    transformers.Qwen2_5_VLForConditionalGeneration = standins.local_base(options.base, options.dtype)
    text_encoder = sentence_transformers.SentenceTransformer(options.text_model, device="cpu")
    sentence_transformers.SentenceTransformer = lambda _: text_encoder
    torch.Tensor.cuda = lambda self: self
    torch.nn.Module.cuda = lambda self: self
    note_the_start(diary)
    return folder


def note_the_start(diary: Diary) -> None:
    """The schedule is the last thing that the program makes before its loop."""
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR

    def make(*arguments: Any, **settings: Any) -> Any:
        made = schedule(*arguments, **settings)
        diary.start()
        return made

    torch.optim.lr_scheduler.CosineAnnealingLR = make  # type: ignore[misc, assignment]


def started(wrap: Any) -> Any:
    """The wrapped model with the tensors of `--start`; dropout and shuffling are taken out on the way."""
    from safetensors.torch import load_file

    config, loader = peft.LoraConfig, torch.utils.data.DataLoader
    peft.LoraConfig = lambda **settings: config(**settings | {"lora_dropout": 0.0})
    torch.utils.data.DataLoader = lambda *given, **settings: loader(*given, **settings | {"shuffle": False})
    random.shuffle = lambda _: None

    def begin(base: Any, processor: Any, **_: Any) -> Any:
        model = wrap(base, processor)
        start = load_file(options.start)
        row = start.pop("query_row")
        base.get_input_embeddings().weight.data[model.query_token_id] = row
        learning = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        renamed = {name if name.startswith("projection") else f"base_model.{name}": start[name] for name in start}
        missing = set(learning) ^ set(renamed)
        if missing:
            raise SystemExit(f"the two trainers do not learn the same tensors: {sorted(missing)[:4]}")
        for name, tensor in renamed.items():
            learning[name].data.copy_(tensor)
        return model

    return begin


def main() -> None:
    """Run the program; write what the diary holds."""
    diary = Diary()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    random.seed(0)
    folder = put_in_place(diary)
    sys.argv = ["train_relsim.py", "--json_files", options.manifest, "--image_folder", options.images]
    sys.argv += ["--output_dir", options.scratch, "--run_name", "run", "--batch_size", options.batch_size]
    sys.argv += ["--learning_rate", options.learning_rate, "--num_epochs", options.epochs]
    sys.argv += ["--temperature", "0.07", "--save_steps", "1000000", "--logging_steps", "1"]
    runpy.run_path(str(folder / "train_relsim.py"), run_name="__main__")
    readers = os.times()
    facts = {
        "seconds": diary.seconds,
        "cpu_seconds": diary.cpu_seconds,
        "reader_cpu_seconds": readers.children_user + readers.children_system,
        "losses": diary.losses,
        "peak_bytes": _measure.peak_memory(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__},
    }
    Path(options.out).write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    main()
