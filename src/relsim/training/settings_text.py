"""Settings as text: YAML in and out, dotted overrides, and what a validation error means in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from relsim.data.identity import printable
from relsim.errors import TrainingError

_LONGEST_VALUE = 80
_EXAMPLE = "optimizer.learning_rate=2e-4"


def parse_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds. Raises `TrainingError`, also for a key that is given twice."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - it is a safe loader
    except OSError as error:
        raise TrainingError(
            f"{printable(str(path))} cannot be read: {(error.strerror or str(error)).lower()}"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise TrainingError(f"{printable(str(path))} is no YAML: {_yaml_reason(error)}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise TrainingError(
            f"{printable(str(path))} must hold sections (run, model, data, ...), each with its settings"
        )
    return content


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values of both; where both have one, that of `above` counts, null included."""
    result = _copied(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def with_overrides(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Nested values with `section.key=value` texts put on top, the later over the earlier; a value is YAML."""
    result = _copied(values)
    for text in overrides:
        name, equals, value = text.partition("=")
        keys = [key.strip() for key in name.split(".")]
        if not equals or len(keys) < 2 or not all(keys):
            raise TrainingError(f"the override {printable(text)!r} is not of the form section.key=value ({_EXAMPLE})")
        try:
            parsed = yaml.load(value, Loader=_Loader)  # noqa: S506 - it is a safe loader
        except (yaml.YAMLError, RecursionError) as error:
            raise TrainingError(f"the override {printable(text)!r} has no YAML value: {_yaml_reason(error)}") from error
        place = result
        for key in keys[:-1]:
            if place.get(key) is None:
                place[key] = {}
            below = place[key]
            if not isinstance(below, dict):
                raise TrainingError(
                    f"the override {printable(text)!r} goes through {key}, which is a value, no section"
                )
            place = below
        place[keys[-1]] = parsed
    return result


def to_yaml(values: Mapping[str, Any]) -> str:
    """Nested plain values as YAML, in their order."""
    return str(yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120))


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Each fault of a configuration as "key is value; acceptable: ...", in one line."""
    return "; ".join(dict.fromkeys(_fault(item, model) for item in error.errors(include_url=False)))


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice, of which YAML would silently keep the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for place, key in enumerate(keys):
            if isinstance(key, str) and key in keys[:place]:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """SafeDumper with texts of several lines as blocks."""

    def represent_text(self, text: str) -> Any:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _Dumper.represent_text)


def _fault(item: ErrorDetails, model: type[BaseModel]) -> str:
    keys = [key for key in item["loc"] if isinstance(key, str)]
    name = _dotted(item["loc"])
    if item["type"] == "missing":
        return f"{name} is not set, and it has no default"
    if item["type"] == "extra_forbidden":
        return f"{name} is not known; {_suggestion(model, keys)}"
    if item["type"] == "value_error" and not keys:
        return str(item["ctx"]["error"])
    return f"{name} is {_shown(item['input'])}; acceptable: {_acceptable(item, model, keys)}"


def _acceptable(item: ErrorDetails, model: type[BaseModel], keys: Sequence[str]) -> str:
    if item["type"] == "value_error":
        return str(item["ctx"]["error"])
    if item["type"] == "literal_error":
        return str(item["ctx"]["expected"])
    if item["type"] in ("model_type", "model_attributes_type"):
        return f"a section with {', '.join(_known(model, keys))}"
    text = item["msg"].partition(",")[0].removeprefix("Input should be").strip()
    return text[:1].lower() + text[1:]


def _suggestion(model: type[BaseModel], keys: Sequence[str]) -> str:
    """The setting that an unknown one was meant to be: of a like name in its section, or of its name in another."""
    *section, wrong = keys
    known = list(_known(model, section))
    meant = [[*section, name] for name in difflib.get_close_matches(wrong, known, 1)]
    meant = meant or [list(path) for path in _paths(model) if path[-1] == wrong]
    hint = f"did you mean {'.'.join(meant[0])}? " if meant else ""
    return f"{hint}{'.'.join(section) or 'the configuration'} has {', '.join(known)}"


def _known(model: type[BaseModel], keys: Sequence[str]) -> Iterator[str]:
    """Names of the settings in a section."""
    for key in keys:
        inner = model.model_fields[key].annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return
        model = inner
    yield from model.model_fields


def _paths(model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    """Every setting, sections first left out, as its keys."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from ((name, *path) for path in _paths(field.annotation))
        else:
            yield (name,)


def _dotted(places: Sequence[str | int]) -> str:
    """`("optimizer", "betas", 1)` as `optimizer.betas[1]`."""
    text = "".join(f"[{place}]" if isinstance(place, int) else f".{place}" for place in places)
    return text.removeprefix(".") or "the configuration"


def _shown(value: Any) -> str:
    text = printable(repr(value))
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "..."


def _copied(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, Mapping) else value for key, value in values.items()}


def _yaml_reason(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        where = "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"
        return f"{error.problem or error.context}{where}"
    return " ".join(str(error).split()) or type(error).__name__
