"""One timed pass of the published package relsim 0.1.0, called the way its README calls it: one image per call.

(0.1.0 takes no list of images, so there is no faster call to choose.) Runs in the published environment, which has no
torchvision and needs no network. What is missing or hard-coded there gets a stand-in:

- an empty `torchvision`, because `qwen_vl_utils` imports it at the top; only its video half uses it;
- a processor made of tokenizer and image processor, because the stock one insists on a video processor; the image
  processor is transformers' own numpy one, since its other one needs torchvision;
- the folder and precision of the base, because the 7B base and bf16 are written in the code;
- the width of the projection, because 3584 is written in the code.

The network, its forward pass, the prompt and the resizing are the package's own.
"""

from __future__ import annotations

import sys
import types
from importlib.metadata import version
from typing import Any

import _measure

options = _measure.arguments()
_measure.pin(options.threads)

import numpy as np  # noqa: E402  after the pinning, so that thread pools see the processors that count
import torch  # noqa: E402
import transformers  # noqa: E402
from PIL import Image  # noqa: E402
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor  # noqa: E402
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor  # noqa: E402


def stand_in_for_torchvision() -> None:
    """Put an empty torchvision where `qwen_vl_utils` looks for it."""
    names = ("torchvision", "torchvision.io", "torchvision.transforms")
    modules = {name: types.ModuleType(name) for name in names}
    modules["torchvision"].io = modules["torchvision.io"]  # type: ignore[attr-defined]
    modules["torchvision"].transforms = modules["torchvision.transforms"]  # type: ignore[attr-defined]
    modules["torchvision.transforms"].InterpolationMode = types.SimpleNamespace()  # type: ignore[attr-defined]
    sys.modules.update(modules)


class ImageOnlyProcessor(Qwen2_5_VLProcessor):
    """The stock processor without its video half."""

    attributes = ["image_processor", "tokenizer"]  # noqa: RUF012

    def __init__(self, image_processor: Any, tokenizer: Any, chat_template: str | None = None) -> None:
        super().__init__(image_processor, tokenizer, None, chat_template=chat_template)

    def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
        """Accept the missing video processor; check everything else as the stock class does."""
        if argument_name == "video_processor" and argument is None:
            return None
        return super().check_argument_for_proper_class(argument_name, argument)


class LocalProcessor:
    """Stands where the package looks for `AutoProcessor`."""

    @staticmethod
    def from_pretrained(folder: str, **_: Any) -> ImageOnlyProcessor:
        """Processor from the files of a checkpoint folder."""
        tokenizer = AutoTokenizer.from_pretrained(folder)
        images = Qwen2VLImageProcessor.from_pretrained(folder)
        return ImageOnlyProcessor(images, tokenizer, chat_template=tokenizer.chat_template)


class LocalBase:
    """Stands where the package looks for the 7B base; everything but folder and precision is passed on."""

    @staticmethod
    def from_pretrained(_: str, **settings: Any) -> Any:
        """The base in the folder named on the command line."""
        settings["torch_dtype"] = getattr(torch, options.dtype)
        return Qwen2_5_VLForConditionalGeneration.from_pretrained(options.base, **settings)


def load() -> tuple[Any, Any]:
    """Model and preprocess, from the published `relsim()`."""
    stand_in_for_torchvision()
    from relsim import relsim_score

    published_wrapper = relsim_score.QwenWithQueryToken

    def wrapper_of_any_width(base: Any, processor: Any, **_: Any) -> Any:
        return published_wrapper(base, processor, hidden_size=base.get_input_embeddings().embedding_dim)

    relsim_score.QwenWithQueryToken = wrapper_of_any_width
    relsim_score.AutoProcessor = LocalProcessor
    relsim_score.Qwen2_5_VLForConditionalGeneration = LocalBase
    return relsim_score.relsim(pretrained=True, checkpoint_dir=options.checkpoint)


def main() -> None:
    """Load, warm up on two images, time one pass over all files."""
    torch.set_num_threads(options.threads)
    watch = _measure.Stopwatch()
    model, preprocess = load()
    load_seconds, _ = watch.read()
    paths = _measure.image_paths(options)
    for path in paths[:2]:
        model.embed(preprocess(Image.open(path)))
    watch = _measure.Stopwatch()
    rows = [model.embed(preprocess(Image.open(path))) for path in paths]
    vectors = torch.cat(rows).numpy()
    seconds, cpu_seconds = watch.read()
    np.save(options.out + ".npy", vectors)
    versions = {"relsim": version("relsim"), "torch": torch.__version__, "transformers": transformers.__version__}
    _measure.write_result(options, seconds, cpu_seconds, load_seconds, versions)


if __name__ == "__main__":
    main()
