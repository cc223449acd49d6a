"""What `relsim data stats` prints for a person."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from relsim.cli.output import emit, print_rows
from relsim.data.identity import printable

if TYPE_CHECKING:
    from relsim.captions.summary import CaptionSummary
    from relsim.data.curation.statistics import Spread, Statistics

_SHOWN = 10
_BAR = 30  # signs of the longest bar


def print_statistics(facts: Statistics, summary: CaptionSummary | None) -> None:
    """The facts of a collection, and what its captions are like, for a person."""
    repeats = f" ({facts.repeated_ids:,} repeat an id)" if facts.repeated_ids else ""
    emit(f"{printable(facts.name)}: {facts.rows:,} rows{repeats}")
    _print_bars("status", facts.statuses)
    _print_bars("format", facts.formats)
    spreads = {"width": facts.width, "height": facts.height, "pixels": facts.pixels, "bytes": facts.image_bytes}
    _print_spreads("images", {name: spread for name, spread in spreads.items() if spread is not None})
    if facts.stored_bytes is not None:
        emit(f"  {shown_size(facts.stored_bytes)} on the disk")
    if facts.repeated_bytes:
        emit(f"  {facts.repeated_bytes:,} have the bytes of another")
    captions = facts.captions
    emit("")
    emit(
        f"captions: {captions.present:,} rows with one, {captions.absent:,} without; {captions.distinct:,} different, "
        f"{captions.without_placeholder:,} without a placeholder, {captions.quoted:,} with stray quotes"
    )
    lengths = {"characters": captions.characters, "words": captions.words, "placeholders": captions.placeholders}
    _print_spreads("", {name: spread for name, spread in lengths.items() if spread is not None})
    _print_bars("repeated captions", captions.commonest)
    if summary is not None:
        _print_summary(summary)
    _print_bars("placeholders", captions.commonest_placeholders)
    if facts.groups:
        emit(f"groups: {facts.groups:,}")
    _print_bars(f"hosts ({facts.host_count:,})", {name: host["rows"] for name, host in facts.hosts.items()})


def _print_summary(summary: CaptionSummary) -> None:
    share = summary.anonymous
    emit("")
    emit(f"anonymous: {share.value:.1%} of the captions ({share.low:.1%} to {share.high:.1%})")
    _print_bars("what speaks against the others", summary.reasons)
    _print_bars("what they name", summary.named)
    emit("")
    if summary.near_duplicates is None:
        emit("captions that say nearly the same: not looked for, there are too many different ones")
    else:
        emit(f"captions that say nearly the same as an earlier one: {summary.near_duplicates:,}")
    for group in summary.alike:
        emit(f"  {printable(' / '.join(group))}")


def _print_bars(title: str, counts: Mapping[str, int]) -> None:
    """Counts with small bars, as far as the terminal's encoding has a sign for them."""
    if not counts:
        return
    emit("")
    emit(f"{title}:")
    shown = list(counts.items())[:_SHOWN]
    most, width = max(counts.values()), max(len(f"{count:,}") for _, count in shown)
    sign = "\u2588" if (sys.stdout.encoding or "").lower().startswith("utf") else "#"
    for name, count in shown:
        bar = sign * max(1, round(_BAR * count / most))
        emit(f"  {f'{count:,}'.rjust(width)}  {bar.ljust(_BAR)}  {printable(name)}")
    if len(counts) > len(shown):
        emit(f"  and {len(counts) - len(shown):,} more")


def _print_spreads(title: str, spreads: Mapping[str, Spread]) -> None:
    if not spreads:
        return
    emit("")
    places = list(next(iter(spreads.values())).quantiles)
    names = {"0": "least", "50": "median", "100": "most"}
    columns = [names.get(place, f"{place} %") for place in places]
    rows = [[*(f"{spread.quantiles[place]:,}" for place in places), name] for name, spread in spreads.items()]
    print_rows([*columns, title], rows)


def shown_size(count: int) -> str:
    """A number of bytes as a person reads it."""
    size, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1_000:
            break
        size, unit = size / 1_000, larger
    return f"{count:,} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
