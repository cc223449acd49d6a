"""The family `arrangement`: how several things stand to one another, and nothing happens."""

from __future__ import annotations

from relsim.world.relations.arrangement_round import RING, SPIRAL, STRAY
from relsim.world.relations.arrangement_rows import ALTERNATION, GRID, PYRAMID, SYMMETRY
from relsim.world.relations.base import Relation

RELATIONS: tuple[Relation, ...] = (
    Relation(
        "ring",
        "arrangement",
        (
            "Several {Objects} arranged in a circle around an empty center",
            "{Objects} form a closed ring with nothing in the middle",
            "A ring of {Objects} surrounds an empty space",
            "An empty center encircled by a round of {Items}",
            "{Items} placed all around a circle, leaving its middle empty",
            "A wreath of {Objects} enclosing a hollow center",
            "Ring made of {Elements}, its center left empty",
        ),
        RING,
    ),
    Relation(
        "spiral",
        "arrangement",
        (
            "{Objects} arranged in a spiral that winds outward",
            "A spiral of {Objects} coiling out from the middle",
            "Many {Items} follow a winding spiral path",
            "{Elements} placed along a spiral, turn after turn",
            "A coil of {Objects} that spirals inward",
            "{Items} swirl in a widening spiral",
            "Spiral curve formed by a string of {Objects}",
        ),
        SPIRAL,
    ),
    Relation(
        "grid",
        "arrangement",
        (
            "{Objects} arranged in a regular grid of rows and columns",
            "Rows and columns of {Objects} fill a grid",
            "A complete grid with one {Item} in every cell",
            "{Items} lined up evenly in rows and columns",
            "A table of cells, each holding an {Object}",
            "Matrix of {Elements} in straight rows and columns",
            "Uniform grid layout in which {Objects} occupy every position",
        ),
        GRID,
        turn=9.0,
    ),
    Relation(
        "pyramid",
        "arrangement",
        (
            "{Objects} stacked in a pyramid of one, two and three",
            "A pyramid of {Objects} with each row longer by one",
            "A pyramid of {Items}, broad at the base and one at the tip",
            "Pyramid stack: a wide base of {Objects} tapering to one",
            "Pyramid-shaped stack of {Elements} in ever shorter levels",
            "{Objects} build a pyramid, fewer in each level",
            "A pyramid built from tiers of {Items}",
        ),
        PYRAMID,
        turn=9.0,
    ),
    Relation(
        "alternation",
        "arrangement",
        (
            "Two kinds of {Objects} alternate along a line",
            "{Object A} and {Object B} take turns in an alternating sequence",
            "An alternating pattern of {Item} and {Other Item} in a row",
            "{Object} next to {Other Object}, then again, alternating all along",
            "A line in which two types of {Items} alternate one by one",
            "Every other {Element} is of the second kind, in alternation",
            "Alternating series of two different {Objects}",
        ),
        ALTERNATION,
    ),
    Relation(
        "symmetry",
        "arrangement",
        (
            "{Objects} arranged symmetrically, left and right halves alike",
            "A symmetrical composition of {Objects} about a central axis",
            "Bilateral symmetry: each {Item} has a counterpart on the other side",
            "The left half of the {Objects} matches the right half symmetrically",
            "{Items} placed in perfect bilateral symmetry",
            "Pairs of {Objects} balanced symmetrically on both sides of the center",
            "Symmetric layout of several {Elements}, both halves identical",
        ),
        SYMMETRY,
        turn=8.0,
    ),
    Relation(
        "cluster_and_stray",
        "arrangement",
        (
            "A tight cluster of {Objects} with one stray far away",
            "One {Object} stands apart from a crowded group",
            "A crowd of {Items} close together and one left alone",
            "A lone {Object} isolated at a distance from the cluster",
            "{Objects} crowd together while one stays far from the group",
            "One isolated {Item} away from a dense crowd of others",
            "A solitary {Element} separated from the clustered group",
        ),
        STRAY,
    ),
)
