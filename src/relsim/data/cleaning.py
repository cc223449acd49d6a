"""Captions and links without the leftovers of the programs that wrote them: stray quotes, and `&amp;` in a URL.

What was published is never changed: the cleaned text stands beside it, in `caption_clean` and `url_clean` of a row's
extra fields, and only where it differs.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any

from relsim.data.manifest import ManifestRow

CAPTION_CLEAN, URL_CLEAN = "caption_clean", "url_clean"

_QUOTE = '"'
_PAIRS = (('"', '"'), ("\u201c", "\u201d"))
_OPENS_AFTER = frozenset(" \t\n([{-\u2014/")
# Names that HTML writers produce. Others (`&lang;`, `&copy`) may be parameters that a URL really has.
_REFERENCE = re.compile(r"&(?:amp|quot|lt|gt|apos|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});")
_TIMES_ESCAPED = 3
_NO_SIGN = "\ufffd"  # what a number that stands for nothing becomes


def clean_caption(text: str) -> str:
    """The caption without surrounding white space and without quotes that enclose it or that have no partner.

    Quotes around a part of it stay: `"Stop" in {Language}` is as it was.
    """
    text = text.strip()
    for opening, closing in _PAIRS:
        inner = _enclosed(text, opening, closing)
        if inner is not None:
            return inner.strip()
    if text.count(_QUOTE) == 1 and text[0] == _QUOTE:
        return text[1:].strip()
    if text.count(_QUOTE) == 1 and text[-1] == _QUOTE:
        return text[:-1].strip()
    return text


def clean_url(text: str) -> str:
    """The URL without surrounding white space and with character references of HTML (`&amp;`, `&#038;`) resolved."""
    text = text.strip()
    for _ in range(_TIMES_ESCAPED):
        resolved = _REFERENCE.sub(_resolved, text)
        if resolved == text:
            break
        text = resolved
    return text


def cleaned(row: ManifestRow) -> ManifestRow:
    """The row with the cleaned caption and URL beside the raw ones; the row itself where there is nothing to clean."""
    extra: dict[str, Any] = {}
    if row.caption is not None and (caption := clean_caption(row.caption)) != row.caption:
        extra[CAPTION_CLEAN] = caption
    if row.url_link is not None and (url := clean_url(row.url_link)) != row.url_link:
        extra[URL_CLEAN] = url
    return ManifestRow(row.image_hash, row.url_link, row.caption, {**extra, **row.extra}) if extra else row


def caption_to_use(caption: str | None, extra: Mapping[str, Any]) -> str | None:
    """The cleaned caption where a row has one, else the caption."""
    value = extra.get(CAPTION_CLEAN, caption)
    return value if isinstance(value, str) else caption


def url_to_use(url: str | None, extra: Mapping[str, Any]) -> str | None:
    """The cleaned URL where a row has one, else the URL."""
    value = extra.get(URL_CLEAN, url)
    return value if isinstance(value, str) else url


def _enclosed(text: str, opening: str, closing: str) -> str | None:
    """What the quotes around the whole text enclose, or None if there are none. A full stop may follow them."""
    if len(text) < 2 or text[0] != opening:
        return None
    body, stop = (text[1:-1], ".") if text[-1] == "." else (text[1:], "")
    if not body.endswith(closing):
        return None
    inner = body[:-1]
    first = inner.find(closing)
    # An inner quote that begins nothing would be the end of what the first one began.
    if first > 0 and inner[first - 1] not in _OPENS_AFTER:
        return None
    return inner if inner.endswith(".") else inner + stop


def _resolved(reference: re.Match[str]) -> str:
    text = html.unescape(reference[0])
    return text if text.isprintable() and text != _NO_SIGN else reference[0]
