"""Vectors at rest: a table with provenance, search over it, exact or by an index, and the published `.npz`."""

from relsim.vectors.index_build import build_index
from relsim.vectors.index_search import SearchPath, VectorIndex, find_index
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
    "SearchPath",
    "Searcher",
    "TableView",
    "TwoAxisHit",
    "TwoAxisSearcher",
    "VectorIndex",
    "VectorTable",
    "build_index",
    "find_index",
    "import_npz",
    "read_npz",
    "top_k",
    "write_npz",
]
