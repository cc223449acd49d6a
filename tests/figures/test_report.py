"""The report: every kind of result on one page that needs nothing else, well formed, with the values also in words."""

import re

import pytest

from relsim.errors import ResultError
from relsim.evaluation.result_files import kind_of, rankings, read_result
from relsim.evaluation.study import new_study
from relsim.evaluation.study_answers import Answer
from relsim.evaluation.study_results import study_results
from relsim.figures.curves import curves_of, draw_training
from relsim.figures.heat_map import draw_heat_map
from relsim.figures.outcomes import draw_download
from relsim.figures.report import write_report
from relsim.figures.report_sections import KINDS
from relsim.figures.scores import Score, ScoreSet, draw_scores, scores_of
from relsim.figures.sheets import chosen_queries, draw_sheet
from relsim.figures.similarity_space import Query, make_space
from relsim.vectors.two_axis import TwoAxisHit


def estimate(value, **more):
    return {"value": value, "low": max(0, value - 0.1), "high": min(1, value + 0.1), "count": 50, **more}


def triplets(value):
    rows = [{"kind": "conflict", "family": None, "relation": None, **estimate(value)}]
    rows += [{"kind": "conflict", "family": name, "relation": None, **estimate(value)} for name in ("nesting", "rows")]
    return {"schema": "relsim.triplets/1", "accuracy": rows, "missing": 2, "failures": [], "fingerprint": {}}


JUDGED = {
    "schema": "relsim.judge/1",
    "config": {},
    "summary": {
        name: {"total_pairs": 9, "valid_pairs": 8, "average_score": score, "min_score": 1.0, "max_score": 9.0}
        for name, score in (("near", 6.25), ("far <b>", 3.5))
    },
    "methods": {"near": {"mean": {"value": 6.25, "low": 5.5, "high": 7.0, "count": 8}}, "far <b>": {"mean": None}},
    "comparisons": [
        {"metric": "score", "first": "near", "second": "far <b>", "p": 0.01, "p_holm": 0.02, **estimate(0.5)}
    ],
    "detailed_results": {},
}
PAIRS = {
    "schema": "relsim.pairs/1",
    "pairs": "pairs",
    "methods": {
        "painter": {"pairs": 4, "copies": 1, "scores": {"fake": {"all": {"mean": 0.75, "sd": 0.125, "count": 4}}}},
        "single": {"pairs": 1, "copies": 0, "scores": {"fake": {"all": {"mean": 0.5, "sd": None, "count": 1}}}},
    },
    "encoders": {"fake": {}},
}
MTEB = {
    "schema": "relsim.mteb/1",
    "collection": ["world/manifest.jsonl"],
    "methods": {
        "seer": {"tasks": {"WorldI2I": {"ndcg_at_10": 0.8125}, "WorldT2I": {"ndcg_at_10": 0.9375}}},
        "mute": {"tasks": {"WorldI2I": {"ndcg_at_10": 0.0625}}},
    },
}
DOWNLOAD = {
    "schema": "relsim.download/1",
    "list": {"name": "list"},
    "rows": 100,
    "statuses": {"ok": 70, "timeout": 20, "dead": 10},
    "codes": {"200": 70, "none": 20, "404": 10},
    "hosts": {"a.example": {"rows": 60, "ok": 50}, "b.example": {"rows": 40, "ok": 20}},
    "host_count": 2,
}
TRAIN = {"schema": "relsim.train/1", "out": "run", "steps": 10, "last": "", "best": None, "metrics": {"mrr": 0.5}}
LOG = [{"step": step, "loss": 5 / step, "learning_rate": 1e-4} for step in (1, 2, 3)] + [{"step": 3, "eval_mrr": 0.625}]


@pytest.fixture(scope="module")
def paths(retrieved, pictures, write, tmp_path_factory):
    """One file of each kind that this package writes itself, and published ones."""
    folder = tmp_path_factory.mktemp("results")
    study = new_study(rankings(read_result(retrieved)))
    answers = [Answer(q.question_id, f"p{n}", "left", 1.0, f"{n}") for q in study.questions for n in range(3)]
    hits = [TwoAxisHit(f"{n:02d}", 0.0, n / 12, 1 - n / 12, str(pictures / f"{n:02d}.png"), n) for n in range(12)]
    space = make_space(Query("00", str(pictures / "00.png")), hits)
    published = {name: JUDGED[name] for name in ("config", "summary", "detailed_results")}
    log = folder / "train.jsonl"
    log.write_text("".join(f"{str(row).replace(chr(39), chr(34))}\n" for row in LOG) + '{"step": 4, "lo')
    documents = {
        "mini": triplets(0.9),
        "looks": triplets(0.1),
        "judged": JUDGED,
        "published": published,
        "pairs": PAIRS,
        "mteb": MTEB,
        "download": DOWNLOAD,
        "train": TRAIN,
        "study": study.to_json(),
        "answered": study_results(study, answers).to_json(),
        "empty": study_results(study, []).to_json(),
        "space": space.to_json(),
        "xy": space.published_form(),
    }
    found = {name: write(folder, f"{name}.json", content) for name, content in documents.items()}
    return {**found, "log": log, "retrieved": retrieved}


@pytest.fixture(scope="module")
def page(paths, write, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    stranger = write(folder, "stranger.json", {"schema": "elsewhere/1"})
    damaged = write(folder, "damaged.json", {"schema": "relsim.triplets/1"})
    left_out = write_report(folder / "r.html", [*paths.values(), stranger, damaged], title="A <title>")
    assert set(left_out) == {stranger, damaged}
    return (folder / "r.html").read_text()


@pytest.fixture(scope="module")
def outline(page, page_outline):
    return page_outline.Outline(page)


def test_every_kind_is_recognised(paths):
    assert {read_result(path).kind for path in paths.values()} | {"retrieval"} == set(KINDS)


def test_the_page_is_well_formed_and_asks_for_nothing_outside(page, outline):
    assert (outline.faults, outline.open) == ([], [])
    assert [tag for tag, _ in outline.tags if tag in ("script", "link", "iframe", "object")] == []
    sources = [attributes[key] for _, attributes in outline.tags for key in ("src", "href") if key in attributes]
    assert [source[:40] for source in sources if not source.startswith(("data:image/", "#"))] == []
    style = page.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_links_lead_to_the_sections(outline):
    anchors = {attributes["id"] for _, attributes in outline.tags if "id" in attributes}
    links = [attributes["href"][1:] for attributes in outline.all("a")]
    assert sorted(links) == sorted(anchors)
    assert len(links) == len(set(links)) == 15 + 2  # a part for each file, triplets side by side, what is not shown


def test_figures_and_pictures_say_in_words_what_they_show(outline):
    texts = [attributes["alt"] for attributes in outline.all("img")]
    assert all(texts)
    assert any("near 6.25" in text and "far <b> 3.50" in text for text in texts)
    assert any("ok 70, timeout 20, dead 10" in text for text in texts)
    assert any(re.search(r"nesting: mini 90 %", text) for text in texts)


def test_numbers_of_the_files_are_in_the_tables(outline):
    words = set(outline.words)
    assert {"6.25", "8 of 9", "0.75 ± 0.12", "90.0 %", "+0.500", "0.625", "20.0%", "0.812", "0.938"} <= words
    assert "far <b>" in words  # escaped in the page, whole for the reader


def test_what_is_no_result_is_named_with_the_reason(outline):
    words = " ".join(outline.words)
    assert "its schema is elsewhere/1" in words
    assert "is damaged: KeyError 'accuracy'" in words


def test_a_page_without_any_result_is_refused(tmp_path, write):
    with pytest.raises(ResultError, match="none of these files is a result"):
        write_report(tmp_path / "r.html", [write(tmp_path, "a.json", {"a": 1}), tmp_path / "missing.json"])
    assert not (tmp_path / "r.html").exists()


def luminance(colour):
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_words_have_the_contrast_of_wcag_aa_in_light_and_in_dark(page):
    style = page.partition("<style>")[2].partition("</style>")[0]
    light, dark = re.findall(r":root \{(.*?)\}", style, re.DOTALL)[:2]
    for scheme in (light, dark):
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", scheme))
        for ink in ("ink", "soft", "accent", "right", "wrong"):
            bright, low = sorted((luminance(colours[ink]), luminance(colours["ground"])), reverse=True)
            assert (bright + 0.05) / (low + 0.05) >= 4.5, ink


@pytest.mark.parametrize("content", [{"a": 1}, [], [1], {}, "text", None, {"schema": "relsim.search/1"}])
def test_other_documents_are_of_no_kind(content):
    assert kind_of(content) is None


def test_a_judges_bars_have_their_intervals(paths):
    found = scores_of([read_result(paths["judged"])])
    assert [(score.name, score.value, score.low, score.high) for score in found.scores] == [
        ("near", 6.25, 5.5, 7.0),
        ("far <b>", 3.5, None, None),
    ]
    axes = draw_scores(found).axes[0]
    assert [bar.get_height() for bar in axes.patches] == [3.5, 6.25]


def test_bars_and_lines_below_zero_and_above_the_greatest_score_are_within_the_axes():
    scores = [Score("apart", -0.25, -0.5, 0.0), Score("alike", 0.9, 0.7, 1.1)]
    axes = draw_scores(ScoreSet("cosine", tuple(scores), lines="± a standard deviation")).axes[0]
    low, high = axes.get_ylim()
    assert low < -0.5
    assert high > 1.1
    assert draw_scores(ScoreSet("share", (Score("one", 0.9, 0.8, 0.95),))).axes[0].get_ylim()[0] == 0


def test_bars_of_two_kinds_are_refused(paths):
    with pytest.raises(ResultError, match="one kind"):
        scores_of([read_result(paths["judged"]), read_result(paths["pairs"])])


def test_a_heat_map_has_a_cell_for_each_family_and_encoder(paths):
    named = {name: read_result(paths[name]) for name in ("mini", "looks")}
    axes = draw_heat_map(named).axes[0]
    assert axes.images[0].get_array().tolist() == [[0.9, 0.1], [0.9, 0.1]]
    assert [text.get_text() for text in axes.texts] == ["90", "10", "90", "10"]


def test_curves_are_those_of_the_log_without_its_torn_line(paths):
    curves = curves_of(read_result(paths["log"]))
    assert curves == {
        "loss": [(1, 5.0), (2, 2.5), (3, 5 / 3)],
        "learning_rate": [(1, 1e-4), (2, 1e-4), (3, 1e-4)],
        "eval_mrr": [(3, 0.625)],
    }
    figure = draw_training({"run": curves, "other": curves})
    loss, mrr = figure.axes[:2]
    assert [list(line.get_ydata()) for line in loss.lines] == [[5.0, 2.5, 5 / 3]] * 2
    assert (loss.get_title(loc="left"), mrr.get_title(loc="left")) == ("loss (nats)", "held out: mrr")
    first, second = loss.lines
    assert first.get_marker() != second.get_marker()
    assert first.get_linestyle() != second.get_linestyle()


def test_a_downloads_bars_are_its_rows(paths):
    axes = draw_download(read_result(paths["download"])).axes[0]
    assert [bar.get_width() for bar in axes.containers[0]] == [70, 20, 10]
    assert [bar.get_hatch() for bar in axes.containers[1]] == ["///", "///"]  # timeouts, and now and then dead ones


def test_a_sheet_shows_a_row_of_matches_for_each_method(retrieved, pictures):
    found = rankings(read_result(retrieved))
    axes = draw_sheet(found, ["01", "00"], top_k=2).axes[0]
    assert len(axes.images) == 2 * (1 + 3 * 2)
    assert [text.get_text() for text in axes.texts].count("0.900") == 6
    boxes = [image.get_extent() for image in axes.images]
    for place, one in enumerate(boxes):
        for other in boxes[place + 1 :]:
            assert one[1] <= other[0] or other[1] <= one[0] or one[3] <= other[2] or other[3] <= one[2]


def test_queries_of_a_sheet_are_seeded_or_named(retrieved):
    found = rankings(read_result(retrieved))
    assert chosen_queries(found, ids=["03", "01"]) == ["03", "01"]
    assert chosen_queries(found, count=2, seed=1) == chosen_queries(found, count=3, seed=1)[:2]
    with pytest.raises(ResultError, match="99 is no query"):
        chosen_queries(found, ids=["99"])


def test_a_damaged_retrieval_file_is_told(tmp_path, write):
    path = write(tmp_path, "a.json", {"m": [{"query_image_id": "a"}]})
    with pytest.raises(ResultError, match="is damaged: KeyError"):
        rankings(read_result(path))
