"""The report: every kind of result on one page that needs nothing else, well formed, with the values also in words."""

import json
import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
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
from relsim.figures.report_explanation import draw_maps
from relsim.figures.report_sections import KINDS
from relsim.figures.scores import Score, ScoreSet, draw_scores, scores_of
from relsim.figures.sheets import chosen_queries, draw_sheet
from relsim.figures.similarity_space import Query, make_space
from relsim.vectors.two_axis import TwoAxisHit

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


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
FORMATS = Path(__file__).parents[2] / "docs" / "formats.md"
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
    examples = re.findall(r"```json\n(.*?)```", FORMATS.read_text(encoding="utf-8"), re.DOTALL)
    described = {example["schema"]: example for example in map(json.loads, examples) if "schema" in example}
    explained = described["relsim.explain/1"]
    (first,) = explained["pictures"]
    second = {**first, "source": str(pictures / "03.png"), "width": 30, "height": 23, "seen": [4, 0, 26, 23]}
    second["occlusion"] = {
        **first["occlusion"],
        "falls": [[0.02, -0.5], [0.11, 0.0]],
        "boxes": [[4, 0, 10, 6], [20, 0, 26, 6], [4, 17, 10, 23], [20, 17, 26, 23]],
    }
    explained["pictures"] = [first, second]
    log = folder / "train.jsonl"
    log.write_text("".join(f"{str(row).replace(chr(39), chr(34))}\n" for row in LOG) + '{"step": 4, "lo')
    documents = {
        "mini": triplets(0.9),
        "looks": triplets(0.1),
        "judged": JUDGED,
        "calibration": described["relsim.judge_calibration/1"],
        "agreement": described["relsim.judge_agreement/1"],
        "explained": explained,
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


def test_a_browser_is_told_to_ask_for_nothing_and_run_nothing(page, outline):
    """Before anything that could ask: the policy is in the head, and the first of it that is not the letters."""
    metas = outline.all("meta")
    assert metas[1]["http-equiv"] == "Content-Security-Policy"
    rules = dict(rule.strip().split(" ", 1) for rule in metas[1]["content"].split(";"))
    assert rules["default-src"] == "'none'"
    assert {name: rule for name, rule in rules.items() if name not in ("base-uri", "form-action")} == {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": "'unsafe-inline'",
    }
    assert page.index("Content-Security-Policy") < page.index("<style>") < page.index("<img")


@pytest.mark.skipif(CHROMIUM is None, reason="there is no browser here")
def test_in_a_browser_everything_is_seen_and_nothing_is_asked_for(page, tmp_path):
    """With a picture and a script from elsewhere put in, neither of which comes through."""
    from playwright.sync_api import sync_playwright

    asked, refused = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stranger = f'<img src="http://127.0.0.1:{server.server_port}/a.png"><script>document.title = "run"</script>'
        (tmp_path / "page.html").write_text(page.replace("</body>", f"{stranger}</body>"))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page()
        tab.on("console", lambda message: refused.append(message.text))
        tab.goto((tmp_path / "page.html").as_uri())
        widths = tab.eval_on_selector_all("main img", "all => all.map(one => one.naturalWidth)")
        title = tab.title()
        browser.close()
        server.shutdown()
    assert min(widths) > 0
    assert (title, asked) == ("A <title>", [])
    assert sum("Content Security Policy" in text for text in refused) == 2


def test_links_lead_to_the_sections(outline):
    anchors = {attributes["id"] for _, attributes in outline.tags if "id" in attributes}
    links = [attributes["href"][1:] for attributes in outline.all("a")]
    assert sorted(links) == sorted(anchors)
    assert len(links) == len(set(links)) == 18 + 2  # a part for each file, triplets side by side, what is not shown


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


def test_calibration_agreement_and_explanation_are_told_with_what_they_rest_on(outline):
    """The numbers are those of the examples in docs/formats.md."""
    words = outline.words
    for cells in (
        ("conflict", "82.0 %", "69.2 to 90.2", "50"),
        ("same relation, other look", "7.100 (6.400 to 7.700)", "50"),
        ("relation against none", "0.930 (0.890 to 0.960)", "200"),
        ("weighted kappa", "0.620 (0.540 to 0.690)", "300"),
        ("{Subject} imagines {Object} in a thought bubble", "0.710", "0.700", "0.700"),
        ("relational", "+0.948, above 100.0 % of unrelated pairs"),
    ):
        places = [place for place, word in enumerate(words) if word == cells[0]]
        assert any(tuple(words[place : place + len(cells)]) == cells for place in places), cells
    assert any("900 ratings of people" in word for word in words)


def test_maps_of_an_explanation_share_one_scale_and_lie_where_they_belong(paths):
    content = read_result(paths["explained"]).content
    figure = draw_maps(paths["explained"].parent, content["pictures"])
    maps = [axes.images for axes in figure.axes if len(axes.images) == 2]
    assert [images[1].get_clim() for images in maps] == [(0.0, 1.6), (-0.5, 0.5)] * 2
    np.testing.assert_allclose(maps[2][1].get_array(), [[1.6, 1.2], [0.8, 0.4]])
    # The second picture is 30 wide and 23 high; its patches have their middles at 7 and 23, and at 3 and 20.
    assert maps[2][1].get_extent() == pytest.approx([3.5, 25.5, 22.5, -0.5])
    assert maps[3][1].get_extent() == pytest.approx([-1.5, 30.5, 28, -6])


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
    assert [label.get_text() for label in axes.get_xticklabels()] == ["far <b>\nn = 8 of 9", "near\nn = 8 of 9"]
    assert any(text.get_text() == "lines: 95 % intervals; n: pairs with a score" for text in axes.texts)


def test_every_score_says_what_it_rests_on(paths):
    for name, counts, counted in (("pairs", ["4", "1"], "pairs"), ("mini", ["50"], "triplets")):
        found = scores_of([read_result(paths[name])])
        assert ([score.count for score in found.scores], found.counted) == (counts, counted)


def test_words_of_bars_keep_apart(collisions):
    names = ("relsim-mini", "a method of a very long name indeed", "descriptors", "clip")
    scores = [Score(name, 0.2 + 0.1 * place, 0.1, 0.6, "1,234 of 1,235") for place, name in enumerate(names)]
    assert collisions(draw_scores(ScoreSet("share", tuple(scores), counted="pairs"), title="A title"))[1] == []


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
    assert axes.figure.axes[1].get_ylabel() == "conflict triplets right, 50 a cell"


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
