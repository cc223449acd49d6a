"""Why two pictures are alike: where a model looks, what it depends on, and which sentences it finds near.

- occlusion: how far the similarity falls where a part of a picture is covered
- faithfulness: whether a map tells what the similarity depends on
- nearest: the anonymous captions that are nearest to one picture, to the other and to both
- pair: all of it for two pictures
- picture: one figure of it
"""
