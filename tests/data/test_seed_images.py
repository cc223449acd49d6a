"""Where the images of seed groups are found: index folders, a download, shards, the published data set."""

import json

import pytest

from relsim.data.seed_groups import read_seed_groups, url_id
from relsim.data.seed_images import SeedImages
from relsim.errors import SourceError

URLS = ["https://hub.example/images/7/1.png", "https://hub.example/images/7/0.png"]


@pytest.fixture
def groups(tmp_path):
    """`groups(*entries, folder)`: seed groups as they are read from a list."""

    def read(*entries, folder=None):
        path = tmp_path / "seed_group.json"
        path.write_text(json.dumps([{"anonymous_caption": "{A} row", **entry} for entry in entries]))
        return read_seed_groups(path, image_folder=folder)

    return read


def placed(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"never opened")
    return folder


def sources(folder, group):
    return [record.source for record in SeedImages(folder).records(group)]


def test_images_of_index_folders_are_where_they_are(groups, tmp_path):
    folder = placed(tmp_path / "images", "3/10.png", "3/9.png")
    (group,) = groups({"index_group": 3}, folder=folder)
    assert sources(None, group) == [str(folder / "3/9.png"), str(folder / "3/10.png")]


@pytest.mark.parametrize(
    "names",
    [
        [f"group_0/{url_id(url)}.png" for url in URLS],
        [f"group_0/{url_id(url)}.jpg" for url in URLS],
        [f"any/where/{url_id(url)}.webp" for url in URLS],
        ["7/1.png", "7/0.png"],
    ],
    ids=["download", "other suffix", "by id", "published data set"],
)
def test_images_with_urls_are_found_as_they_may_be_kept(groups, tmp_path, names):
    folder = placed(tmp_path / "kept", *names)
    (group,) = groups({"image_urls": URLS})
    assert sources(folder, group) == [str(folder / name) for name in names]


def test_rows_of_shards_are_found_by_their_ids(groups, make_shards, golden_paths, tmp_path):
    data = golden_paths[0].read_bytes()
    folder = make_shards(tmp_path / "shards", {url_id(url): data for url in URLS})
    (group,) = groups({"image_urls": URLS})
    assert [source.rpartition("#")[2] for source in sources(folder, group)] == ["0", "1"]


def test_an_image_that_is_nowhere_has_the_path_at_which_it_was_expected(groups, tmp_path):
    (group,) = groups({"image_urls": URLS})
    expected = [f"group_0/{url_id(url)}.png" for url in URLS]
    assert sources(None, group) == expected
    assert sources(placed(tmp_path / "kept", "8/1.png"), group) == expected


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(SourceError, match="no images in or below"):
        SeedImages(placed(tmp_path / "empty", "text.txt"))
