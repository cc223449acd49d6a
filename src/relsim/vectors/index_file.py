"""`index/KIND.json` in the folder of a table: what an index was made of, by which settings, and how well it finds.

    features/index/
        hnsw.json                  rewritten last, when the index is whole
        hnsw-1f2e3d4c5b6a.usearch  named by its SHA-256, as the parts of a table are
        .lock                      held by the one process that builds

An index holds for the rows of the parts that the table still has: it lists the parts that it was made of, by their
SHA-256 and in their order (`relsim.vectors.index_runs`). What the table has besides was added or changed since, and is
searched exactly.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from relsim.errors import TableError
from relsim.vectors.index_runs import IndexedPart, Runs, common_runs
from relsim.vectors.publish import publish, sha256_of, system_errors
from relsim.vectors.texts import kept_bytes
from relsim.vectors.view import HASH_ON_OPEN, TableView

FOLDER = "index"
FORMAT = "relsim.vector_index"
VERSION = 1
BYTES_PER_ROW = 56
"""What a search takes for each row besides index and texts: 16 for hashes of ids, when many are looked for, and room
for reading texts."""


class NewerIndexError(TableError):
    """A document of another version of the format: its index belongs to another relsim."""


@dataclass(frozen=True, slots=True)
class Recall:
    """The share of the true k nearest that the index found, over a seeded sample of rows, none finding itself.

    `value` is the mean over the queries, `lowest` that of the worst query. A match as near as the k-th counts as found.
    """

    k: int
    queries: int
    seed: int
    value: float
    lowest: float


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """The facts of one index. `given` names the parameters that somebody chose: what is built in its place has them."""

    kind: str
    file: str
    bytes: int
    sha256: str
    dimension: int
    fingerprint: Mapping[str, Any]
    parts: tuple[IndexedPart, ...]
    parameters: Mapping[str, int]
    given: tuple[str, ...]
    recall: Recall
    seconds: float
    made_by: str

    @property
    def rows(self) -> int:
        """Number of vectors in the index."""
        return sum(part.rows for part in self.parts)

    @property
    def memory(self) -> int:
        """Bytes that a search by this index holds at most: its file, mapped, texts of what was found, hashes of ids.

        Pages of the table's vectors that were compared come on top; the system drops them when it needs the room.
        """
        return self.bytes + kept_bytes(self.rows) + BYTES_PER_ROW * self.rows

    def runs(self, table: TableView) -> Runs:
        """The rows of the index that the table still has."""
        if self.dimension != table.dimension or self.fingerprint != table.fingerprint.to_dict():
            return Runs([])
        return common_runs(self.parts, table)

    def to_json(self) -> dict[str, Any]:
        """The document."""
        return {"format": FORMAT, "version": VERSION, "rows": self.rows, "memory": self.memory, **asdict(self)}

    def save(self, folder: Path) -> None:
        """Put these facts in the place of those of the folder's index of the kind."""
        text = json.dumps(self.to_json(), indent=1, ensure_ascii=False)

        def write(path: Path) -> None:
            path.write_bytes(text.encode())

        publish(folder / f"{self.kind}.json", write)

    @classmethod
    def load(cls, path: Path) -> IndexFacts:
        """Read a document; raises `TableError` if it is damaged, `NewerIndexError` if of another version."""
        with system_errors("read", path):
            data = path.read_bytes()
        try:
            return cls._parse(json.loads(data), path)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise TableError(f"{path} is damaged: {error!r:.200}. {_again(path.parent.parent)}") from error

    @classmethod
    def _parse(cls, document: Any, path: Path) -> IndexFacts:
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise ValueError(f'it does not say "format": "{FORMAT}"')
        if document["version"] != VERSION:
            raise NewerIndexError(
                f"{path} has version {document['version']!r}; this relsim reads version {VERSION}. Upgrade relsim."
            )
        facts = {name: document[name] for name in cls.__dataclass_fields__ if name != "given"}
        facts["given"] = tuple(name for name in document.get("given", ()) if name in document["parameters"])
        facts["parts"] = tuple(IndexedPart.from_json(part) for part in document["parts"])
        facts["recall"] = Recall(**document["recall"])
        found = cls(**facts)
        if document["rows"] != found.rows or found.file != Path(found.file).name or found.kind != path.stem:
            raise ValueError("its rows, its file or its kind is not that of the index")
        numbers = {found.dimension, found.bytes, *found.parameters.values()}
        if not all(type(number) is int and number > 0 for number in numbers) or not isinstance(found.fingerprint, dict):
            raise ValueError("a number or the fingerprint is none")
        return found

    def check_file(self, folder: Path) -> Path:
        """The file of the index, of the size that is noted and, up to 16 MiB, of that content; else `TableError`."""
        path = folder / self.file
        with system_errors("read", path):
            same = path.stat().st_size == self.bytes
            if same and self.bytes <= HASH_ON_OPEN:
                same = sha256_of(path.read_bytes()) == self.sha256
        if not same:
            raise TableError(f"{path} is not the file that {self.kind}.json tells of. {_again(folder.parent)}")
        return path


def kinds_there(table: TableView, kinds: Iterable[str]) -> list[str]:
    """The kinds of which the table has an index, in their order."""
    return [kind for kind in kinds if (table.path / FOLDER / f"{kind}.json").exists()]


def _again(table: Path) -> str:
    return f"Build it again: relsim index {table}"
