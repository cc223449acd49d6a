"""`relsim space`, `figure`, `study` and `report` as a person runs them: from pictures and result files to files."""

import json
import re
import shutil
from datetime import datetime, timezone

import pytest
from PIL import Image

SUFFIXES = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Pictures of two relations in two colours, tables of both axes by the fake encoder, and a retrieval run."""
    from typer.testing import CliRunner

    from relsim.cli.main import app

    folder = tmp_path_factory.mktemp("made")
    (folder / "images").mkdir()
    for number in range(8):
        colour = (30 * number, 40 if number % 2 else 200, 90)
        Image.new("RGB", (40 + 2 * number, 40), colour).save(folder / "images" / f"{number}.png")

    def verb(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output

    verb("embed", folder / "images", "--out", folder / "works", "--encoder", "fake")
    verb("embed", folder / "images", "--out", folder / "looks", "--encoder", "descriptors")
    tables = ("--table", f"works={folder / 'works'}", "--table", f"looks={folder / 'looks'}")
    verb("evaluate", "retrieval", *tables, "-o", folder / "run", "--workers", 1)
    return folder


@pytest.fixture
def space(made, tmp_path, verb):
    def run(query, *options, name="space.png"):
        tables = (made / "works", "--attributes", made / "looks")
        result = verb("space", query, *tables, "-o", tmp_path / name, *options)
        assert result.exit_code == 0, result.stderr
        return json.loads((tmp_path / name).with_suffix(".json").read_text())

    return run


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_space_is_drawn_with_its_data_beside_it(space, tmp_path, suffix):
    content = space("3.png", name=f"space{suffix}")
    assert (tmp_path / f"space{suffix}").read_bytes().startswith(SUFFIXES[suffix])
    assert content["schema"] == "relsim.space/1"
    assert sorted(point["image_id"] for point in content["points"]) == [f"{n}.png" for n in range(8) if n != 3]


def test_scores_of_a_space_are_those_of_the_search(space, made, document):
    content = space("3.png")
    hits = document("search", made / "works", "3.png", "--attributes", made / "looks", "-k", 8)["hits"]
    expected = {hit["image_id"]: (hit["relational"], hit["attribute"]) for hit in hits}
    found = {point["image_id"]: (point["relational"], point["attribute"]) for point in content["points"]}
    assert found == expected


def test_a_file_of_the_collection_is_the_same_query_as_its_id(space, made):
    by_file, by_id = space(made / "images" / "3.png"), space("3.png")
    assert by_file["points"] == by_id["points"]
    assert by_file["query"]["source"] == by_id["query"]["source"]


def test_an_image_from_elsewhere_is_a_query_and_everything_else_a_point(space, tmp_path, made):
    shutil.copy(made / "images" / "3.png", tmp_path / "mine.png")
    points = {point["image_id"]: point for point in space(tmp_path / "mine.png")["points"]}
    assert len(points) == 8
    assert points["3.png"]["relational"] == pytest.approx(1)


def test_axes_grid_and_sample_are_options(space):
    content = space("3.png", "--axes", "percentile", "--grid", "4x3", "--sample", 5, "--seed", 1, "--per-cell", 1)
    assert (content["scale"], content["grid"]) == ("percentile", {"columns": 4, "rows": 3, "per_cell": 1})
    assert (len(content["points"]), content["collection"]) == (5, 7)
    assert max(point["x"] for point in content["points"]) < 1
    cells = [(point["column"], point["row"]) for point in content["points"] if point["shown"]]
    assert len(cells) == len(set(cells))


def test_the_published_form_draws_again(space, verb, tmp_path):
    space("3.png", "--published", tmp_path / "xy.json")
    xy = json.loads((tmp_path / "xy.json").read_text())
    assert set(xy["4.png"]) == {"clip_score", "our_score", "our_path"}
    for name in ("xy.json", "space.json"):
        assert verb("figure", "space", tmp_path / name, "-o", tmp_path / "again.svg").exit_code == 0
        assert "mere appearance" in (tmp_path / "again.svg").read_text()


def test_a_folder_is_embedded_with_the_embedded_models(made, verb, tmp_path):
    result = verb("space", "2.png", made / "images", "-o", tmp_path / "s.svg", "--workers", 1)
    assert result.exit_code == 0, result.stderr
    content = json.loads((tmp_path / "s.json").read_text())
    assert content["axes"]["y"]["name"] == "relsim-mini"
    assert content["axes"]["x"]["name"] == "relsim-mini-attributes"
    assert content["axes"]["y"]["percentile_of"] == "unrelated pairs"
    assert len(content["points"]) == 7
    assert "8 embedded by relsim-mini, 8 embedded by relsim-mini-attributes" in result.stderr
    again = verb("space", made / "images" / "2.png", made / "images", "-o", tmp_path / "again.svg", "--workers", 1)
    assert again.exit_code == 0, again.stderr
    assert "0 embedded by relsim-mini, 0 embedded by relsim-mini-attributes" in again.stderr
    assert json.loads((tmp_path / "again.json").read_text())["points"] == content["points"]
    part = [made / "images" / f"{number}.png" for number in (2, 3, 4)]
    fewer = verb("space", part[0], *part, "-o", tmp_path / "part.svg", "--tables", tmp_path / "part", "--workers", 1)
    assert fewer.exit_code == 0, fewer.stderr
    assert len(json.loads((tmp_path / "part.json").read_text())["points"]) == 2


def test_tables_of_another_collection_are_refused(made, verb, refused, tmp_path):
    """The same ids, other pictures: vectors of the ones would be told of the others."""
    (tmp_path / "others").mkdir()
    for number in range(3):
        Image.new("RGB", (40, 40), (200, 90 * number, 0)).save(tmp_path / "others" / f"{number}.png")
    words = ("--workers", 1, "--tables", tmp_path / "tables")
    first = verb("space", "1.png", tmp_path / "others", "-o", tmp_path / "s.svg", *words)
    assert first.exit_code == 0, first.stderr
    told = refused("space", "1.png", made / "images", "-o", tmp_path / "t.svg", *words)
    assert re.search(r"holds 0.png of another collection .*others.*; name another folder for tables", told)
    assert not (tmp_path / "t.svg").exists()


def test_a_document_of_another_kind_is_not_written_over(space, made, refused, tmp_path):
    """Neither is a picture of the collection; a space that is there is."""
    tables = (made / "works", "--attributes", made / "looks")
    for content in ('{"schema": "relsim.triplets/1"}', "my notes"):
        (tmp_path / "s.json").write_text(content)
        told = refused("space", "3.png", *tables, "-o", tmp_path / "s.png")
        assert "s.json is there, and is no document of the kind space" in told
        assert (tmp_path / "s.json").read_text() == content
        told = refused("space", "3.png", *tables, "-o", tmp_path / "t.png", "--published", tmp_path / "s.json")
        assert "no document of the kind xy" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.json"]
    assert "is a picture of the collection" in refused("space", "3.png", *tables, "-o", made / "images" / "4.png")
    (tmp_path / "s.json").unlink()
    assert [len(space("3.png", name="s.png")["points"]) for _ in range(2)] == [7, 7]


def test_a_query_is_looked_for_before_anything_is_embedded(made, refused, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    told = refused("space", "22.png", made / "images", "-o", tmp_path / "s.png")
    assert told.startswith("22.png is neither an id of the collection nor an image file")
    assert "there are 8 ids, such as 2.png" in told
    assert "broken.png: " in refused("space", tmp_path / "broken.png", made / "images", "-o", tmp_path / "s.png")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("3.png", "WORKS", "-o", "s.png"), "name one table, and that of looks"),
        (("3.png", "IMAGES", "--attributes", "LOOKS", "-o", "s.png"), "is no table"),
        (("3.png", "WORKS", "--attributes", "LOOKS", "-o", "s.gif"), "end its name in .png, .pdf, .svg"),
        (("3.png", "WORKS", "--attributes", "LOOKS", "-o", "s.png", "--axes", "log"), "no scale of a similarity space"),
        (("a ring of keys", "WORKS", "--attributes", "LOOKS", "-o", "s.png"), "a sentence says nothing of looks"),
    ],
    ids=["one table", "no table", "suffix", "scale", "sentence"],
)
def test_what_cannot_be_a_space_is_one_line(made, refused, tmp_path, arguments, message):
    places = {"WORKS": made / "works", "LOOKS": made / "looks", "IMAGES": made / "images"}
    placed = {"s.png": tmp_path / "s.png", "s.gif": tmp_path / "s.gif"}
    assert message in refused("space", *({**places, **placed}.get(word, word) for word in arguments))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_takes_no_file_is_one_line(refused):
    assert "cannot be written" in refused("figure", "paper", "--out", "/proc/self")


@pytest.fixture
def study(made, verb, tmp_path):
    path = tmp_path / "study.json"
    result = verb("study", "new", made / "run", "-o", path, "--answers", 2)
    assert result.exit_code == 0, result.stderr
    return path


def answer(path, people):
    from relsim.evaluation.study import read_study
    from relsim.evaluation.study_answers import StudyAnswers

    store = StudyAnswers(path.with_suffix(".sqlite"), read_study(path))
    for person in people:
        while (question := store.next_question(person)) is not None:
            side = "left" if question.left.method == "works" else "right"
            store.record_answer(question.question_id, person, side, now=datetime.now(timezone.utc))
    return store


def test_a_study_goes_from_a_run_to_a_figure(study, verb, document, tmp_path):
    content = json.loads(study.read_text())
    assert content["schema"] == "relsim.study/1"
    (pair,) = content["pairs"]
    assert len(content["questions"]) + pair["same_picture"] == 8
    answer(study, ["x", "y"])
    out, drawn, exported = (tmp_path / name for name in ("results.json", "p.svg", "answers.csv"))
    found = document("study", "results", study, "-o", out, "--figure", drawn, "--export", exported)
    assert json.loads(out.read_text()) == found
    (pair,) = found["pairs"]
    of_works = pair["shares"]["first" if pair["first"] == "works" else "second"]
    assert (of_works["value"], pair["answers"]) == (1, 2 * len(content["questions"]))
    assert "100.0 %" in drawn.read_text()
    assert len(exported.read_text().splitlines()) == 1 + pair["answers"]
    assert verb("figure", "preferences", out, "-o", tmp_path / "again.svg").exit_code == 0
    assert (tmp_path / "again.svg").read_bytes() == drawn.read_bytes()


def test_a_study_that_has_a_file_is_not_made_again(study, made, refused):
    before = study.read_text()
    assert "exists already" in refused("study", "new", made / "run", "-o", study)
    assert study.read_text() == before


def test_results_without_answers_say_where_they_would_be(study, refused):
    assert f"no answers in {study.with_suffix('.sqlite')} yet" in refused("study", "results", study)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_sheets_and_the_paper_are_drawn_in_every_form(made, verb, tmp_path, suffix):
    for name, options in (("sheet", ("--queries", 2, "-k", 2)), ("sheet", ("--query", "1.png", "--method", "works"))):
        out = tmp_path / f"{name}{suffix}"
        assert verb("figure", name, made / "run", *options, "-o", out).exit_code == 0
        assert out.read_bytes().startswith(SUFFIXES[suffix])
    result = verb("figure", "paper", "--out", tmp_path / "paper", "--format", suffix[1:])
    assert [line.rpartition("/")[2] for line in result.stdout.splitlines()] == [
        *(f"{name}{suffix}" for name in ("figure-6", "figure-8", "table-2")),
        "table-2.csv",
    ]


def test_a_method_that_is_not_there_is_told_with_those_that_are(made, refused, tmp_path):
    line = refused("figure", "sheet", made / "run", "-o", tmp_path / "s.png", "--method", "clip")
    assert line == "there is no method clip; there are works, looks"


def test_curves_and_heat_maps_are_named_as_asked(verb, refused, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n')
    out = tmp_path / "curves.svg"
    assert verb("figure", "training", tmp_path / "one", f"mine={tmp_path / 'two'}", "-o", out).exit_code == 0
    assert {"one", "mine"} <= set(re.findall(r"<text[^>]*>([^<]*)</text>", out.read_text()))
    line = refused("figure", "training", tmp_path / "one", tmp_path / "one", "-o", out)
    assert "one names two files" in line


def test_a_file_of_another_kind_is_refused_with_both_names(made, refused, tmp_path):
    line = refused("figure", "download", made / "run", "-o", tmp_path / "d.png")
    assert "of the kind retrieval; this needs download" in line


def test_a_report_tells_what_is_not_on_it_and_exits_with_3(made, verb, tmp_path):
    (tmp_path / "other.json").write_text("{}")
    result = verb("report", made / "run", tmp_path / "other.json", "-o", tmp_path / "r.html")
    assert (result.exit_code, result.stdout) == (3, f"{tmp_path / 'r.html'}: 1 of 2 files\n")
    assert "not shown: " in result.stderr
    assert "other.json" in (tmp_path / "r.html").read_text()


def test_without_matplotlib_the_extra_is_named(made, environment, run, tmp_path):
    """A folder before all others in which matplotlib cannot be imported, as where it is not installed."""
    (tmp_path / "matplotlib").mkdir()
    (tmp_path / "matplotlib" / "__init__.py").write_text("raise ModuleNotFoundError('no matplotlib')")
    variables = {**environment, "PYTHONPATH": f"{tmp_path}:{environment['PYTHONPATH']}"}
    result = run("figure", "sheet", made / "run", "-o", tmp_path / "s.png", env=variables)
    assert (result.returncode, result.stdout) == (1, "")
    assert 'pip install "relsim[figures]"' in result.stderr


def test_documents_have_the_keys_that_the_page_of_formats_shows(space, study, document, documented):
    answer(study, ["x", "y"])
    for content in (space("3.png"), json.loads(study.read_text()), document("study", "results", study)):
        documented(content)
