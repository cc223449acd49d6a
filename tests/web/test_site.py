"""The static site: what the API answers, in files that a browser opens from a disk."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

import pytest

from relsim.data.manifest import ManifestRow, write_manifest
from relsim.errors import RelsimError
from relsim.web.site import write_site


@pytest.fixture(scope="session")
def site(collection, cache, retrieval_run, tmp_path_factory):
    """A site of the collection, a run and a list, written by the command."""
    out = tmp_path_factory.mktemp("sites") / "site"
    write_manifest(out.with_name("list.jsonl"), [ManifestRow(f"h{number}", None, "A ring") for number in range(3)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RELSIM_CACHE", str(cache))
        command = [sys.executable, "-m", "relsim", "export", "site", collection.relation, "--attributes"]
        command += [collection.look, "--name", "drawn", "--results", retrieval_run, "--out", out, "--matches", "12"]
        done = subprocess.run(
            [*map(str, command), "--spaces", "3", "--points", "40", "--data", out.with_name("list.jsonl"), "--json"],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout)


def answers(folder):
    """All recorded answers by (path, query)."""
    found = {}
    for path in (folder / "data").glob("[0-9]*.js"):
        text = path.read_text()
        assert text.startswith("Object.assign(relsimSite.answers, {")
        found |= json.loads(text[text.index("{") : text.rindex(")")])
    return {(json.loads(key)[0], urlencode(dict(json.loads(key)[1]))): answer for key, answer in found.items()}


def test_answers_are_those_of_the_api(site, client, library):
    found = answers(site[0])
    for stop in ("0", "0.5", "1"):
        for image_id in library.ids[:3]:
            wanted = client.get("/api/search", params={"id": image_id, "blend": stop, "count": 12}).json()
            told = found["/api/search", urlencode({"id": image_id})][stop]
            assert told == wanted
            assert all(match["relation_percentile"] is not None for match in told["matches"])
    first = found["/api/images", "count=200&start=0"]["images"]
    assert [image["id"] for image in first] == list(library.ids)
    spaces = [key for key in found if key[0] == "/api/space"]
    assert len(spaces) == 9
    wanted = client.get("/api/space", params={"id": library.ids[0], "scale": "raw", "sample": 40}).json()
    told = found["/api/space", urlencode({"id": library.ids[0], "scale": "raw"})]
    assert [point["id"] for point in told["points"]] == [point["id"] for point in wanted["points"]]


def test_the_site_says_what_it_holds_and_nothing_of_where_images_lie(site, library):
    out, told = site
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
    (example,) = re.findall(r'^\{"schema": "relsim.site/1".*\}$', page, re.MULTILINE)
    assert set(told) == set(json.loads(example))
    assert (told["images"], told["runs"], told["spaces"], told["missing"]) == (len(library), 1, 3, 0)
    assert (told["lists"], told["rows"], told["images_left_out"], told["rows_left_out"]) == (1, 3, 0, 0)
    assert len(list((out / "pictures").iterdir())) == told["pictures"]
    assert told["bytes"] == sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    folder = next(iter(library.records.values())).source.rpartition("/")[0]
    for path in [*out.glob("*.*"), *(out / "data").iterdir()]:
        assert folder not in path.read_text()


def test_the_command_says_what_it_leaves_out(collection, cache, library, tmp_path):
    write_manifest(tmp_path / "list.jsonl", [ManifestRow(f"h{number}", None, "A ring") for number in range(3)])
    command = [sys.executable, "-m", "relsim", "export", "site", collection.relation, "--out", tmp_path / "site"]
    done = subprocess.run(
        [*map(str, command), "--images", "2", "--rows", "1", "--data", tmp_path / "list.jsonl"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "RELSIM_CACHE": str(cache)},
    )
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert "2 images, 1 lists of 1 rows, 0 runs" in first
    assert rest == [
        f"the last {len(library) - 2:,} images of the collection are left out (--images)",
        "the last 2 rows of list are left out (--rows)",
    ]


def test_it_opens_from_a_disk(site, offline, library):
    page = offline(site[0])
    page.wait_for_selector(".card img")
    page.wait_for_function("() => document.querySelector('.card img').naturalWidth > 0")
    assert page.locator("input[type=file], #sentence").count() == 0
    page.click(".card a")
    page.wait_for_selector(".card .bars")
    found = answers(site[0])["/api/search", urlencode({"id": library.ids[0]})]["0.5"]
    shown = page.eval_on_selector_all(".cell .card > a", "links => links.map(link => link.title)")
    assert shown[:6] == [match["id"] for match in found["matches"][:6]]
    page.hover(".card")
    page.click(".card .beside")
    page.wait_for_selector("dialog[open] .bars")
    assert f"{found['matches'][0]['relation']:.2f}" in page.text_content("dialog .relation dd").replace("\u2212", "-")
    page.keyboard.press("Escape")
    page.click(".stops button:nth-child(1)")
    page.wait_for_function("was => document.querySelector('.cell .card > a').title !== was", arg=shown[0])


def test_results_open_from_a_disk(site, offline, faint):
    page = offline(site[0], "#/results?measure=judge&sort=gap", width=360, scheme="dark")
    page.wait_for_selector(".answer")
    page.wait_for_function("() => document.querySelector('.found-picture img').naturalWidth > 0")
    assert page.locator(".answer").count() == 20
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert faint(page) == []
    page.check("#lose")
    page.wait_for_function("() => !document.querySelector('.answer figcaption b').textContent.endsWith('of 30')")
    page.click(".found-picture")
    page.wait_for_selector("dialog[open] .facts")


def test_spaces_and_the_map_open_from_a_disk(site, offline, library):
    page = offline(site[0], f"#/space?id={library.ids[1]}")
    page.wait_for_selector(".plane canvas")
    page.goto(f"{site[0].as_uri()}/index.html#/space?id={library.ids[7]}")
    page.wait_for_selector(".empty")
    assert "first 3 pictures" in page.text_content(".empty")
    page.goto(f"{site[0].as_uri()}/index.html#/map")
    page.wait_for_selector(".plane canvas")


def test_a_picture_that_a_browser_will_not_save_is_told(site, offline):
    page = offline(site[0], "#/map")
    page.wait_for_selector(".map-group")
    page.wait_for_timeout(500)  # until pictures are drawn, by which the canvas becomes one that cannot be read
    page.get_by_role("button", name="Save as PNG").click()
    page.wait_for_function("() => document.body.textContent.includes('Take a screenshot')")


def test_a_file_that_is_missing_is_told(site, browser, tmp_path, library):
    copy = shutil.copytree(site[0], tmp_path / "copy")
    for path in (copy / "data").glob("[0-9]*.js"):
        path.unlink()
    page = browser.new_page()
    page.goto(f"{copy.as_uri()}/index.html#/search?id={library.ids[0]}")
    page.wait_for_selector(".empty[role=alert]")
    assert "is missing" in page.text_content(".empty")
    page.close()


def test_a_folder_that_is_there_is_left_alone(library, tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(RelsimError, match="is there already"):
        write_site(tmp_path, library)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_what_cannot_be_written_leaves_nothing(library, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RelsimError, match="cannot be written"):
        write_site(tmp_path / "file" / "site", library)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
