"""The seed groups that a captioner is trained on: their captions asked of a model where that is wanted, and judged.

    <n>/kept.jsonl         groups of list n that are trained on, in the published form
    <n>/rejected.jsonl     the others, each with why in `rejected`
    <n>/images             a link to the list's images, where no folder is named for them
    <n>/captions.jsonl …   of what was asked: the files of `relsim.captions.group_files`

Answers are kept beside the stages, so that other settings do not ask for them again.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from relsim.captions.anonymity import check
from relsim.captions.group_files import report_of, seed_group, write_files, write_lines
from relsim.captions.groups import GROUP_PROMPT, GroupCaption, caption_groups
from relsim.curation.images import listing_digest
from relsim.curation.stage import Counted, Watch
from relsim.data.identity import printable
from relsim.data.lists import holds_groups
from relsim.data.objects import read_objects
from relsim.data.seed_groups import CAPTION, SeedGroup, read_seed_groups
from relsim.data.seed_images import SeedImages
from relsim.data.shard_address import is_shard_folder
from relsim.endpoint.client import Endpoint
from relsim.endpoint.messages import MAX_SIDE
from relsim.errors import SourceError
from relsim.fingerprint import Fact
from relsim.training.config import TrainingConfig

KEPT, REJECTED, IMAGES, REPLIES = "kept.jsonl", "rejected.jsonl", "images", "replies"
_NONE = "no caption"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Whom to ask for captions of groups: `opened` gives a client that keeps its answers in a folder.

    Asked about are groups without a caption, with `every` all of them.
    """

    model: str
    opened: Callable[[Path], Endpoint]
    settings: Mapping[str, Any] = field(default_factory=dict)
    every: bool = False
    max_side: int = MAX_SIDE

    def facts(self) -> dict[str, Fact]:
        """What the captions depend on."""
        own = {f"request {name}": str(value) for name, value in self.settings.items()}
        asked: dict[str, Fact] = {"model": self.model, "prompt": GROUP_PROMPT, "max_side": self.max_side}
        return {**asked, "asked": "all" if self.every else "those without a caption", **own}


def read_groups(path: Path, image_folder: Path | None) -> list[SeedGroup]:
    """All groups of a list; the caption of one that has none yet is empty. Raises `SourceError`."""
    entries = [entry for _, entry in read_objects(path, lambda _: None)]
    missing = {place for place, entry in enumerate(entries) if not str(entry.get(CAPTION) or "").strip()}
    if not missing:
        return read_seed_groups(path, image_folder=image_folder)
    with tempfile.TemporaryDirectory() as scratch:
        # The reader wants a caption of each group.
        filled = [{**entry, CAPTION: _NONE} if place in missing else entry for place, entry in enumerate(entries)]
        listed = Path(scratch) / "groups.json"
        listed.write_text(json.dumps(filled), encoding="utf-8")
        groups = read_seed_groups(listed, image_folder=image_folder or _beside(path))
    return [
        replace(group, caption="", caption_clean="") if place in missing else group
        for place, group in enumerate(groups)
    ]


def check_groups(config: TrainingConfig, asking: Asking | None) -> None:
    """Raises `SourceError` for groups without a caption where nobody is to be asked."""
    for path in _lists(config).values():
        bare = sum(not group.caption for group in read_groups(path, _folder(config)))
        if bare and asking is None:
            raise SourceError(
                f"{bare:,} groups of {printable(str(path))} have no caption; name a model to ask (--endpoint, --model)"
            )


def groups_inputs(config: TrainingConfig) -> dict[str, str]:
    """Digests of the lists, and of their images as they lie there."""
    found = {}
    for place, path in _lists(config).items():
        groups = read_groups(path, _folder(config))
        images = SeedImages(_where(path, config, groups))
        found[f"groups {place}"] = listing_digest(
            replace(record, fields={"group": group.index, "caption": group.caption, "extra": dict(group.extra)})
            for group in groups
            for record in images.records(group)
        )
    return found


def make_groups(
    folder: Path, config: TrainingConfig, asking: Asking | None, *, keep_leaks: bool, watch: Watch
) -> Counted:
    """Judge the groups of each list, with the answers of the model where it is asked. Raises `RelsimError`."""
    results, reasons, total = [], Counter[str](), 0
    for place, path in _lists(config).items():
        groups = read_groups(path, _folder(config))
        where, home = _where(path, config, groups), folder / str(place)
        home.mkdir(exist_ok=True)
        asked = [n for n, group in enumerate(groups) if asking is not None and (asking.every or not group.caption)]
        why: dict[int, str] = {}
        if asking is not None and asked:
            outcomes = _ask([groups[n] for n in asked], asking, home, where, watch)
            for n, outcome in zip(asked, outcomes, strict=True):
                if outcome.caption is None:
                    why[n] = outcome.status
                else:
                    groups[n] = replace(groups[n], caption=outcome.caption, caption_clean=outcome.caption)
        for n, group in enumerate(groups):
            verdict = check(group.caption_clean)
            if n not in why and verdict.findings and not keep_leaks:
                why[n] = verdict.findings[0].kind
        write_lines(home / KEPT, (seed_group(group) for n, group in enumerate(groups) if n not in why))
        write_lines(
            home / REJECTED, ({**seed_group(groups[n]), "rejected": reason} for n, reason in sorted(why.items()))
        )
        results += [f"{place}/{KEPT}", f"{place}/{REJECTED}"]
        if config.data.image_folder is None and not (home / IMAGES).is_symlink():
            (home / IMAGES).symlink_to(_beside(path).absolute(), target_is_directory=True)
        reasons.update(why.values())
        total += len(groups)
    return Counted(results, "groups", total, total - reasons.total(), dict(reasons.most_common()))


def training_of(config: TrainingConfig, folder: Path) -> TrainingConfig:
    """The training on what was kept. A list of which nothing was taken away or asked is trained on where it is."""
    manifests = list(config.data.manifests)
    for place in _lists(config):
        home = folder / str(place)
        if (home / REJECTED).stat().st_size or (home / "captions.jsonl").exists():
            manifests[place] = home / KEPT
    used = [path for path in manifests if not Path(path).is_file() or Path(path).stat().st_size]
    return config.model_copy(update={"data": config.data.model_copy(update={"manifests": tuple(used)})})


def _ask(
    groups: Sequence[SeedGroup], asking: Asking, home: Path, where: Path | None, watch: Watch
) -> list[GroupCaption]:
    endpoint = asking.opened(home.parent.parent / REPLIES)
    found: dict[int, GroupCaption] = {}
    with watch("asking", len(groups)) as advance:
        for place, outcome in caption_groups(groups, endpoint, image_folder=where, max_side=asking.max_side):
            advance(outcome)
            found[place] = outcome
    outcomes = [found[place] for place in range(len(groups))]
    lost = [item for item in outcomes if item.reply is not None and not item.reply.status.answered]
    if lost:
        raise SourceError(
            f"{len(lost):,} of {len(groups):,} groups got no answer: {lost[0].reason}; run again to ask for them"
        )
    write_files(
        home, outcomes, report_of(outcomes, endpoint, prompt=GROUP_PROMPT, max_side=asking.max_side, prices=None)
    )
    return outcomes


def _lists(config: TrainingConfig) -> dict[int, Path]:
    """Lists of seed groups by their place; manifests and shard folders are trained on as they are."""
    paths = {place: Path(path) for place, path in enumerate(config.data.manifests)}
    return {
        place: path
        for place, path in paths.items()
        if not is_shard_folder(path) and path.suffix.lower() in (".json", ".jsonl") and holds_groups(path)
    }


def _folder(config: TrainingConfig) -> Path | None:
    return None if config.data.image_folder is None else Path(config.data.image_folder)


def _where(path: Path, config: TrainingConfig, groups: Sequence[SeedGroup]) -> Path | None:
    """The folder in which images with a URL are looked for; None where all images are known."""
    by_url = any(image.path is None for group in groups for image in group.images)
    return (_folder(config) or _beside(path)) if by_url else None


def _beside(path: Path) -> Path:
    return path.parent / "images" if (path.parent / "images").is_dir() else path.parent
