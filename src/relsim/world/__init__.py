"""The drawn world: schematic scenes whose relations are known.

- palettes: colours and their names
- backgrounds: how the paper looks
- canvas: pixels and styles
- objects: kinds of things, as polygons
- stage: what a relation draws with
- relations: structures, the ways to draw them, and sentences for them that name nothing
- looks: everything about a scene but its relation; the splits
- descriptions: sentences that do name things
- scenes: a relation shown by a look, from a seed
- triplets: comparisons with a known answer
- gallery: folders of scenes and contact sheets
"""
