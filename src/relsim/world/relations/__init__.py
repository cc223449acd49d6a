"""All relations of the drawn world, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from relsim.world.relations import (
    arrangement,
    comparison,
    composition,
    depiction,
    interaction,
    nesting,
    reflection,
    sequence,
)
from relsim.world.relations.base import Layout, Relation
from relsim.world.relations.composed import PREFIX, composed_relation
from relsim.world.relations.portrait import PORTRAIT

__all__ = ["FAMILIES", "HELD_OUT_RELATIONS", "PORTRAIT", "RELATIONS", "Layout", "Relation", "relation_named"]

_MODULES = (arrangement, nesting, sequence, comparison, composition, interaction, depiction, reflection)

RELATIONS: Mapping[str, Relation] = MappingProxyType(
    {relation.name: relation for module in _MODULES for relation in module.RELATIONS}
)
"""Every relation, by name, family by family."""

FAMILIES = tuple(dict.fromkeys(relation.family for relation in RELATIONS.values()))
"""Families, in the order of `RELATIONS`."""

HELD_OUT_RELATIONS = (
    "spiral",
    "stacked_strata",
    "multiplication",
    "balance",
    "bouquet",
    "exchange",
    "dimensions",
    "water_reflection",
)
"""Relations that no training scene shows: one of each family."""


def relation_named(name: str) -> Relation:
    """The relation of that name, `PORTRAIT` and composed ones included. Raises `KeyError`."""
    if name.startswith(PREFIX):
        return composed_relation(name)
    return PORTRAIT if name == PORTRAIT.name else RELATIONS[name]
