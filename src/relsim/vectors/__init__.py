"""Vectors at rest: a table with provenance, exact search over it, and the published `.npz`."""

from relsim.vectors.npz import NpzVectors, import_npz, read_npz, write_npz
from relsim.vectors.search import Hit, Searcher
from relsim.vectors.table import VectorTable
from relsim.vectors.topk import Matches, top_k
from relsim.vectors.two_axis import TwoAxisHit, TwoAxisSearcher
from relsim.vectors.view import Row, TableView

__all__ = [
    "Hit",
    "Matches",
    "NpzVectors",
    "Row",
    "Searcher",
    "TableView",
    "TwoAxisHit",
    "TwoAxisSearcher",
    "VectorTable",
    "import_npz",
    "read_npz",
    "top_k",
    "write_npz",
]
