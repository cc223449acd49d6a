"""Captions of whole groups: all images of a group go to a vision-language model, which says what logic they share.

The published seed captions came from such a model that was frozen, and a person read them. The prompt here is written
for this project after the published requirements: the shared logic, one caption that can be used again, placeholders;
with both published examples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from relsim.captions.anonymity import Verdict, check
from relsim.data.cleaning import clean_caption
from relsim.data.identity import printable
from relsim.data.images import decode_image, read_bytes
from relsim.data.records import Failure, ImageRecord, Status
from relsim.data.seed_groups import SeedGroup
from relsim.data.seed_images import SeedImages
from relsim.endpoint.client import Endpoint
from relsim.endpoint.messages import MAX_SIDE, Message, Picture
from relsim.endpoint.replies import Reply, ReplyStatus
from relsim.errors import ImageError

GROUP_PROMPT = """\
These images belong together: they share one underlying logic, which may be a concept, a structure, a process or a way \
of arranging things. They need not look alike.

Work out what they have in common, and state it as a single anonymous caption that would fit every image of the group \
and any further image that follows the same logic.

The caption must:
- capture the logic that the images share, and leave out what is special to one of them;
- put a placeholder in braces wherever the images may differ, such as {Object}, {Subject}, {Word}, {Character}, {Color};
- name nothing that can be seen, except by such a placeholder;
- be concise, and make sense by itself.

Two examples of such captions:
Image of using {Fruit} to create a {Animal}
Growth process of {Subject} described in 4 main stages: {Stage 1}, {Stage 2}, {Stage 3}, {Stage 4}

Answer with the caption alone, without an explanation and without quotes."""

FEWEST_IMAGES = 2
"""Fewer images share nothing, and their group is not asked about."""

TOO_FEW = "too_few_images"
"""The status of such a group; the others are those of `relsim.endpoint.replies`."""


@dataclass(frozen=True, slots=True)
class GroupCaption:
    """What became of a group.

    `status` is a `ReplyStatus` or `too_few_images`. `caption` is there with the status `ok` only, and `verdict` says
    whether it is anonymous. `images` are those that were sent, in order; `failures` those that could not be used.
    """

    group: SeedGroup
    status: str
    reason: str | None
    caption: str | None
    verdict: Verdict | None
    images: tuple[ImageRecord, ...]
    failures: tuple[Failure, ...]
    reply: Reply | None


def caption_groups(
    groups: Sequence[SeedGroup],
    endpoint: Endpoint,
    *,
    image_folder: str | Path | None = None,
    prompt: str = GROUP_PROMPT,
    max_side: int = MAX_SIDE,
) -> Iterator[tuple[int, GroupCaption]]:
    """One outcome for each group, with its place in `groups`, as they come.

    Images that a group names by URL are looked for in `image_folder` (see `relsim.data.seed_images`). They are scaled
    to `max_side` pixels at most. Raises `SourceError` for a folder without images, and `EndpointError`.
    """
    found = SeedImages(image_folder)
    sent: dict[int, _Sent] = {}
    asked: list[int] = []
    waiting: list[tuple[int, GroupCaption]] = []

    def questions() -> Iterator[tuple[Message, ...]]:
        for place, group in enumerate(groups):
            question = _question(group, found, endpoint, prompt, max_side)
            if len(question.images) < FEWEST_IMAGES:
                waiting.append((place, _outcome(group, question, None)))
                continue
            sent[len(asked)] = question
            asked.append(place)
            yield question.messages

    for number, reply in endpoint.ask_all(questions()):
        place = asked[number]
        yield place, _outcome(groups[place], sent.pop(number).without_bytes(), reply)
    yield from waiting


@dataclass(frozen=True, slots=True)
class _Sent:
    messages: tuple[Message, ...]
    images: tuple[ImageRecord, ...]
    failures: tuple[Failure, ...]

    def without_bytes(self) -> _Sent:
        return _Sent((), self.images, self.failures)


def _question(group: SeedGroup, found: SeedImages, endpoint: Endpoint, prompt: str, max_side: int) -> _Sent:
    """The message about a group, with the images that can be read.

    An image that can be read and not decoded is found out only where no answer is kept: decoding is most of the work.
    """
    pictures: list[tuple[ImageRecord, Picture]] = []
    failures: list[Failure] = []
    for record in found.records(group):
        try:
            pictures.append((record, Picture(read_bytes(record.source), max_side)))
        except ImageError as error:
            failures.append(Failure(record, Status(error.status), error.reason))
    question = _message(pictures, prompt)
    if endpoint.kept(question) is None:
        for record, picture in list(pictures):
            try:
                decode_image(picture.data)
            except ImageError as error:
                failures.append(Failure(record, Status(error.status), error.reason))
                pictures.remove((record, picture))
        question = _message(pictures, prompt)
    return _Sent(question, tuple(record for record, _ in pictures), tuple(failures))


def _message(pictures: Sequence[tuple[ImageRecord, Picture]], prompt: str) -> tuple[Message, ...]:
    return (Message("user", (*(picture for _, picture in pictures), prompt)),)


def _outcome(group: SeedGroup, sent: _Sent, reply: Reply | None) -> GroupCaption:
    if reply is None:
        reason = f"{len(sent.images)} of {len(group.images)} images can be used{_why(sent.failures)}"
        return GroupCaption(group, TOO_FEW, reason, None, None, sent.images, sent.failures, None)
    text = reply.text if reply.status is ReplyStatus.OK else None
    caption = clean_caption(" ".join(text.split())) if text is not None else None
    if caption == "":
        return GroupCaption(
            group, ReplyStatus.EMPTY.value, "nothing but quotes", None, None, sent.images, sent.failures, reply
        )
    why = printable(reply.reason) if reply.reason is not None else None
    verdict = check(caption) if caption is not None else None
    return GroupCaption(group, reply.status.value, why, caption, verdict, sent.images, sent.failures, reply)


def _why(failures: Sequence[Failure]) -> str:
    counts = Counter(failure.status.value for failure in failures).most_common()
    return f": {', '.join(f'{count:,} {status}' for status, count in counts)}" if counts else ""
