"""A shard folder on the Hugging Face Hub, with its card."""

from __future__ import annotations

import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from relsim.data.curation.card import UNKNOWN, Terms, data_card, terms_of
from relsim.data.curation.inventory import take_inventory
from relsim.data.curation.statistics import statistics_of
from relsim.data.shard_address import CONTENTS_NAME, is_shard_folder
from relsim.errors import SourceError
from relsim.hub import push_folder


@dataclass(frozen=True, slots=True)
class Pushed:
    """The address of the commit, the licence that the card names, and what was uploaded."""

    repository: str
    commit: str
    licence: str
    from_catalog: bool
    rows: int
    files: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {**asdict(self), "files": list(self.files)}


def push_shards(
    folder: str | os.PathLike[str], repo_id: str, *, licence: str | None = None, private: bool = False
) -> Pushed:
    """Upload a shard folder to a data set on the Hub, made if it is not there; its rows without an image go along.

    `licence` is needed where the data does not come of the catalog, and refused where it is another than the catalog's.
    Raises SourceError, `ShardError`, and `RelsimError` for what the Hub refuses.
    """
    from relsim.data.shards import ShardFolder

    if not is_shard_folder(folder):
        raise SourceError(f"{folder} is not a shard folder; relsim download makes one, or relsim data export")
    shards = ShardFolder.open(folder)
    terms = terms_of(shards.contents.origin, licence)
    if terms.licence == UNKNOWN:
        raise SourceError(
            "nobody has stated under which licence this data may be passed on; name it as the Hub writes it: "
            "--licence mit, cc-by-4.0, other"
        )
    files = [CONTENTS_NAME, *(part.name for part in shards.contents.parts)]
    with tempfile.TemporaryDirectory(prefix="relsim-push-") as temporary:
        # Links, so that gigabytes are not copied, and files that belong to a running download stay here.
        for name in files:
            (Path(temporary) / name).symlink_to(shards.path / name)
        (Path(temporary) / "README.md").write_text(_card(shards, terms, repo_id), encoding="utf-8")
        address = push_folder(temporary, repo_id, kind="dataset", private=private, message="Upload images with relsim")
    return Pushed(repo_id, address, terms.licence, terms.from_catalog, len(shards), ("README.md", *files))


def _card(shards: Any, terms: Terms, repo_id: str) -> str:
    facts = statistics_of(take_inventory(shards.path))
    return data_card(
        repo_id.rpartition("/")[2],
        facts,
        terms,
        origin=shards.contents.origin,
        data_files=[("train", "part-*.parquet")],
    )
