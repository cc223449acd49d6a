"""A judge on this machine: any chat model for images and text that transformers loads from a folder.

The folder has weights, a processor and a chat template of its own, and all pictures of a question go into one message.
Answers are of the form of chat completions and are kept like those of an endpoint, under a name made of the weights.
Code that a folder brings along is not run.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from relsim.endpoint.cache import ReplyCache
from relsim.endpoint.client import use_of
from relsim.endpoint.messages import Message, Question, as_question, describe, request_key
from relsim.endpoint.replies import Reply, read_answer
from relsim.errors import CheckpointError, RelsimError
from relsim.models.base import place
from relsim.models.devices import choose_device, choose_dtype
from relsim.models.digest import digest_files
from relsim.models.quiet import quiet_loading

ADDRESS = "local"
MAX_TOKENS = 256
_KNOWN = ("max_tokens", "seed", "temperature", "top_p")


class LocalJudge:
    """Asks a model in this process, one question after the other.

    `settings` are those of chat completions: `temperature` (0 takes the most probable token each time), `top_p`,
    `max_tokens`, `seed`. A question's draws follow from the seed and the question alone. Raises `CheckpointError` for a
    folder that is no such model, `DeviceError`, and `RelsimError` for other settings.
    """

    address = ADDRESS

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        settings: Mapping[str, Any] | None = None,
        cache: ReplyCache | None = None,
        ask_again: bool | Callable[[Reply], bool] = False,
        device: str | None = None,
        dtype: str | None = None,
    ) -> None:
        self.settings: dict[str, Any] = dict({"temperature": 0} if settings is None else settings)
        self._check_settings()
        self.cache = cache
        self._of_use = use_of(ask_again)
        self._folder = Path(folder)
        self._device = choose_device(device)
        self._precision = choose_dtype(self._device, dtype)
        self._processor, self._network = _load(self._folder)
        self._network = place(self._network, self._device, self._precision)
        self._stops = _stops(self._network, self._processor)
        precision = str(self._precision).removeprefix("torch.")
        self.model = f"{self._folder.resolve().name}@{_digest(self._folder)}:{precision}"
        """Name of the folder, digest of all that is in it, and precision."""

    def ask_all(self, questions: Iterable[Question | Sequence[Message]]) -> Iterator[tuple[int, Reply]]:
        """The replies with the places of their questions, in order. Raises `ImageError` and `CheckpointError`."""
        for number, asked in enumerate(questions):
            yield number, self.kept(asked) or self._ask(as_question(asked))

    def kept(self, asked: Question | Sequence[Message]) -> Reply | None:
        """The answer that is kept for a question, if there is one."""
        if self.cache is None:
            return None
        return self.cache.get(request_key(describe(asked, self.model, self.settings)), of_use=self._of_use)

    def _ask(self, question: Question) -> Reply:
        request = describe(question, self.model, self.settings)
        key = request_key(request)
        asked, started = datetime.now(timezone.utc).isoformat(timespec="seconds"), time.monotonic()
        raw = json.dumps(self._completion(question.messages, key))
        reply = read_answer(key, raw, asked=asked, seconds=round(time.monotonic() - started, 3))
        if self.cache is not None:
            self.cache.put(reply, request, self.address)
        return reply

    def _completion(self, messages: Sequence[Message], key: str) -> dict[str, Any]:
        """What a server would answer."""
        inputs = self._inputs(messages)
        length = inputs["input_ids"].shape[1]
        limit = int(self.settings.get("max_tokens", MAX_TOKENS))
        with torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(int(f"{key[:12]}", 16) + int(self.settings.get("seed", 0)))
            options = {"max_new_tokens": limit, "eos_token_id": self._stops or None, **self._sampling()}
            tokens = self._network.generate(**inputs, **options)[0, length:].tolist()
        finish = "stop" if tokens and tokens[-1] in self._stops else "length"
        text = self._processor.decode(tokens, skip_special_tokens=True)
        return {
            "object": "chat.completion",
            "model": self.model,
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish},
            ],
            "usage": {"prompt_tokens": length, "completion_tokens": len(tokens)},
        }

    def _inputs(self, messages: Sequence[Message]) -> Any:
        chat = [
            {
                "role": message.role,
                "content": [
                    {"type": "text", "text": part}
                    if isinstance(part, str)
                    else {"type": "image", "image": part.image()}
                    for part in message.parts
                ],
            }
            for message in messages
        ]
        from jinja2 import TemplateError

        try:
            inputs = self._processor.apply_chat_template(
                chat, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
            )
        except (TemplateError, TypeError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"the processor of {self._folder} cannot put two images into one message: {error}"
            ) from error
        return inputs.to(self._device, self._precision)

    def _sampling(self) -> dict[str, Any]:
        temperature = float(self.settings.get("temperature", 1))
        if temperature == 0:
            return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        top_p = float(self.settings.get("top_p", 1))
        return {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0}

    def _check_settings(self) -> None:
        unknown = sorted(set(self.settings) - set(_KNOWN))
        if unknown:
            raise RelsimError(f"a local model has no setting {unknown[0]}; it has {', '.join(_KNOWN)}")


def _stops(network: Any, processor: Any) -> list[int]:
    """The tokens that end an answer: the network's, and the tokenizer's, which ends a turn of the chat."""
    given = network.generation_config.eos_token_id
    ends = [given] if isinstance(given, int) else [*(given or ())]
    own = getattr(getattr(processor, "tokenizer", None), "eos_token_id", None)
    return ends if own is None or own in ends else [*ends, own]


def _digest(folder: Path) -> str:
    """Digest of weights, configuration, processor and chat template, 16 hex digits."""
    total = hashlib.sha256(digest_files(folder).encode())
    for path in sorted((*folder.glob("*.json"), *folder.glob("*.jinja"), *folder.glob("*.model"))):
        total.update(f"{path.name}\n".encode() + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:16]


def _load(folder: Path) -> tuple[Any, Any]:
    """The processor and the network of a folder."""
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder} holds no config.json; name the folder of a model, as transformers saves it")
    from transformers import AutoModelForImageTextToText, AutoProcessor

    try:
        with quiet_loading():
            processors: Any = AutoProcessor  # transformers has no types here
            processor = processors.from_pretrained(folder, local_files_only=True)
            network = AutoModelForImageTextToText.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError, AttributeError, RuntimeError) as error:
        told = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{folder} is no model for images and text that can be loaded: {told}") from error
    if getattr(processor, "chat_template", None) is None:
        raise CheckpointError(
            f"the processor of {folder} has no chat template, so it cannot be asked; is it a base model?"
        )
    return processor, network
