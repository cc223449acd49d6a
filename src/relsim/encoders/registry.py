"""Encoders by name: those of this package, those that other packages offer, and a user's own.

`load_encoder` takes, in this order,

- a name of this package, such as `relational`, `clip` or `descriptors` (see `available` and docs/encoders.md);
- the name of an entry point in the group `relsim.encoders`, by which an installed package offers its encoder;
- `module:factory`, any importable function or class that makes one.

Whatever it makes is held against the `Encoder` protocol; no base class is needed. Nothing is imported before it is
asked for, so listing the encoders never loads torch.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from relsim.encoders import DEFAULT_ENCODER
from relsim.encoders.base import AnyEncoder
from relsim.errors import EncoderError, RelsimError
from relsim.fingerprint import Fingerprint

ENTRY_POINT_GROUP = "relsim.encoders"

_FACTS: dict[str, type] = {"name": str, "dimension": int, "fingerprint": Fingerprint}
_METHODS = ("prepare", "cost", "encode")
_REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


@dataclass(frozen=True, slots=True)
class EncoderInfo:
    """A name that `load_encoder` knows, and one line about what it makes."""

    name: str
    description: str


def available() -> list[EncoderInfo]:
    """What can be loaded by name: this package's encoders, then installed packages' by name. Imports none of them."""
    own = [EncoderInfo(name, description) for name, (description, _) in _OWN.items()]
    others = [point for point in entry_points(group=ENTRY_POINT_GROUP) if point.name not in _OWN]
    return own + [EncoderInfo(point.name, _origin(point)) for point in sorted(others, key=lambda point: point.name)]


def load_encoder(name: str, **options: Any) -> AnyEncoder:
    """Make the encoder `name`, the options being its own.

    Raises `EncoderError` for an unknown name, an option that the encoder does not take, a factory that fails, or an
    object that is no encoder; errors of this package pass through (`CheckpointError` of the relational encoder).
    """
    return check_encoder(make(name, _find(name), options), name)


def make(name: str, maker: Factory | str, options: Mapping[str, Any]) -> Any:
    """What a factory, or the one that `module:factory` names, makes of its options; errors as in `load_encoder`."""
    factory = _import(maker) if isinstance(maker, str) else maker
    _check_options(name, factory, dict(options))
    try:
        return factory(**options)
    except RelsimError:
        raise
    except Exception as error:
        raise EncoderError(f"the encoder {name} could not be made: {type(error).__name__}: {error}") from error


def options_of(name: str) -> frozenset[str]:
    """The options that the encoder `name` takes. Raises `EncoderError` for an unknown name."""
    maker = _find(name)
    try:
        return frozenset(inspect.signature(_import(maker) if isinstance(maker, str) else maker).parameters)
    except ValueError:  # built-in callables may have none
        return frozenset()


def may_use_gpu(name: str, options: Mapping[str, Any]) -> bool:
    """Whether the encoder `name` may compute on a GPU, with these options. One of somebody else's may if in doubt."""
    device = options.get("device")
    if device is not None:
        return not str(device).startswith("cpu")
    return name not in _OWN or "device" in options_of(name)


def origin_of(name: str, encoder: AnyEncoder, options: Mapping[str, Any]) -> dict[str, Any]:
    """What a table records of its encoder, so that `encoder_of` can make it again.

    Precision and recipe are recorded as they turned out, since another machine might choose otherwise, and so is the
    model, with its commit, where the encoder tells it (`origin`); the device is left to that machine. Local folders
    must still be where they were.
    """
    facts, takes = encoder.fingerprint.to_dict(), options_of(name)
    chosen = {
        "dtype": next((facts[fact] for fact in ("precision", "captioner_precision") if fact in facts), None),
        "recipe": facts.get("recipe"),
    }
    found = {**options, **getattr(encoder, "origin", {}), **{key: chosen[key] for key in chosen if key in takes}}
    kept = {option: _plain(value) for option, value in found.items() if value is not None}
    kept.pop("device", None)
    return {"encoder": name, **kept}


def _plain(value: Any) -> Any:
    """A value as JSON has it, so that a number is a number again; anything else as text."""
    return value if isinstance(value, (bool, int, float)) else str(value)


def encoder_of(origin: Mapping[str, Any]) -> AnyEncoder:
    """The encoder that made a table, from the origin that the table recorded. Raises `EncoderError`."""
    options = dict(origin)
    return load_encoder(options.pop("encoder", DEFAULT_ENCODER), **options)


def check_encoder(candidate: object, name: str | None = None) -> AnyEncoder:
    """The candidate itself, if it has every member of the protocol; `EncoderError` naming those at fault otherwise."""
    faults = []
    for member, kind in _FACTS.items():
        if not hasattr(candidate, member):
            faults.append(f"{member} is missing")
        elif not isinstance(value := getattr(candidate, member), kind) or isinstance(value, bool):
            faults.append(f"{member} is {value!r}, not of type {kind.__name__}")
        elif isinstance(value, int) and value < 1:
            faults.append(f"{member} is {value}, not positive")
    for member in _METHODS:
        if not hasattr(candidate, member):
            faults.append(f"{member}() is missing")
        elif not callable(getattr(candidate, member)):
            faults.append(f"{member} is not a method")
    if faults:
        kind_of = f"{type(candidate).__name__} is no encoder"
        who = kind_of if name is None else f"{name}: {kind_of}"
        raise EncoderError(f"{who}: {'; '.join(faults)} (the protocol is relsim.encoders.base.Encoder)")
    return cast("AnyEncoder", candidate)


def _relational(
    *,
    checkpoint_dir: str | None = None,
    base_model: str | None = None,
    cache_dir: str | None = None,
    revision: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    recipe: str | None = None,
    decode: str | None = None,
) -> AnyEncoder:
    from relsim.encoders.relational import RelationalEncoder
    from relsim.models.embedded import DEFAULT
    from relsim.models.loading import load_query_vlm

    vlm = load_query_vlm(
        DEFAULT if checkpoint_dir is None else checkpoint_dir,
        base_model=base_model,
        cache_dir=cache_dir,
        revision=revision,
        device=device,
        dtype=dtype,
        recipe=recipe,
        decode=decode,
    )
    return RelationalEncoder(vlm)


def _descriptors(*, side: int = 64, grid: int = 4) -> AnyEncoder:
    from relsim.encoders.descriptors import DescriptorEncoder

    return DescriptorEncoder("both", side=side, grid=grid)


def _descriptors_colour(*, side: int = 64, grid: int = 4) -> AnyEncoder:
    from relsim.encoders.descriptors import DescriptorEncoder

    return DescriptorEncoder("colour", side=side, grid=grid)


def _descriptors_hog(*, side: int = 64) -> AnyEncoder:
    from relsim.encoders.descriptors import DescriptorEncoder

    return DescriptorEncoder("hog", side=side)


def _fake() -> AnyEncoder:
    from relsim.encoders.fake import FakeEncoder

    return FakeEncoder()


Factory = Callable[..., AnyEncoder]

_OWN: dict[str, tuple[str, Factory | str]] = {
    "relational": ("a query-token VLM from a checkpoint: pictures are alike when they work alike", _relational),
    "descriptors": ("colour layout and edges, without weights: pictures are alike when they look alike", _descriptors),
    "descriptors-colour": ("the colour half of descriptors: which colours there are and where", _descriptors_colour),
    "descriptors-hog": ("the other half of descriptors: where edges are and which way they run", _descriptors_hog),
    "fake": ("mean colour in four numbers, for tests and dry runs", _fake),
    "clip": ("CLIP: pictures and sentences by what they show (the paper's CLIP-I)", "relsim.encoders.clip:load_clip"),
    "dino": ("DINOv2: pictures by what they show, learned without words", "relsim.encoders.dino:load_dino"),
    "dreamsim": (
        "DreamSim: pictures as people find them alike; needs the extra baselines",
        "relsim.encoders.dreamsim:load_dreamsim",
    ),
    "tuned-clip": (
        "CLIP tuned on anonymous captions, from a checkpoint",
        "relsim.encoders.tuned:load_tuned_clip",
    ),
    "tuned-dino": (
        "DINOv2 tuned on anonymous captions, from a checkpoint",
        "relsim.encoders.tuned:load_tuned_dino",
    ),
    "prompted": (
        "a multimodal sentence-transformers model, asked in words to look at relations",
        "relsim.encoders.prompted:load_prompted",
    ),
    # Captions stand above encoders; these are named as another package's would be, and nothing here imports them.
    "caption-minilm": (
        "a picture is its caption, in MiniLM's space",
        "relsim.captions.encoders:load_caption_minilm",
    ),
    "caption-clip": (
        "a picture is its caption, in CLIP's space (the paper's Qwen-T)",
        "relsim.captions.encoders:load_caption_clip",
    ),
    "clip-t": (
        "CLIP for the collection, the caption of a query for what is looked for (the paper's CLIP-T)",
        "relsim.captions.encoders:load_clip_t",
    ),
}
PAIRWISE: dict[str, tuple[str, str]] = {
    "lpips": (
        "LPIPS: distances of pairs, place by place; needs the extra baselines",
        "relsim.encoders.lpips:load_lpips",
    ),
}
"""Measures of pairs, which have no vectors: see `relsim.encoders.pairwise`."""


def _find(name: str) -> Factory | str:
    if name in _OWN:
        return _OWN[name][1]
    if name in PAIRWISE:
        raise EncoderError(
            f"{name} measures pairs and has no vectors to search by. relsim evaluate retrieval --rerank {name} ranks "
            "what an encoder finds; score, evaluate pairs and evaluate triplets take it, too"
        )
    offered = [point for point in entry_points(group=ENTRY_POINT_GROUP) if point.name == name]
    if len({point.value for point in offered}) > 1:
        sources = ", ".join(point.value for point in offered)
        raise EncoderError(f"several installed packages offer an encoder {name}; name one of {sources} instead")
    if offered:
        return offered[0].value.partition("[")[0].strip()
    if _REFERENCE.fullmatch(name):
        return name
    known = ", ".join(info.name for info in available())
    raise EncoderError(f"there is no encoder {name!r}; known are {known}, and module:factory names one of your own")


def _import(reference: str) -> Factory:
    module_name, _, path = reference.partition(":")
    try:
        found: Any = import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
    except Exception as error:
        raise EncoderError(
            f"{reference} cannot be imported ({type(error).__name__}: {error}); "
            "is its package installed, or its folder on PYTHONPATH?"
        ) from error
    if not callable(found):
        raise EncoderError(f"{reference} is {type(found).__name__}, not a function or class that makes an encoder")
    return cast("Factory", found)


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _check_options(name: str, factory: Factory, options: dict[str, Any]) -> None:
    """Refuse options that the factory does not take, or lacks. A TypeError of its own would mean something else."""
    try:
        signature = inspect.signature(factory)
    except ValueError:  # built-in callables may have none
        return
    try:
        signature.bind(**options)
    except TypeError as error:
        takes = ", ".join(signature.parameters) or "none"
        lacking = [
            option
            for option, parameter in signature.parameters.items()
            if parameter.default is parameter.empty and parameter.kind not in _VARIADIC and option not in options
        ]
        if lacking and options.keys() <= signature.parameters.keys():
            form = ",".join(f"{option}=..." for option in lacking)
            raise EncoderError(
                f"the encoder {name} needs {' and '.join(lacking)}, as in {name}:{form}; its options are {takes}"
            ) from error
        raise EncoderError(f"the encoder {name}: {error}; its options are {takes}") from error


def _origin(point: EntryPoint) -> str:
    return f"{point.value}, from the package {point.dist.name}" if point.dist else point.value
