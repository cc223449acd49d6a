"""The object kinds of the drawn world: small vector drawings that a person knows at a glance."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from relsim.world.objects import (
    animals,
    buildings,
    clothing,
    food,
    household,
    music,
    plants,
    shapes,
    sky,
    tools,
    toys,
    vehicles,
)
from relsim.world.objects.base import INK, MAIN, PAPER, SECOND, ObjectKind, Part

_MODULES = (animals, buildings, clothing, food, household, music, plants, shapes, sky, tools, toys, vehicles)

_KINDS = sorted((kind for module in _MODULES for kind in module.KINDS), key=lambda kind: kind.name)

OBJECTS: Mapping[str, ObjectKind] = MappingProxyType({kind.name: kind for kind in _KINDS})
"""All kinds, by name, in alphabetical order."""

__all__ = ["INK", "MAIN", "OBJECTS", "PAPER", "SECOND", "ObjectKind", "Part"]
