"""Captions of groups in one call from Python."""

import pytest
from PIL import Image

from relsim.captions.groups import TOO_FEW, caption_groups
from relsim.data.seed_groups import SeedGroup, SeedImage
from relsim.endpoint.client import Endpoint
from relsim.endpoint.pace import Policy
from relsim.errors import SourceError


@pytest.fixture
def endpoint(chat_server, monkeypatch):
    """A client of a local server, without a folder of answers; `endpoint.server` is the server."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with chat_server.ChatServer() as server:
        client = Endpoint(server.url, "tiny-vlm", policy=Policy(concurrency=1))
        client.server = server
        yield client


@pytest.fixture
def group(tmp_path):
    """`group(index, width…)` is a group of files of these widths."""

    def make(index, *widths):
        images = []
        for number, width in enumerate(widths):
            path = tmp_path / f"{index}-{number}.png"
            Image.new("RGB", (width, 20)).save(path)
            images.append(SeedImage(path.stem, path=path))
        return SeedGroup(index, "old", "old", tuple(images))

    return make


def test_each_group_has_an_outcome_with_its_place(endpoint, group):
    groups = [group(7, 30, 31), group(8, 32), group(9, 33, 34, 35)]
    outcomes = dict(caption_groups(groups, endpoint))
    assert {place: (outcome.group.index, outcome.status) for place, outcome in outcomes.items()} == {
        0: (7, "ok"),
        1: (8, TOO_FEW),
        2: (9, "ok"),
    }
    assert [record.image_id for record in outcomes[2].images] == ["9-0", "9-1", "9-2"]
    assert outcomes[0].verdict.ok


def test_pictures_are_sent_in_their_order_and_scaled(endpoint, group, chat_server):
    list(caption_groups([group(0, 100, 30, 60)], endpoint, max_side=50, prompt="Short?"))
    (body,) = endpoint.server.asked
    assert [image.width for _, image in chat_server.pictures(body)] == [50, 30, 50]
    assert body["messages"][0]["content"][-1]["text"] == "Short?"


@pytest.mark.parametrize("text", ['""', ' "" ', "“”"])
def test_nothing_but_quotes_is_no_caption(endpoint, group, text):
    endpoint.server.text = text
    ((_, outcome),) = caption_groups([group(0, 30, 31)], endpoint)
    assert (outcome.status, outcome.caption, outcome.verdict) == ("empty", None, None)
    assert outcome.reply.text == text.strip()


def test_lines_and_quotes_around_a_caption_are_taken_off(endpoint, group):
    endpoint.server.text = '\n"Growth of {Subject}\n  over time"\n'
    ((_, outcome),) = caption_groups([group(0, 30, 31)], endpoint)
    assert outcome.caption == "Growth of {Subject} over time"


def test_a_caption_that_names_things_comes_with_its_findings(endpoint, group):
    endpoint.server.text = "A cat beside {Object}"
    ((_, outcome),) = caption_groups([group(0, 30, 31)], endpoint)
    assert [(finding.kind, finding.word) for finding in outcome.verdict.findings] == [("animal", "cat")]


def test_the_same_picture_in_two_groups_is_taken_from_each(endpoint, tmp_path):
    """One URL, two files: the file in the group's own folder counts."""
    image = SeedImage("same", url="https://host/same.png")
    for index in (0, 1):
        folder = tmp_path / f"group_{index}"
        folder.mkdir()
        for name, width in (("same", 30 + index), ("other", 40)):
            Image.new("RGB", (width, 20)).save(folder / f"{name}.png")
    groups = [SeedGroup(index, "x", "x", (image, SeedImage("other", url="u"))) for index in (0, 1)]
    outcomes = dict(caption_groups(groups, endpoint, image_folder=tmp_path))
    assert [outcomes[place].images[0].source for place in (0, 1)] == [
        str(tmp_path / f"group_{index}" / "same.png") for index in (0, 1)
    ]


def test_a_folder_without_images_is_an_error(endpoint, group, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="no images"):
        list(caption_groups([group(0, 30, 31)], endpoint, image_folder=tmp_path / "empty"))


@pytest.mark.parametrize("cell", ['=HYPERLINK("x")', "+1", "-1", "@a"])
def test_no_cell_of_a_review_is_a_formula(cell):
    from relsim.captions.group_files import _harmless

    assert _harmless(cell) == f"'{cell}"
    assert _harmless("Growth of {Subject}") == "Growth of {Subject}"
