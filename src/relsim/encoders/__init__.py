"""Encoders: images in, unit vectors out, behind one protocol."""
