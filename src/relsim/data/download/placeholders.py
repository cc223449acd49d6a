"""Pictures that stand in for one that is gone: rules from files, and pictures that show nothing.

The rules that come with relsim are in `placeholders.txt`, which says what their form is. Without any rule, a picture of
one pixel in width or height, or of a single colour, is a placeholder.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from relsim.data.facts import ImageFacts, hamming_distance
from relsim.errors import SourceError

if TYPE_CHECKING:
    from yarl import URL

_BITS = 64
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PHASH = re.compile(r"[0-9a-f]{16}")


@dataclass(slots=True)
class Placeholders:
    """Rules by which a fetched picture is known for a placeholder. Each answer is a reason, or None."""

    digests: set[str] = field(default_factory=set)
    hashes: dict[str, int] = field(default_factory=dict)
    addresses: list[str] = field(default_factory=list)
    keep: bool = False  # whether nothing is a placeholder

    @classmethod
    def load(cls, further: Path | None = None, *, keep: bool = False) -> Placeholders:
        """The rules of relsim and those of a further file. Raises `SourceError` for lines that are no rules."""
        rules = cls(keep=keep)
        own = resources.files("relsim.data.download").joinpath("placeholders.txt")
        rules._add(own.read_text(encoding="utf-8").splitlines(), "placeholders.txt")
        if further is not None:
            try:
                lines = further.read_text(encoding="utf-8").splitlines()
            except (OSError, ValueError) as error:
                raise SourceError(f"cannot read the rules for placeholders in {further}: {error}") from error
            rules._add(lines, str(further))
        return rules

    def of_url(self, url: URL) -> str | None:
        """Whether an address is that of a placeholder."""
        if self.keep:
            return None
        address = f"{url.host}{url.path}"
        rule = next((rule for rule in self.addresses if fnmatch.fnmatchcase(address, rule)), None)
        return None if rule is None else f"the address of a known placeholder ({rule})"

    def of_image(self, facts: ImageFacts, *, one_colour: bool) -> str | None:
        """Whether a picture is a placeholder; `one_colour` says that all its pixels are equal."""
        if self.keep:
            return None
        if facts.sha256 in self.digests:
            return f"a known placeholder (sha256 {facts.sha256[:12]})"
        for known, bits in self.hashes.items():
            if hamming_distance(known, facts.phash) <= bits:
                return f"looks like a known placeholder (phash {known})"
        if min(facts.width, facts.height) == 1:
            return f"a picture of {facts.width} x {facts.height} pixels"
        return "a picture of a single colour" if one_colour else None

    def _add(self, lines: Iterable[str], name: str) -> None:
        for number, line in enumerate(lines, start=1):
            words = line.partition("#")[0].split()
            if words and not self._add_rule(*words):
                raise SourceError(
                    f"{name}, line {number}: {line.strip()!r} is no rule; a rule is "
                    "`url HOST/PATH`, `sha256 DIGEST` or `phash DIGEST [BITS]`"
                )

    def _add_rule(self, kind: str, value: str = "", bits: str = "", *rest: str) -> bool:
        """Add one rule, and say whether it was one."""
        if rest or (bits and kind != "phash"):
            return False
        digest = value.lower()
        if kind == "sha256" and _SHA256.fullmatch(digest):
            self.digests.add(digest)
        elif kind == "phash" and _PHASH.fullmatch(digest) and (not bits or bits.isdecimal()):
            self.hashes[digest] = min(int(bits or 0), _BITS)
        elif kind == "url" and "/" in value:
            self.addresses.append(value)
        else:
            return False
        return True
