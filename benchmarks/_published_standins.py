"""What the published package finds in place of parts that are not here; it runs in an environment without torchvision.

- an empty `torchvision`, because `qwen_vl_utils` imports it at the top; only its video half uses it;
- a processor made of tokenizer and image processor, because the stock one insists on a video processor; the image
  processor is transformers' own numpy one, since its other one needs torchvision;
- the folder and precision of the base, because the 7B base and bf16 are written in the code;
- the width of the projection, because 3584 is written in the code.

Only for programs that run in the published environment. Threads must be pinned before this is imported.
"""

from __future__ import annotations

import sys
import types
from typing import Any

import torch
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor


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


def processor_of(folder: str) -> ImageOnlyProcessor:
    """Processor from the files of a checkpoint or base folder."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    images = Qwen2VLImageProcessor.from_pretrained(folder)
    return ImageOnlyProcessor(images, tokenizer, chat_template=tokenizer.chat_template)


class LocalProcessor:
    """Stands where the package looks for `AutoProcessor` and names a checkpoint."""

    @staticmethod
    def from_pretrained(folder: str, **_: Any) -> ImageOnlyProcessor:
        """Processor from the files of a checkpoint folder."""
        return processor_of(folder)


def local_base(base: str, dtype: str) -> type:
    """What stands where the package looks for the 7B base; everything but folder and precision is passed on."""

    class LocalBase:
        @staticmethod
        def from_pretrained(_: str, **settings: Any) -> Any:
            settings["torch_dtype"] = getattr(torch, dtype)
            return Qwen2_5_VLForConditionalGeneration.from_pretrained(base, **settings)

    return LocalBase


def of_any_width(published_wrapper: Any) -> Any:
    """The published `QwenWithQueryToken` with the width of the base that it is given."""

    def wrap(base: Any, processor: Any, **_: Any) -> Any:
        return published_wrapper(base, processor, hidden_size=base.get_input_embeddings().embedding_dim)

    return wrap


def load_published(checkpoint: str, base: str, dtype: str) -> tuple[Any, Any]:
    """Model and preprocess of a checkpoint folder, from the published `relsim()`."""
    stand_in_for_torchvision()
    from relsim import relsim_score

    relsim_score.QwenWithQueryToken = of_any_width(relsim_score.QwenWithQueryToken)
    relsim_score.AutoProcessor = LocalProcessor
    relsim_score.Qwen2_5_VLForConditionalGeneration = local_base(base, dtype)
    return relsim_score.relsim(pretrained=True, checkpoint_dir=checkpoint)
