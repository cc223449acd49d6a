"""Captions, ids and names of files that would be programs if they were not shown as text: in a real browser."""

import shutil
from urllib.parse import quote

import pytest

ATTACKS = (
    "<img src=x onerror=\"document.body.dataset.harmed='1'\">",
    "<script>document.body.dataset.harmed='1'</script>",
    '"><svg onload="document.body.dataset.harmed=\'1\'">',
    "javascript:document.body.dataset.harmed='1'",
    "{{constructor.constructor('document.body.dataset.harmed=1')()}}",
    "' onfocus='document.body.dataset.harmed=1' autofocus='",
)


@pytest.fixture(scope="module")
def hostile(library, tmp_path_factory):
    """Tables of 40 pictures whose ids, files and captions are attacks, and a list of them."""
    from relsim.data.manifest import ManifestRow, write_manifest
    from relsim.data.records import ImageRecord
    from relsim.vectors.table import VectorTable

    folder = tmp_path_factory.mktemp("hostile")
    ids, records = library.ids[:40], []
    for number, image_id in enumerate(ids):
        attack = f"{ATTACKS[number % len(ATTACKS)]} {number}"
        copy = folder / f"{attack.replace('/', '_')}.png"
        shutil.copy(library.records[image_id].source, copy)
        records.append(ImageRecord(attack, str(copy), {"caption": attack}))
    for name, table in (("relation", library.relation), ("look", library.look)):
        vectors = table.vectors[[table.positions[image_id] for image_id in ids]]
        with VectorTable.create(folder / name, table.fingerprint, table.dimension, origin=table.origin) as made:
            made.append("all", records, vectors)
    rows = [ManifestRow(one.image_id, ATTACKS[3], one.fields["caption"]) for one in records]
    write_manifest(folder / "list.jsonl", rows)
    return folder


@pytest.fixture(scope="module")
def server(start_server, hostile):
    """A server that shows them, in the place of the one that all tests share."""
    tables = (hostile / "relation", hostile / "look")
    with start_server("--data", str(hostile / "list.jsonl"), "--name", ATTACKS[0], tables=tables) as running:
        yield running


@pytest.mark.parametrize(
    ("place", "ready", "shown"),
    [
        ("", ".card img", True),
        ("#/search?id={id}", ".card .bars", True),
        ("#/search?text={id}", ".card .bars", True),
        ("#/space?id={id}", "main li a", True),
        ("#/map", ".map-group", True),
        ("#/data", "main img", True),
        ("#/{id}", "main", False),
    ],
    ids=["start", "search", "sentence", "space", "map", "data", "no view"],
)
def test_what_pictures_bring_is_text(open_page, place, ready, shown):
    """Nothing of it became an element, an attribute or a program; the text itself is there."""
    page = open_page(place.format(id=quote(f"{ATTACKS[0]} 0")))
    page.wait_for_selector(ready)
    page.wait_for_timeout(300)
    assert page.evaluate("document.body.dataset.harmed") is None
    made = "[onerror], [onload], [onfocus], [autofocus], img[src='x'], body script, a[href^='javascript' i]"
    assert page.eval_on_selector_all(made, "found => found.map(one => one.outerHTML)") == []
    if shown:
        assert "document.body.dataset.harmed" in page.inner_html("body").replace("&quot;", '"')
