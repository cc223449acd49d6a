"""The card of a data set: what it is, how it was made, what is in it, and under which licence it may be passed on.

A card is README.md with a YAML header, as the Hugging Face Hub reads it. Data that comes of the catalog keeps the
catalog's licence (CC BY-NC-SA 4.0 asks for that); for other data the licence is what its owner states.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from relsim._version import __version__
from relsim.data.catalog import CATALOG, CITATION, LICENCE, LICENCE_ID, LICENCE_TERMS, NAMES
from relsim.data.curation.statistics import Statistics
from relsim.data.identity import printable
from relsim.errors import SourceError

UNKNOWN = "unknown"
_IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_MORE = "1M<n<10M"


@dataclass(frozen=True, slots=True)
class Terms:
    """The licence by the Hub's identifier, and whether it is the one that the catalog's data must keep."""

    licence: str
    from_catalog: bool


def terms_of(origin: Mapping[str, Any] | None, stated: str | None = None) -> Terms:
    """The licence of a collection with that origin (see `relsim.data.shard_contents`).

    `stated` is a licence that its owner names (`mit`, `cc-by-4.0`, …). Raises SourceError if that is not an identifier,
    or another than that of the catalog's data.
    """
    if stated is not None and not _IDENTIFIER.fullmatch(stated):
        raise SourceError(f"{printable(stated)!r} is not a licence; name it as the Hub does: mit, cc-by-4.0, other")
    if not _is_of_catalog(origin):
        return Terms(stated or UNKNOWN, from_catalog=False)
    if stated not in (None, LICENCE_ID):
        raise SourceError(
            f"this data comes of the catalog, whose licence is {LICENCE} and must be kept: {LICENCE_TERMS}; "
            f"leave {stated} out"
        )
    return Terms(LICENCE_ID, from_catalog=True)


def data_card(
    title: str,
    facts: Statistics,
    terms: Terms,
    *,
    origin: Mapping[str, Any] | None = None,
    data_files: Sequence[tuple[str, str]] = (),
) -> str:
    """The text of README.md; `data_files` are (split, pattern) of the Parquet files, where there are some."""
    parts = [
        _header(terms, facts, data_files),
        f"# {title}",
        f"{facts.rows:,} rows, {facts.statuses.get('ok', 0):,} of them with an image.",
        "## How it was made",
        _made(facts, origin),
        "## What is in it",
        _table(_counts(facts)),
        "## Licence",
        _licence(terms),
    ]
    if terms.from_catalog:
        parts += ["## Citation", CITATION]
    return "\n\n".join(parts) + "\n"


def _is_of_catalog(origin: Mapping[str, Any] | None) -> bool:
    if origin is None:
        return False
    name, digest = origin.get("name"), origin.get("sha256")
    files = {file.name for entry in CATALOG for file in entry.files}
    digests = {file.sha256 for entry in CATALOG for file in entry.files if file.sha256}
    return isinstance(name, str) and (name in NAMES or PurePath(name).name in files or digest in digests)


def _header(terms: Terms, facts: Statistics, data_files: Sequence[tuple[str, str]]) -> str:
    size = next((name for limit, name in _SIZES if facts.rows < limit), _MORE)
    lines = ["---", f"license: {terms.licence}", f"size_categories: [{size}]", "tags: [relational-similarity, relsim]"]
    if data_files:
        lines += ["configs:", "- config_name: default", "  data_files:"]
        lines += [line for split, path in data_files for line in (f"  - split: {split}", f'    path: "{path}"')]
    return "\n".join([*lines, "---"])


def _made(facts: Statistics, origin: Mapping[str, Any] | None) -> str:
    of = "a folder of images"
    if origin is not None:
        digest = origin.get("sha256")
        of = f"the list `{printable(str(origin.get('name', '?')))}`" + (f" (SHA-256 `{digest}`)" if digest else "")
    how = "downloaded from their addresses" if facts.kind in ("shards", "files") else "read from files"
    return f"Images of {of}, {how} and checked by relsim {__version__}. Their bytes are the original ones."


def _counts(facts: Statistics) -> dict[str, str]:
    rows = {f"status `{name}`": f"{count:,}" for name, count in facts.statuses.items()}
    rows |= {f"format {name}": f"{count:,}" for name, count in facts.formats.items()}
    if facts.pixels is not None:
        rows["pixels of an image, median"] = f"{facts.pixels.quantiles['50']:,}"
    rows["rows with a caption"] = f"{facts.captions.present:,} ({facts.captions.distinct:,} different captions)"
    rows["images with the bytes of another"] = f"{facts.repeated_bytes:,}"
    return rows


def _licence(terms: Terms) -> str:
    if terms.from_catalog:
        return (
            f"The lists and captions are published under {LICENCE}: {LICENCE_TERMS}. This data set keeps that licence. "
            "The images belong to their owners; nothing here gives rights in them."
        )
    stated = "Nobody has stated a licence." if terms.licence == UNKNOWN else f"As its owner states: `{terms.licence}`."
    return f"{stated} Images from the web belong to their owners; nothing here gives rights in them."


def _table(rows: Mapping[str, str]) -> str:
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows.items())])
