"""The tokenizer of a prompt read without transformers, where `tokenizers` and Jinja alone give the same ids.

That is where a folder says that its `tokenizer.json` is the whole tokenizer (class TokenizersBackend, no setting that
adds or changes a token) and its chat template asks for nothing but the messages. Every other folder is for
`load_tokenizer`; so is one that is damaged, since that says what is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_SETTINGS = {  # of tokenizer_config.json, that neither add nor change a token of a prompt
    "backend",
    "clean_up_tokenization_spaces",
    "model_max_length",
    "padding_side",
    "tokenizer_class",
    "truncation_side",
}
_SPECIAL = {  # of tokenizer_config.json: texts that must be tokens already
    "bos_token",
    "eos_token",
    "extra_special_tokens",
    "pad_token",
    "unk_token",
}
_OTHER_FILES = ("added_tokens.json", "special_tokens_map.json", "additional_chat_templates")  # read by transformers
_GIVEN = {"add_generation_prompt", "messages"}  # what a template may ask for


class LightTokenizer:
    """The calls of a transformers tokenizer that a prompt needs, under the same names."""

    def __init__(self, tokenizer: Any, template: Any) -> None:
        self._tokenizer = tokenizer
        self._template = template

    @classmethod
    def read(cls, folder: Path) -> LightTokenizer | None:
        """The tokenizer in a folder, None where it is for transformers to read."""
        from jinja2 import TemplateError
        from tokenizers import Tokenizer

        try:
            settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
            if any((folder / name).exists() for name in _OTHER_FILES) or not _is_plain(settings):
                return None
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            tokenizer.no_truncation()
            tokenizer.no_padding()
            template = _compile((folder / "chat_template.jinja").read_text(encoding="utf-8"))
        except (OSError, ValueError, TemplateError):
            return None
        except Exception as error:
            if type(error) is not Exception:  # tokenizers raises the bare class for a file that it cannot read
                raise
            return None
        known = all(tokenizer.token_to_id(text) is not None for text in _special_texts(settings))
        return cls(tokenizer, template) if known and template is not None else None

    def apply_chat_template(
        self, messages: Sequence[Mapping[str, Any]], *, tokenize: bool = False, add_generation_prompt: bool = False
    ) -> str:
        """Messages as the chat template puts them. Raises what Jinja raises."""
        if tokenize:
            raise ValueError("a light tokenizer renders text; tokenize it in a second call")
        return str(self._template.render(messages=list(messages), add_generation_prompt=add_generation_prompt))

    def __call__(self, text: str, *, add_special_tokens: bool = False) -> dict[str, list[int]]:
        """Token ids of a text under `input_ids`."""
        return {"input_ids": self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids}

    def convert_tokens_to_ids(self, token: str) -> int | None:
        """Id of one token, None for what is none."""
        found: int | None = self._tokenizer.token_to_id(token)
        return found


def _is_plain(settings: Any) -> bool:
    return (
        isinstance(settings, dict)
        and settings.get("tokenizer_class") == "TokenizersBackend"
        and settings.keys() <= _SETTINGS | _SPECIAL
        and all(isinstance(text, str) for text in _special_texts(settings))
    )


def _special_texts(settings: Mapping[str, Any]) -> list[Any]:
    values = [settings[name] for name in sorted(_SPECIAL & settings.keys()) if settings[name] is not None]
    return [text for value in values for text in (value if isinstance(value, list) else [value])]


def _compile(source: str) -> Any | None:
    """The template as transformers compiles it, None where it asks for more than is given here.

    The sandbox is Jinja's. What transformers puts in place of Jinja's own or adds to it (globals, a filter, tags) is
    left out, so that a template which needs it is seen to.
    """
    from jinja2 import meta
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals.clear()
    del environment.filters["tojson"]
    if meta.find_undeclared_variables(environment.parse(source)) - _GIVEN:
        return None
    return environment.from_string(source)
