"""Where the images of seed groups lie: in folders of their own, in the folder of a download, or in a shard folder.

An image that is a file of its group's folder is known already (see `relsim.data.seed_groups`). One with a URL is looked
for as `group_<index>/<id>` with any image suffix, as a download names it; by its id anywhere below the folder, as the
rows of shards have it; and by the last two names of its URL, as the published data set keeps it (`0/1.png` of
`…/images/0/1.png`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from relsim.data.records import ImageRecord
from relsim.data.seed_groups import SeedGroup, SeedImage
from relsim.data.sources import list_images

_KEPT_AS = re.compile(r"/images/(\d+/[^/?#]+?)\.\w+$")


class SeedImages:
    """The images below a folder, by what a seed group may call them. Without a folder none is found."""

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        """List the folder. Raises `SourceError` for one without images."""
        self._sources: dict[str, str] = {}
        for record in [] if folder is None else list_images([os.fspath(folder)]):
            *above, name = record.image_id.split("/")
            stem = name.rpartition(".")[0] or name
            if above:
                self._sources.setdefault(f"{above[-1]}/{stem}", record.source)
            self._sources.setdefault(stem, record.source)

    def records(self, group: SeedGroup) -> Sequence[ImageRecord]:
        """The images of a group; one that is nowhere has the path at which it was expected."""
        return [ImageRecord(image.image_hash, self._source(group, image)) for image in group.images]

    def _source(self, group: SeedGroup, image: SeedImage) -> str:
        if image.path is not None:
            return str(image.path)
        expected = group.file_of(image)
        kept = _KEPT_AS.search(image.url_clean or "")
        names = [expected.rpartition(".")[0], image.image_hash, *([kept[1]] if kept else [])]
        return next((self._sources[name] for name in names if name in self._sources), expected)
