"""The paper's Figures 6 and 8 and Table 2: bars, labels and cells are the printed numbers, also in the files."""

import csv
import re

import pytest

from relsim.errors import ResultError
from relsim.figures.paper import draw_table, paper_preferences, paper_scores, paper_table, write_paper
from relsim.figures.preferences import Preference, draw_preferences
from relsim.figures.scores import draw_scores
from relsim.figures.style import rendered

# As printed, arXiv 2512.07833: Figure 6, Figure 8 (ours, same, baseline, in %), Table 2 (LPIPS, CLIP, relsim).
FIGURE_6 = {
    "LPIPS": 4.56,
    "Qwen-T": 4.86,
    "DINO": 5.14,
    "CLIP-T": 5.33,
    "Tuned DINO": 5.62,
    "DreamSim": 5.76,
    "CLIP-I": 5.91,
    "Tuned CLIP": 6.02,
    "relsim": 6.77,
}
FIGURE_8 = {
    "DreamSim": (48.5, 17.0, 34.4),
    "DINO": (54.2, 21.5, 24.3),
    "CLIP-I": (42.5, 25.6, 31.9),
    "CLIP-T": (59.7, 12.6, 27.7),
    "Qwen-T": (60.7, 17.5, 21.8),
}
TABLE_2 = {
    "FLUX-Kontext": ("0.28", "0.87", "0.71"),
    "Bagel": ("0.32", "0.79", "0.74"),
    "Qwen-Image": ("0.29", "0.86", "0.71"),
    "GPT4o-Image": ("0.47", "0.77", "0.82"),
    "Nano-Banana": ("0.41", "0.78", "0.84"),
    "human example": ("0.60", "0.66", "0.88"),
}


def words_of(svg):
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_bars_of_figure_6_have_the_printed_heights_and_labels():
    axes = draw_scores(paper_scores()).axes[0]
    names = [label.get_text() for label in axes.get_xticklabels()]
    heights = [bar.get_height() for bar in axes.patches]
    assert dict(zip(names, heights, strict=True)) == FIGURE_6
    assert heights == sorted(heights)
    assert [note.get_text() for note in axes.texts] == [f"{value:.2f}" for value in sorted(FIGURE_6.values())]


def test_bars_of_figure_8_have_the_printed_widths_and_labels():
    axes = draw_preferences(paper_preferences()).axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    widths = [[bar.get_width() for bar in kind] for kind in axes.containers]
    for name, *shares in zip(names, *widths, strict=True):
        assert shares == pytest.approx(FIGURE_8[name], abs=0.05)
        assert sum(shares) == pytest.approx(100)
    labels = [note.get_text() for note in axes.texts if "%" in note.get_text()]
    printed = [f"{FIGURE_8[name][kind]:.1f} %" for kind in range(3) for name in names]
    assert labels == printed
    answers = [note.get_text() for note in axes.texts if "%" not in note.get_text()]
    assert answers == ["880", "880", "800", "880", "880", "answers"]


def test_a_bar_begins_where_the_one_before_it_ends():
    axes = draw_preferences(paper_preferences()).axes[0]
    ours, same, other = axes.containers
    for first, second, third in zip(ours, same, other, strict=True):
        assert first.get_x() == 0
        assert second.get_x() == pytest.approx(first.get_width())
        assert third.get_x() + third.get_width() == pytest.approx(100)


def test_the_files_hold_the_printed_numbers_as_text(tmp_path):
    made = write_paper(tmp_path, (".svg",))
    assert [path.name for path in made] == ["figure-6.svg", "figure-8.svg", "table-2.svg", "table-2.csv"]
    found = {path.stem: words_of(path.read_text()) for path in made[:3]}
    assert [f"{value:.2f}" for value in FIGURE_6.values() if f"{value:.2f}" not in found["figure-6"]] == []
    shares = [f"{share:.1f} %" for row in FIGURE_8.values() for share in row]
    assert [text for text in shares if text not in found["figure-8"]] == []
    cells = [cell for name, row in TABLE_2.items() for cell in (name, *row)]
    assert [text for text in found["table-2"] if text in cells] == cells
    assert [text for text in found["table-2"] if text[-1] in "↓↑"] == ["LPIPS ↓", "CLIP ↑", "relsim ↑"]
    rows = list(csv.reader(made[3].read_text().splitlines()))
    assert rows == [["method", "LPIPS", "CLIP", "relsim"], *([name, *row] for name, row in TABLE_2.items())]


def test_a_figure_has_the_same_bytes_whenever_it_is_drawn():
    for suffix in (".svg", ".pdf", ".png"):
        first, second = (rendered(draw_table(paper_table()), suffix) for _ in range(2))
        assert first == second


def test_every_series_differs_by_more_than_its_colour():
    axes = draw_preferences(paper_preferences()).axes[0]
    brightness = []
    for kind in axes.containers:
        red, green, blue, _ = kind[0].get_facecolor()
        brightness.append((round(0.3 * red + 0.6 * green + 0.1 * blue, 1), kind[0].get_hatch()))
    assert len(set(brightness)) == 3
    others = {bar.get_hatch() for bar in draw_scores(paper_scores()).axes[0].patches}
    assert others == {None, "///"}


def test_no_two_texts_of_a_figure_overlap(collisions):
    for figure in (draw_preferences(paper_preferences(), title="Figure 8"), draw_scores(paper_scores(), title="A")):
        assert collisions(figure) == ([], [])


def test_no_answers_are_no_preference():
    with pytest.raises(ResultError, match="no answer about a and b"):
        Preference.of_counts("a", "b", (0, 0, 0))
