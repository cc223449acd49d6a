"""Encoders: images in, unit vectors out, behind one protocol."""

DEFAULT_ENCODER = "relational"
"""Here and not in the registry, so that the command line's help needs no numpy."""
