"""Nesting and layers: one inside another, or one on top of another."""

from __future__ import annotations

from relsim.world.relations.base import Relation
from relsim.world.relations.nesting_contents import (
    bell_jar,
    bubble,
    cage,
    droste_corner,
    droste_middle,
    droste_side,
    in_bowl,
    in_box,
    in_jar,
    netted,
)
from relsim.world.relations.nesting_layers import (
    layers_half,
    layers_slab,
    layers_wedge,
    nested_centred,
    nested_polygons,
    nested_to_a_side,
    strata_cake,
    strata_flat,
    strata_wavy,
)

FAMILY = "nesting"

RELATIONS = (
    Relation(
        "concentric_copies",
        FAMILY,
        (
            "The same {Shape} nested inside itself, smaller and smaller",
            "Ever smaller copies of one {Shape} set inside each other",
            "A {Shape} within the same {Shape} within the same {Shape}",
            "Concentric copies of a {Shape}, shrinking toward the center",
            "Each {Shape} contains a smaller version of the identical {Shape}",
            "Nested {Shapes} like dolls, each inside the next larger one",
            "Repeated {Shape} shrinking inward, one nested in another",
        ),
        (nested_centred, nested_polygons, nested_to_a_side),
    ),
    Relation(
        "layers_cutaway",
        FAMILY,
        (
            "Cutaway of a {Body} showing its inner {Layers} around a {Core}",
            "Cross-section of {Object} revealing skin, {Layers} and {Core}",
            "A {Body} cut open so that its interior {Layers} can be seen",
            "Sliced {Object} exposes the shells between surface and {Core}",
            "The inside structure of a {Body} in cross-section, layer under layer",
            "A cut through {Object} shows an outer crust, inner {Layers} and a {Core}",
            "Interior of a {Body} laid open: crust, {Layers}, {Core}",
        ),
        (layers_half, layers_wedge, layers_slab),
    ),
    Relation(
        "container",
        FAMILY,
        (
            "A {Container} filled with many {Items}",
            "Several {Items} kept together inside one {Container}",
            "{Items} stored in a {Container}",
            "An open {Container} holding a load of {Items}",
            "A vessel full of {Items}",
            "Many {Items} lie inside a {Container}",
            "A {Container} packed with {Items}",
        ),
        (in_jar, in_bowl, in_box),
    ),
    Relation(
        "stacked_strata",
        FAMILY,
        (
            "Horizontal {Strata} stacked on each other, each with its own {Items}",
            "Levels of {Material} lying one above another, different {Items} in every level",
            "Bands of {Material} piled up like sediment, {Items} embedded in them",
            "A stack of {Tiers}, each tier bearing another kind of {Item}",
            "Stratified {Material} with {Items} buried at every level",
            "Layer upon layer of {Material} from bottom to top, holding {Items}",
            "Sediment-like tiers of {Material}, one on top of the other, with {Items}",
        ),
        (strata_flat, strata_wavy, strata_cake),
        turn=8.0,
    ),
    Relation(
        "picture_in_picture",
        FAMILY,
        (
            "A framed {Picture} that contains the same framed {Picture} again",
            "Recursive image: the {Scene} appears within its own picture frame",
            "A {Picture} inside a {Picture} inside a {Picture}",
            "{Scene} showing a frame with the same {Scene} in it, endlessly",
            "The frame holds an image of itself, repeated in depth",
            "Self-containing {Picture}: every frame shows the whole frame again",
            "An image of {Scene} which includes a framed image of that {Scene}",
        ),
        (droste_side, droste_middle, droste_corner),
        turn=8.0,
    ),
    Relation(
        "enclosed",
        FAMILY,
        (
            "A single {Object} enclosed by a transparent {Enclosure}",
            "One {Object} trapped within a see-through {Enclosure}",
            "{Object} caught and surrounded on all sides by an {Enclosure}",
            "An {Enclosure} encloses the {Object} like a cage or a bubble",
            "The {Object} is imprisoned, visible inside its {Enclosure}",
            "Captive {Object} enclosed by a transparent {Enclosure}",
            "A see-through {Enclosure} confines one {Object}",
        ),
        (bubble, bell_jar, netted, cage),
    ),
)
