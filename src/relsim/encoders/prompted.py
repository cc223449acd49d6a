"""Any multimodal model of sentence-transformers that reads an instruction, asked to look at relations.

The baseline that needs no training: a general embedder and a prompt. The vectors are sentence-transformers' own, of
`encode(pictures, prompt=instruction)`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from relsim.encoders.base import Vectors
from relsim.encoders.towers import origin_of
from relsim.errors import CheckpointError, first_line
from relsim.fingerprint import Fingerprint
from relsim.hub import fetch_folder
from relsim.models.devices import choose_device, choose_dtype
from relsim.models.digest import digest_files
from relsim.models.hub import PATTERNS
from relsim.models.quiet import quiet_loading

logger = logging.getLogger(__name__)

INSTRUCTION = (
    "Represent the relational logic of the image: how its parts relate, what is arranged, transformed or compared, and "
    "how. Ignore which objects it shows, their colours and its style."
)
_SIDE = 28  # pixels of the side of a token of Qwen-VL; other models count alike


class PromptedEncoder:
    """Pictures and sentences through a sentence-transformers model, each with the instruction."""

    name = "prompted"

    def __init__(self, model: Any, instruction: str, *, weights: str, origin: dict[str, str]) -> None:
        """`weights` is the digest of the model's files, `origin` what loads it again."""
        self.model = model
        self.instruction = instruction
        self.origin = origin
        self._weights = weights
        self._precision = str(next(model.parameters()).dtype).removeprefix("torch.")
        if not self.reads_instruction:
            logger.warning(
                "this model has no chat template, so it embeds pictures without any instruction; "
                "a model with one is needed to prompt it"
            )

    @property
    def reads_instruction(self) -> bool:
        """Whether inputs go in as messages, where the instruction is the system's; else nothing gets one."""
        return "message" in self.model.modalities

    @property
    def device(self) -> Any:
        """Where it computes, a `torch.device`."""
        return self.model.device

    @property
    def dimension(self) -> int:
        """D, the length of a vector."""
        return int(self.model.get_embedding_dimension())

    @property
    def fingerprint(self) -> Fingerprint:
        """Weights, instruction and precision."""
        return Fingerprint.of(
            {
                "encoder": self.name,
                "weights": self._weights,
                "instruction": self.instruction if self.reads_instruction else None,
                "precision": self._precision,
                "dimension": self.dimension,
            }
        )

    def prepare(self, image: Image.Image) -> Image.Image:
        """The picture as RGB; the model's own processor works on whole batches. Thread-safe."""
        return image if image.mode == "RGB" else image.convert("RGB")

    def cost(self, prepared: Image.Image) -> int:
        """Squares of 28 x 28 pixels: the tokens of a model that takes pictures at their own size."""
        return -(-prepared.width // _SIDE) * -(-prepared.height // _SIDE)

    def encode(self, batch: Sequence[Image.Image]) -> Vectors:
        """Vectors (len(batch), D) in the order given."""
        return self._encode(list(batch))

    def encode_text(self, sentences: Sequence[str]) -> Vectors:
        """Vectors (len(sentences), D) of sentences, by the same instruction."""
        return self._encode(list(sentences))

    def _encode(self, inputs: list[Any]) -> Vectors:
        if not inputs:
            return np.empty((0, self.dimension), np.float32)
        vectors = self.model.encode(
            inputs,
            prompt=self.instruction if self.reads_instruction else None,
            batch_size=len(inputs),
            convert_to_numpy=True,
            normalize_embeddings=True,
            show_progress_bar=False,
        )
        return np.asarray(vectors, np.float32)


def load_prompted(
    *,
    model: str | Path,
    instruction: str = INSTRUCTION,
    cache_dir: str | Path | None = None,
    revision: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> PromptedEncoder:
    """A sentence-transformers model from a folder or Hub id. Raises `CheckpointError` or `DeviceError`.

    Code of the model's own is not run.
    """
    from sentence_transformers import SentenceTransformer

    target = choose_device(device)
    precision = choose_dtype(target, dtype)
    folder = _folder(model, cache_dir, revision)
    try:
        with quiet_loading():
            loaded = SentenceTransformer(
                str(folder), device=str(target), model_kwargs={"dtype": precision}, trust_remote_code=False
            )
    except (OSError, ValueError, TypeError, KeyError, ImportError, RuntimeError) as error:
        reason = first_line(error)
        raise CheckpointError(f"{folder} cannot be loaded by sentence-transformers: {reason}") from error
    if "image" not in loaded.modalities:
        raise CheckpointError(f"{folder} takes {', '.join(map(str, loaded.modalities))}; prompted needs pictures")
    weights = "+".join(digest_files(place) for place in sorted({path.parent for path in folder.rglob("*.safetensors")}))
    return PromptedEncoder(loaded, instruction, weights=weights, origin=origin_of("model", model, folder))


def _folder(model: str | Path, cache_dir: str | Path | None, revision: str | None) -> Path:
    """The model's folder with those of its modules, which `resolve_folder` would leave behind."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    return fetch_folder(str(model), patterns=PATTERNS, revision=revision, cache_dir=cache_dir, error=CheckpointError)
