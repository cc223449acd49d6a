"""Encoders as a person names them: `NAME`, or `NAME:option=value,…` with the options that the encoder takes.

`LABEL=` before it is what results call it; without one they call it by the whole text.

    descriptors
    descriptors:side=128,grid=8
    relational:checkpoint_dir=thaoshibe/relsim-qwenvl25-lora,recipe=crop448
    my_module:Encoder:weights=a.bin
    by logic=prompted:instruction=match the relations, ignore the objects

A value is a whole number, a decimal number, true, false, or else text; in double quotes it is text whatever it looks
like. A comma begins the next option where a name and `=` follow it, so that text may have commas.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from relsim.encoders import DEFAULT_ENCODER
from relsim.errors import EncoderError

Value = str | int | float | bool

_OPTIONS = re.compile(r":(?=[A-Za-z_]\w*=)")
_LABELLED = re.compile(r"(?P<label>[^:=,/]*[^:=,/\s])\s*=\s*(?P<text>[A-Za-z_].*)", re.DOTALL)
_NEXT = re.compile(r",(?=[A-Za-z_]\w*=)")
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """An encoder's name, its options, and what results call it: a label of its own, or the text that named both."""

    label: str
    name: str
    options: Mapping[str, Value] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> EncoderSpec:
        """Raises `EncoderError` for a text without a name, or with an option twice."""
        labelled = _LABELLED.fullmatch(text)
        name, *rest = _OPTIONS.split(labelled["text"] if labelled else text, maxsplit=1)
        if not name or "=" in name:
            raise EncoderError(
                f"{text!r} names no encoder; write NAME or NAME:option=value,option=value, after LABEL= or without"
            )
        options: dict[str, Value] = {}
        for option in _NEXT.split(rest[0]) if rest else ():
            key, _, value = option.partition("=")
            if key in options:
                raise EncoderError(f"{text!r} gives {key} twice")
            options[key] = _value(value)
        return cls(labelled["label"] if labelled else text, name, options)

    @classmethod
    def of(cls, origin: Mapping[str, Value]) -> EncoderSpec:
        """The spec of what a table records of its encoder. Raises `EncoderError` for a text that none can hold."""
        options = dict(origin)
        name = str(options.pop("encoder", DEFAULT_ENCODER))
        listed = ",".join(f"{option}={_written(value)}" for option, value in options.items())
        spec = cls.parse(f"{name}:{listed}" if listed else name)
        if (spec.name, spec.options) != (name, options):
            raise EncoderError(f"the encoder {name} with {options!r} cannot be written in one line")
        return spec


def _written(value: Value) -> str:
    """A value as `parse` reads it: text that looks like something else is quoted."""
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, str) and _value(value) != value else str(value)


def _value(text: str) -> Value:
    if text in ("true", "false"):
        return text == "true"
    if _NUMBER.fullmatch(text):
        return float(text) if any(sign in text for sign in ".eE") else int(text)
    if len(text) > 1 and text[0] == text[-1] == '"':
        try:
            quoted = json.loads(text)
        except ValueError as error:
            raise EncoderError(f"{text} is no text in double quotes, as JSON has it") from error
        return str(quoted)
    return text
