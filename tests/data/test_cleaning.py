"""Captions and URLs without leftovers; what belongs to them stays."""

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relsim.data.cleaning import caption_to_use, clean_caption, clean_url, cleaned, url_to_use
from relsim.data.manifest import ManifestRow

SIGNS = st.text(st.sampled_from('abc {}".,&;#?=/\u201c\u201d'), max_size=20)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ('"3D models of {Object}"', "3D models of {Object}"),
        ('  "A {Subject} over time."\n', "A {Subject} over time."),
        ('"A table with {Context}.".', "A table with {Context}."),
        ('"A table with {Context}".', "A table with {Context}."),
        ("\u201cA {Subject}\u201d", "A {Subject}"),
        ('"A sign that says "{Word}""', 'A sign that says "{Word}"'),
        ('"A {Subject}', "A {Subject}"),
        ('A {Subject}"', "A {Subject}"),
        ('"Stop" in {Language}', '"Stop" in {Language}'),
        ('"{A}" and "{B}"', '"{A}" and "{B}"'),
        ('A sign that says "{Word}"', 'A sign that says "{Word}"'),
        ('A screen of 5" and a {Word}', 'A screen of 5" and a {Word}'),
        ("Growth of {Subject}", "Growth of {Subject}"),
        ('"', ""),
        ("", ""),
    ],
)
def test_quotes_around_a_caption_go_and_others_stay(raw, clean):
    assert clean_caption(raw) == clean


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("https://x.org/a?b=1&amp;c=2", "https://x.org/a?b=1&c=2"),
        ("https://x.org/a?b=1&amp;amp;c=2", "https://x.org/a?b=1&c=2"),
        ("https://x.org/a?w=676&#038;h=520", "https://x.org/a?w=676&h=520"),
        ("https://x.org/a?w=676&#x26;h=520", "https://x.org/a?w=676&h=520"),
        ("https://x.org/a?f={&quot;x&quot;:1}", 'https://x.org/a?f={"x":1}'),
        (" https://x.org/a \n", "https://x.org/a"),
        # What the standard library would resolve, and a server would miss.
        ("https://x.org/a?b=1&copy=2&lang;=x", "https://x.org/a?b=1&copy=2&lang;=x"),
        ("https://x.org/a?b=1&c=2", "https://x.org/a?b=1&c=2"),
        ("https://x.org/a&#10;b&#0;", "https://x.org/a&#10;b&#0;"),
    ],
)
def test_character_references_in_a_url_are_resolved_and_parameters_kept(raw, clean):
    assert clean_url(raw) == clean


@given(SIGNS)
def test_cleaning_a_url_twice_is_cleaning_it_once(text):
    assert clean_url(clean_url(text)) == clean_url(text)


@given(st.text(st.sampled_from("ab/?=&\"'<>"), max_size=20))
def test_a_url_is_what_it_was_before_it_was_escaped(text):
    assert clean_url(html.escape(text)) == clean_url(text).strip()


@given(SIGNS)
def test_cleaning_takes_signs_away_at_the_ends_only(text):
    clean = clean_caption(text)
    assert clean.rstrip(".") in text
    assert len(clean) <= len(text)


def test_what_was_published_stays_beside_what_was_cleaned():
    raw = ManifestRow("a", "https://x.org/?a&amp;b", '"A {Thing}"', {"group": 3})
    row = cleaned(raw)
    assert (row.image_hash, row.url_link, row.caption) == ("a", raw.url_link, raw.caption)
    assert row.extra == {"caption_clean": "A {Thing}", "url_clean": "https://x.org/?a&b", "group": 3}
    assert (caption_to_use(row.caption, row.extra), url_to_use(row.url_link, row.extra)) == (
        "A {Thing}",
        "https://x.org/?a&b",
    )


def test_a_row_without_leftovers_is_itself():
    row = ManifestRow("a", "https://x.org/?a&b", "A {Thing}", {"x": 1})
    assert cleaned(row) is row
    assert caption_to_use(row.caption, row.extra) == "A {Thing}"
    assert url_to_use(None, {}) is None


def test_a_cleaned_text_that_is_there_already_is_kept():
    row = ManifestRow("a", None, '"A {Thing}"', {"caption_clean": "by hand"})
    assert cleaned(row).extra == {"caption_clean": "by hand"}
