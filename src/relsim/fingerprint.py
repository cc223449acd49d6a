"""Fingerprints: what a vector depends on, so that vectors cannot be mixed by mistake.

A fingerprint is a flat, ordered set of named facts (encoder, digest of the weights, prompt, recipe, precision, …).
Two vectors may stand in one table only if their fingerprints are equal. Device, batch size and version of this
package are not part of it: they change a vector by rounding only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

Fact: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Named facts, sorted by name. Equal facts make equal vectors up to rounding."""

    facts: tuple[tuple[str, Fact], ...]

    @classmethod
    def of(cls, facts: Mapping[str, Fact]) -> Fingerprint:
        """From a mapping; the order of its entries does not matter."""
        return cls(tuple(sorted(facts.items())))

    def to_dict(self) -> dict[str, Fact]:
        """The facts as a plain dictionary, ready for JSON."""
        return dict(self.facts)

    @property
    def digest(self) -> str:
        """First 16 hex digits of the SHA-256 of the facts' canonical JSON."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def differences(self, other: Fingerprint) -> dict[str, tuple[Fact, Fact]]:
        """Facts that differ, as `{name: (mine, theirs)}`; a fact that one side lacks counts as None there."""
        mine, theirs = self.to_dict(), other.to_dict()
        return {
            name: (mine.get(name), theirs.get(name))
            for name in sorted(mine.keys() | theirs.keys())
            if mine.get(name) != theirs.get(name)
        }

    def __str__(self) -> str:
        return self.digest
