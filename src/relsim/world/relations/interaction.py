"""The family `interaction`: things tied to one another, or moving to, from and after one another."""

from __future__ import annotations

from relsim.world.relations.base import Relation
from relsim.world.relations.interaction_flows import BURST, CONVERGENCE
from relsim.world.relations.interaction_moves import CHASE, EXCHANGE
from relsim.world.relations.interaction_ties import CHAIN, CYCLE, HUB, TREE

RELATIONS: tuple[Relation, ...] = (
    Relation(
        "chain_links",
        "interaction",
        (
            "{Objects} linked together into a chain, each joined to the next",
            "A chain in which every {Object} is linked to its neighbor",
            "{Items} connected one to the next by chain links",
            "Chain of {Objects} held together by links or ropes",
            "Each {Element} is tied to the next, making one long chain",
            "A series of {Items} coupled together link by link",
            "{Objects} joined end to end in a linked chain",
        ),
        CHAIN,
    ),
    Relation(
        "cycle_arrows",
        "interaction",
        (
            "A cycle of {Stages} with arrows leading from each to the next",
            "{Stages} in a continuous loop, connected by circular arrows",
            "Cyclic process: arrows lead around the {Items} and back to the first",
            "Circular arrows connect the {Stages} of a repeating cycle",
            "An endless cycle in which each {Stage} leads to the next",
            "Cycle diagram with {Steps} that return to the beginning",
            "Arrows run round and round through a recurring cycle of {Stages}",
        ),
        CYCLE,
    ),
    Relation(
        "hub_and_spokes",
        "interaction",
        (
            "A central {Hub} connected by lines to many {Nodes} around it",
            "One {Hub} in the center joined to several {Nodes} by spokes",
            "Hub and spokes: lines connect {Center} with all the {Nodes}",
            "Spokes extend from a central {Hub} to the surrounding {Nodes}",
            "A network in which every {Node} is linked to the same central {Hub}",
            "Lines run from the {Hub} like spokes to each outer {Node}",
            "{Nodes} all attached by spokes to one {Hub}",
        ),
        HUB,
    ),
    Relation(
        "branching_tree",
        "interaction",
        (
            "A branching tree diagram from one {Root} down to several {Leaves}",
            "Hierarchy in which one {Parent} branches into {Children} on lower levels",
            "Tree structure: {Parent} splits into {Children}, which split again",
            "A family tree of {Items} that branches level by level",
            "One {Root} dividing into branches, each dividing again into {Leaves}",
            "Hierarchical chart with {Parent} at the top and branches of {Children}",
            "Levels of a hierarchy branch out from a single {Root}",
        ),
        TREE,
        turn=10.0,
    ),
    Relation(
        "exchange",
        "interaction",
        (
            "Two {Subjects} exchange something with each other",
            "A mutual exchange between {Subject A} and {Subject B}",
            "{Subject A} gives to {Subject B} and receives something in return",
            "Two opposite arrows show an exchange between two {Subjects}",
            "A swap between two {Parties}, one arrow each way",
            "{Subject A} and {Subject B} trade with each other in both directions",
            "Reciprocal exchange: each of two {Parties} gives and takes",
        ),
        EXCHANGE,
    ),
    Relation(
        "convergence",
        "interaction",
        (
            "Many {Objects} converge on a single {Target}",
            "Arrows from several {Sources} all point to one {Target}",
            "Several {Sources} flow together into one {Target}",
            "All arrows converge from different directions on the same {Target}",
            "Many {Inputs} merge into a single {Target}",
            "Convergence of several {Sources} toward one common {Target}",
            "Multiple arrows meet at one {Target}",
        ),
        CONVERGENCE,
    ),
    Relation(
        "burst",
        "interaction",
        (
            "{Pieces} burst outward from a center in all directions",
            "An explosion sends {Pieces} flying away from the middle",
            "{Pieces} fly outward from an exploding {Object}",
            "A sudden burst flings {Items} outward with motion lines",
            "Exploding center with {Pieces} thrown out in every direction",
            "{Items} shoot outward as if blown up by a blast",
            "Explosive outburst scattering {Pieces} from one point",
        ),
        BURST,
    ),
    Relation(
        "chase",
        "interaction",
        (
            "{Subject} chasing {Other Subject} along a path",
            "One {Subject} runs after another in a chase",
            "{Pursuer} follows closely behind a fleeing {Subject}",
            "A pursuit: {Pursuer} races after {Subject}, leaving a trail",
            "{Subject} is being chased by {Pursuer}",
            "{Pursuer} hot on the trail of {Subject}",
            "A chase scene, {Pursuer} speeding after {Subject}",
        ),
        CHASE,
    ),
)
