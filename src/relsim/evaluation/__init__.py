"""Measurements of encoders, each with an interval: triplets with known truth, retrieval by label."""
