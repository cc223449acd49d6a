"""What the linter finds in a list: looked for once, kept, and found anew where captions or linter are others."""

import json
from datetime import datetime, timezone

import pytest

from relsim.captions.anonymity import check
from relsim.web import findings
from relsim.web.datasets import Dataset, Filter

CAPTIONS = ("A ring of {Objects}", "A ring of cats", None, "A ring of {Objects}", "Three dogs around Anna")


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """`listed()` opens a list of five rows anew, with a cache of its own."""
    monkeypatch.setenv("RELSIM_CACHE", str(tmp_path / "cache"))
    rows = [{"image_hash": str(row), "url_link": "", "caption": text} for row, text in enumerate(CAPTIONS)]
    path = tmp_path / "some.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return lambda: Dataset.open(path)


def test_it_is_what_the_linter_says_of_each(listed):
    data = listed()
    for row, text in enumerate(CAPTIONS):
        own = set() if text is None else {finding.kind for finding in check(text).findings}
        assert set(data.kinds(row)) == own
        for kind in own:
            assert row in data.find(Filter(finding=kind))
    assert data.find(Filter(anonymous=True)) == [0, 3]
    assert data.find(Filter(anonymous=False)) == [1, 4]
    assert data.facets().named == 2


def test_it_is_looked_for_once(listed, monkeypatch):
    before = listed().facets()
    monkeypatch.setattr(findings, "check", None)  # whoever calls it fails
    assert listed().facets() == before


def test_a_correction_counts(listed):
    data = listed()
    assert data.facets().named == 2
    data.corrections.change(1, "A ring of {Animals}", was="A ring of cats", who="me", now=datetime.now(timezone.utc))
    data.close()
    for one in (data, listed()):
        assert (one.kinds(1), one.facets().named, one.find(Filter(anonymous=True))) == ((), 1, [0, 1, 3])


def test_another_list_another_linter_or_a_damaged_file_is_looked_at_anew(listed, tmp_path, monkeypatch):
    before = listed().facets()
    (kept,) = (tmp_path / "cache" / "findings").iterdir()
    assert findings.digest(CAPTIONS) in kept.name
    assert findings.digest(CAPTIONS[1:]) not in kept.name
    kept.write_text('{"kinds": [["name"]], "captions": [0], "have": [9]}')
    assert listed().facets() == before
    kept.write_text('{"kinds": [["name"]], "captions": [0], "have": [0]}')
    assert listed().facets().named == 1  # it is read
    monkeypatch.setattr(findings, "_linter", lambda: b"another")
    assert listed().facets() == before


def test_without_a_cache_it_is_found_all_the_same(listed, tmp_path):
    (tmp_path / "cache").write_text("no folder")
    assert listed().facets().named == 2
