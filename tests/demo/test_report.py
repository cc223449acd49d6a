"""The report: one file that needs nothing else, well formed, readable without pictures and without colour."""

import re

import pytest

from relsim.demo.chapters import Chapter, Told
from relsim.demo.report import render, write_report
from relsim.demo.results import Captioned, Picture, Skipped
from relsim.errors import RelsimError


@pytest.fixture(scope="module")
def outline(page, page_outline):
    return page_outline.Outline(page)


def luminance(colour):
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(first, second):
    """WCAG 2.2, definition of the contrast ratio."""
    bright, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_it_is_well_formed(outline):
    assert (outline.faults, outline.open) == ([], [])


def test_it_needs_no_other_file_and_no_script(page, outline):
    assert outline.all("script") == outline.all("link") == outline.all("iframe") == []
    assert all(image["src"].startswith("data:image/webp;base64,") for image in outline.all("img"))
    assert all(link["href"].startswith("#") for link in outline.all("a"))
    assert re.findall(r"url\(|@import|https?://", page) == []
    assert len(page) < 2_000_000


def test_every_link_leads_to_a_heading(outline):
    headings = {heading["id"] for heading in outline.all("h2")}
    assert [link["href"][1:] for link in outline.all("a")] == [heading["id"] for heading in outline.all("h2")]
    assert {section["aria-labelledby"] for section in outline.all("section")} == headings


def test_every_picture_and_drawing_is_described(outline):
    assert all(len(image["alt"]) > 20 for image in outline.all("img"))
    assert all(drawing["aria-label"] for drawing in outline.all("svg"))


def test_it_shows_the_commands_and_the_numbers(page, told, outline):
    words = "".join(outline.words)
    for step in told:
        for command in step.chapter.commands:
            assert f"relsim {command[0]}" in words
    for _, report in told[-1].result.reports:
        for estimate in report.kinds.values():
            assert f"{100 * estimate.value:.1f} %" in words
    for pair in told[1].result.pairs:
        assert f"{pair.relational:.3f}" in words


def test_right_and_wrong_differ_by_a_mark_too(page):
    assert re.findall(r'class="right">(?!✓)|class="wrong">(?!✗)', page) == []


def test_colours_have_the_contrast_of_aa(page):
    themes = re.findall(r":root \{(.*?)\}", page, re.DOTALL)
    assert len(themes) == 3  # light, dark, print
    for theme in themes:
        colours = {name: value if len(value) == 7 else "#" + "".join(2 * digit for digit in value[1:])
                   for name, value in re.findall(r"--(\w+): (#\w+)", theme)}  # fmt: skip
        for text in ("ink", "soft", "accent", "right", "wrong"):
            for ground in ("ground", "paper", *(("code",) if text == "ink" else ())):
                assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)


def test_what_comes_from_a_network_is_text(tmp_path, told, page_outline):
    chapter = Chapter(1, "captions", "Words", "<lead>", (("caption", "a <b>.png"),))
    path = told[1].result.pairs[0].first.path
    picture = Picture("1", path, "ring", 'a "quoted" <thing>')
    shown = render([Told(chapter, Captioned(((picture, "<script>alert(1)</script> {A} & {B}"),)), 1.0)])
    outline = page_outline.Outline(shown)
    assert (outline.faults, outline.all("script"), outline.all("thing")) == ([], [], [])
    assert outline.all("img")[0]["alt"] == 'a "quoted" <thing>. It shows: ring.'
    assert "<script>alert(1)</script> {A} & {B}" in "".join(outline.words)


def test_a_step_that_was_left_out_says_why():
    chapter = Chapter(6, "sentence", "Search", "lead", ())
    assert "Left out: no text encoder" in render([Told(chapter, Skipped("no text encoder"), 0.01)])


def test_a_report_that_cannot_be_written_is_told(told, tmp_path):
    with pytest.raises(RelsimError, match="cannot be written"):
        write_report(tmp_path / "nowhere" / "report.html", told[:0])


def test_every_class_has_a_rule_and_every_rule_a_class(page, outline):
    style = re.search(r"<style>(.*)</style>", page, re.DOTALL).group(1)
    assert style.count("{") == style.count("}")
    used = {name for _, attributes in outline.tags for name in attributes.get("class", "").split()}
    ruled = set(re.findall(r"\.([a-z]+)\b", style))
    assert used - ruled <= {"picture"}
    assert ruled <= used
