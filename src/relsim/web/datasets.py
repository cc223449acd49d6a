"""Lists of images as the page shows them: rows with what the linter finds, filters, pictures, and their corrections.

Rows are named by their number in the list. Where a picture lies is told to nobody.
"""

from __future__ import annotations

import functools
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import final

from relsim.captions.anonymity import Verdict, check
from relsim.data.curation.corrections import SUFFIX, Corrections
from relsim.data.curation.inventory import Inventory, Progress, sources_in, take_inventory
from relsim.data.lists import holds_groups
from relsim.data.manifest import BadLine
from relsim.data.records import ImageRecord
from relsim.data.seed_groups import read_seed_groups
from relsim.demo.collection import cache_folder
from relsim.errors import SourceError
from relsim.web.findings import Kinds, ListedKinds, kinds_in

LISTED = "listed"
"""What stands for a status where nobody has tried to get the image."""
_NOT_IN_A_NAME = re.compile(r"[^\w.-]+")
_verdict = functools.lru_cache(maxsize=2**14)(check)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which rows are wanted; what is None does not count.

    `text` must stand in the caption, word by word, whatever the case. `status` is that of the image, or `listed`.
    `anonymous` leaves out rows without a caption. `finding` is a kind of finding of the linter. Sizes are numbers of
    rows of a group, lengths are words of a caption; a row without a group or a caption has none.
    """

    text: str | None = None
    status: str | None = None
    anonymous: bool | None = None
    finding: str | None = None
    captioned: bool | None = None
    corrected: bool | None = None
    group: str | None = None
    group_sizes: tuple[int | None, int | None] = (None, None)
    lengths: tuple[int | None, int | None] = (None, None)


@dataclass(frozen=True, slots=True)
class Facets:
    """What can be asked for: rows by status and by kind of finding, largest group, longest caption in words, people."""

    rows: int
    captions: int
    named: int
    corrected: int
    groups: int
    largest_group: int
    longest: int
    statuses: Mapping[str, int]
    findings: Mapping[str, int]
    people: Sequence[str]


@final
class Dataset:
    """One list of images. Safe to use from any number of threads."""

    def __init__(
        self,
        name: str,
        inventory: Inventory,
        changes: Path,
        beside: Sequence[str | None] = (),
        cache: Path | None = None,
    ) -> None:
        """`cache` is a folder to keep what the linter finds in the list."""
        self.name, self.inventory = name, inventory
        self.items = inventory.items
        self.corrections = Corrections(changes, self.items)
        self._beside, self._cache = beside, cache
        self._guard = threading.Lock()
        self._facets: tuple[int, Facets] | None = None

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        name: str | None = None,
        progress: Progress | None = None,
        on_bad_line: Callable[[BadLine], None] | None = None,
    ) -> Dataset:
        """The list in a file, or in a folder of shards or images. Its changes are beside it. Raises `SourceError`."""
        if not path.exists():
            raise SourceError(f"{path} does not exist; name a list of images, or a folder of shards or images")
        path = path.absolute()
        inventory = take_inventory(path, progress=progress, on_bad_line=on_bad_line)
        beside = _beside(path, inventory) if inventory.kind == "list" else []
        changes = path.with_name(path.name + SUFFIX)
        return cls(name or name_of(path), inventory, changes, beside, cache_folder() / "findings")

    def __len__(self) -> int:
        return len(self.items)

    def close(self) -> None:
        """Let others correct it."""
        self.corrections.close()

    def caption(self, row: int) -> str | None:
        """The caption of a row as it stands; an empty one is none."""
        text = self.corrections.caption(row)
        return text if text and text.strip() else None

    def verdict(self, row: int) -> Verdict | None:
        """What the linter says of a row's caption, None without one."""
        text = self.caption(row)
        return None if text is None else _verdict(text)

    def kinds(self, row: int) -> Kinds:
        """Kinds of what the linter finds in a row's caption, none without one."""
        text = self.caption(row)
        if text is None:
            return ()
        return self._listed.of(row) if text == self.items[row].clean_caption else kinds_in(text)

    def status(self, row: int) -> str:
        """The status of a row's image, `listed` where nobody has tried to get it."""
        status = self.items[row].status
        return LISTED if status is None else status.value

    def record(self, row: int) -> ImageRecord | None:
        """The picture of a row, for reading; None where there is none."""
        item = self.items[row]
        source = item.source if item.has_image else None
        if source is None and self._beside:
            source = self._beside[row]
        # A NUL can be in no id of a collection, beside which thumbnails are kept.
        return None if source is None else ImageRecord(f"\0{self.name}\0{row}", source)

    def group_size(self, row: int) -> int | None:
        """How many rows the group of a row has."""
        group = self.items[row].group
        return None if group is None else self._groups[group]

    def facets(self) -> Facets:
        """What can be asked for; counted anew after each change."""
        self.corrections.refresh()
        with self._guard:
            if self._facets is None or self._facets[0] != self.corrections.changes:
                self._facets = (self.corrections.changes, self.facets_of(len(self)))
            return self._facets[1]

    def facets_of(self, first: int) -> Facets:
        """What can be asked for among the first rows. Sizes of groups are those of the whole list."""
        numbers = range(min(first, len(self)))
        captions = [text for row in numbers if (text := self.caption(row))]
        found = [kinds for row in numbers if (kinds := self.kinds(row))]
        groups = {group for row in numbers if (group := self.items[row].group) is not None}
        return Facets(
            rows=len(numbers),
            captions=len(captions),
            named=len(found),
            corrected=sum(row < first for row in self.corrections.changed),
            groups=len(groups),
            largest_group=max((self._groups[group] for group in groups), default=0),
            longest=max((len(text.split()) for text in captions), default=0),
            statuses=dict(Counter(self.status(row) for row in numbers).most_common()),
            findings=dict(Counter(kind for kinds in found for kind in kinds).most_common()),
            people=self.corrections.people(first),
        )

    def find(self, wanted: Filter) -> list[int]:
        """Numbers of the rows that pass, in the order of the list."""
        self.corrections.refresh()
        corrected = set(self.corrections.changed)
        words = [] if wanted.text is None else wanted.text.casefold().split()
        return [
            row
            for row in range(len(self.items))
            if (wanted.status is None or self.status(row) == wanted.status)
            and (wanted.group is None or self.items[row].group == wanted.group)
            and (wanted.corrected is None or (row in corrected) == wanted.corrected)
            and _within(self.group_size(row), wanted.group_sizes)
            and self._says(row, wanted, words)
        ]

    def _says(self, row: int, wanted: Filter, words: Sequence[str]) -> bool:
        """Whether the caption of a row passes."""
        text = self.caption(row)
        if wanted.captioned is not None and (text is not None) != wanted.captioned:
            return False
        if words and (text is None or not all(word in text.casefold() for word in words)):
            return False
        if not _within(None if text is None else len(text.split()), wanted.lengths):
            return False
        if wanted.anonymous is None and wanted.finding is None:
            return True
        if text is None:
            return False
        kinds = self.kinds(row)
        return wanted.anonymous in (None, not kinds) and wanted.finding in (None, *kinds)

    @cached_property
    def _listed(self) -> ListedKinds:
        return ListedKinds([item.clean_caption for item in self.items], self._cache)

    @cached_property
    def _groups(self) -> Counter[str]:
        return Counter(item.group for item in self.items if item.group is not None)


def name_of(path: Path) -> str:
    """What a list is called: the name of its file without suffix, or of its folder, as it can stand in an address."""
    name = path.name if path.is_dir() else path.stem
    return _NOT_IN_A_NAME.sub("_", name).strip("._") or "data"


def open_datasets(
    paths: Sequence[Path],
    *,
    progress: Progress | None = None,
    reporter: Callable[[Path], Callable[[BadLine], None]] | None = None,
) -> dict[str, Dataset]:
    """Several lists by name; of those that share one, the later ones get a number. Raises `SourceError`."""
    found: dict[str, Dataset] = {}
    for path in paths:
        stem = name_of(path.absolute())
        name, number = stem, 1
        while name in found:
            number += 1
            name = f"{stem}-{number}"
        found[name] = Dataset.open(
            path, name=name, progress=progress, on_bad_line=None if reporter is None else reporter(path)
        )
    return found


def _within(value: int | None, limits: tuple[int | None, int | None]) -> bool:
    least, most = limits
    if least is None and most is None:
        return True
    return value is not None and (least is None or value >= least) and (most is None or value <= most)


def _beside(path: Path, inventory: Inventory) -> list[str | None]:
    """The pictures of a list that has none of its own: in `images/` beside it, else directly beside it."""
    rows = [item.manifest_row for item in inventory.items]
    images = path.parent / "images"
    found: list[str | None] = [None] * len(rows)
    with suppress(SourceError):  # a folder without images
        found = sources_in(images, rows) if images.is_dir() else sources_in(path.parent, rows, recursive=False)
    if path.suffix.lower() != ".parquet" and holds_groups(path):
        groups = read_seed_groups(path, on_bad_line=lambda _: None)
        files = {image.image_hash: str(image.path) for group in groups for image in group.images if image.path}
        found = [source or files.get(row.image_hash) for source, row in zip(found, rows, strict=True)]
    return found
