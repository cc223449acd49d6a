"""A captioner behind an OpenAI-compatible endpoint, such as vLLM: the same pictures, question and settings, elsewhere.

What is sent is what a captioner here would see: the picture after the recipe, without loss, then the question. So a
server that serves the same weights says the same, up to rounding and to its own way of drawing. The processor's own
resize is the server's; a recipe of a fixed square leaves it nothing to do.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from relsim.captions.captioner import DEFAULT_BATCH, Caption
from relsim.captions.checkpoint import read_captioner
from relsim.endpoint.client import Endpoint
from relsim.endpoint.messages import Message, Picture
from relsim.endpoint.replies import Reply, ReplyStatus
from relsim.fingerprint import Fact, Fingerprint
from relsim.models.generation import Sampling
from relsim.models.hub import resolve_folder
from relsim.models.pixels import Recipe
from relsim.models.prompt import CAPTION_PROMPT

_NO_CAP = 2**31  # the recipe alone decides how large a picture is


class NoCaptionError(RuntimeError):
    """The endpoint gave no caption of a picture; the message says why."""


class EndpointCaptioner:
    """Stands for a `Captioner` where records are captioned (`relsim.captions.stream`).

    `recipe` and `prompt` are those that the served model was trained with; without them the published ones. The
    endpoint must keep its answers: where one picture of a window fails, the others are asked for once more.
    """

    def __init__(self, endpoint: Endpoint, *, recipe: Recipe = Recipe.SQUASH448, prompt: str = CAPTION_PROMPT) -> None:
        self._endpoint = endpoint
        self._prompt = prompt
        self.recipe = recipe
        self.fingerprint = Fingerprint.of(
            {"captioner": f"endpoint:{endpoint.model}", "prompt": prompt, "recipe": recipe.value}
        )
        """What a caption depends on beside its sampling, as far as it can be known from here."""

    @classmethod
    def like(cls, endpoint: Endpoint, checkpoint: str | Path, *, recipe: Recipe | None = None) -> EndpointCaptioner:
        """With recipe and question of a captioner's folder or Hub id, whose weights are not read."""
        files = read_captioner(resolve_folder(checkpoint))
        return cls(endpoint, recipe=recipe or files.recipe, prompt=files.prompt)

    def decoding(self, sampling: Sampling) -> dict[str, Fact]:
        """What the choice of tokens depends on, as facts of a fingerprint."""
        facts: dict[str, Fact] = {"greedy": sampling.greedy}
        asked = self._settings(sampling, sampling.seed)
        return facts | {name: value if isinstance(value, (int, float)) else str(value) for name, value in asked.items()}

    def prepare(self, image: Image.Image) -> bytes:
        """An RGB picture after the recipe, as a PNG file. Thread-safe."""
        file = io.BytesIO()
        self.recipe.apply(image).save(file, format="PNG", compress_level=1)
        return file.getvalue()

    def caption_prepared(
        self,
        prepared: Sequence[bytes],
        sampling: Sampling,
        seeds: Sequence[Sequence[int]] | None = None,
        *,
        batch_size: int = DEFAULT_BATCH,  # noqa: ARG002 - how many are asked at once is the endpoint's policy
    ) -> list[list[Caption]]:
        """For each prepared picture, in order, one caption for each of its `seeds`; without them that of the sampling.

        Raises `NoCaptionError` for a picture without a caption, when all have been asked, and `EndpointError`.
        """
        given = [(sampling.seed,)] * len(prepared) if seeds is None else seeds
        replies: dict[tuple[int, int], Reply] = {}
        for seed in dict.fromkeys(seed for own in given for seed in own):
            places = [place for place, own in enumerate(given) if seed in own]
            asked = self._endpoint.with_settings(self._settings(sampling, seed))
            for number, reply in asked.ask_all(self._questions([prepared[place] for place in places])):
                replies[places[number], seed] = reply
        return [[_caption(replies[place, seed]) for seed in own] for place, own in enumerate(given)]

    def _settings(self, sampling: Sampling, seed: int) -> Mapping[str, Any]:
        """Fields of a request; the endpoint's own come last."""
        settings: dict[str, Any] = {"max_tokens": sampling.max_new_tokens, "temperature": 0}
        if not sampling.greedy:
            settings |= {"temperature": sampling.temperature, "top_p": sampling.top_p, "seed": seed}
        settings |= self._endpoint.settings
        return {name: value for name, value in settings.items() if value is not None}

    def _questions(self, files: Sequence[bytes]) -> Iterator[tuple[Message, ...]]:
        for file in files:
            yield (Message("user", (Picture(file, _NO_CAP, lossless=True), self._prompt)),)


def _caption(reply: Reply) -> Caption:
    """What is cut short at the limit of tokens is a caption here as well."""
    if reply.status not in (ReplyStatus.OK, ReplyStatus.CUT_SHORT) or reply.text is None:
        raise NoCaptionError(f"{reply.status.value}: {reply.reason}")
    return Caption(reply.text, ())
