"""docs/formats.md against the code: every document, fact and status that exists is described there."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from safetensors import safe_open
from typer.testing import CliRunner

import relsim
from relsim.cli.main import app
from relsim.data.records import Status
from relsim.encoders.fake import FakeEncoder
from relsim.models.embedded import NAMES
from relsim.training.config import TASK_DEFAULTS, TrainingConfig

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
EXAMPLES = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
BY_SCHEMA = {example["schema"]: example for example in EXAMPLES if "schema" in example}
HELD_ELSEWHERE = {  # against the page, by the tests that make them
    "relsim.download/1",  # test_download.py
    "relsim.download_run/1",
    "relsim.space/1",  # test_figure.py
    "relsim.study/1",
    "relsim.study_answers/1",
    "relsim.study_results/1",
    "relsim.curate/1",  # test_curate.py
    "relsim.curate_stage/1",
    "relsim.site/1",  # web/test_site.py
    "relsim.explain/1",  # test_explain.py
    "relsim.export_table/1",  # test_index.py, where the packages are there
    "relsim.map/1",  # web/test_map_api.py
    "relsim.job/1",  # web/test_jobs_api.py
    "relsim.parity/1",  # training/test_sentence_transformer.py
    "relsim.preprocessing/1",  # training/test_portable_export.py, where the packages are there
}
OPEN = {  # objects whose keys are data
    *("failed", "fields", "fingerprint", "origin", "packages", "settings", "skipped", "statuses"),
    *("encoders", "methods", "results", "scores", "tables", "tasks"),
    *("report",),
    *("commonest", "commonest_placeholders", "counts", "formats", "hosts", "http_codes", "parts", "without_image"),
}


def shape(value, name=""):
    """Keys and kinds of a document; of a list, those of its first item, and a null fits anything."""
    if isinstance(value, dict):
        return {} if name in OPEN else {key: shape(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


def fits(example, real):
    if isinstance(example, dict) and isinstance(real, dict):
        return list(example) == list(real) and all(fits(example[key], real[key]) for key in example)
    if isinstance(example, list) and isinstance(real, list):
        return all(fits(*pair) for pair in zip(example, real, strict=False))
    return example == real or "NoneType" in (example, real)


def section(title):
    """The text below a heading, up to the next one that is not below it."""
    depth = title.index(" ")
    return re.split(rf"^#{{1,{depth}}} ", PAGE.partition(f"\n{title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text):
    """Cells of a section's table rows that begin with names in code, and the names."""
    cells = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return [(re.findall(r"`([^`]+)`", row[0]), row) for row in cells]


def test_every_schema_in_the_code_is_described():
    sources = Path(relsim.__path__[0]).rglob("*.py")
    named = {name for path in sources for name in re.findall(r'"(relsim\.\w+/\d+)"', path.read_text(encoding="utf-8"))}
    assert named == set(BY_SCHEMA)
    assert [name for name in named if f"### {name}\n" not in PAGE] == []


@pytest.fixture
def table(plain_images, tmp_path, verb):
    folder = plain_images(tmp_path / "images", {"a.png": "red", "b.png": "blue"})
    (folder / "c.png").write_bytes(b"")
    verb("embed", folder, "--out", tmp_path / "t", "--encoder", "fake")
    return tmp_path / "t"


@pytest.fixture
def world(plain_images, tmp_path):
    """Four pictures of two relations in two colours, one of them an empty file."""
    pictures = {"a": ("red", "rings"), "b": ("red", "row"), "c": ("blue", "rings"), "d": ("blue", "row")}
    folder = tmp_path / "world"
    plain_images(folder / "images", {f"{name}.png": colour for name, (colour, _) in pictures.items()})
    (folder / "images" / "d.png").write_bytes(b"")
    labels = [
        {"image_hash": name, "relation": relation, "family": "plain", "look": colour}
        for name, (colour, relation) in pictures.items()
    ]
    (folder / "manifest.jsonl").write_text("".join(json.dumps(label) + "\n" for label in labels))
    return folder


@pytest.fixture(scope="module")
def trained(golden, tmp_path_factory):
    """What `relsim train` prints after two steps on three pictures, one more held out; its folder is in `out`."""
    place = tmp_path_factory.mktemp("train")
    lines = (golden / "train" / "train.jsonl").read_text().splitlines(keepends=True)
    (place / "four.jsonl").write_text("".join(lines[:4]))
    words = ["train", "metric", "--json-files", place / "four.jsonl", "--image-folder", golden / "train" / "images"]
    words += ["--base-model", golden / "base", "--out", place / "run", "--batch-size", 2, "--recipe", "crop56"]
    words += ["--precision", "fp32", "--set", "run.steps=2", "--set", "data.eval_fraction=0.01", "--json"]
    result = CliRunner().invoke(app, list(map(str, words)), prog_name="relsim", catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture
def shards(make_shards, golden_paths, tmp_path):
    images = {golden_paths[0].name: golden_paths[0].read_bytes(), "gone": Status.DEAD}
    return make_shards(tmp_path / "shards", images, origin={"name": "list.jsonl", "sha256": "0" * 64})


@pytest.fixture
def of_data(document, shards, tmp_path, monkeypatch, hub_server, environment):
    """What the verbs of `relsim data` print, and the documents that they write."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "random_images_14k.jsonl").write_text('{"image_hash": "a"}\n')
    (tmp_path / "bad.png").write_text("no picture")
    with hub_server.LocalHub() as server:
        command = [sys.executable, "-m", "relsim", "data", "push", shards, "someone/x", "--licence", "mit", "--json"]
        variables = {**environment, **server.variables(tmp_path / "home")}
        pushed = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    documents = {
        "list": document("data", "list"),
        "show": document("data", "show", "random-14k", "--from", tmp_path),
        "stats": document("data", "stats", shards),
        "verify": document("data", "verify", tmp_path, exits=1),
        "diff": document("data", "diff", shards, tmp_path / "random_images_14k.jsonl"),
        "dedup": document("data", "dedup", shards),
        "split": document("data", "split", shards, "--out", tmp_path / "split"),
        "export": document("data", "export", shards, "--to", "folder", "--out", tmp_path / "export"),
        "push": json.loads(pushed.stdout),
    }
    (checksum,) = (tmp_path / "cache" / "relsim" / "checksums").iterdir()
    return {f"relsim.data_{name}/1": content for name, content in documents.items()} | {
        "relsim.shards/1": json.loads((shards / "shards.json").read_text()),
        "relsim.checksum/1": json.loads(checksum.read_text()),
        "relsim.split/1": json.loads((tmp_path / "split" / "split.json").read_text()),
    }


@pytest.fixture
def of_groups(of_data, document, chat_server, plain_images, tmp_path, monkeypatch):
    """Beside those, what `relsim caption groups` prints and keeps of one group that a local server answers for."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    plain_images(tmp_path / "group_0", {"a.png": "red", "b.png": "blue"})
    (tmp_path / "seeds.jsonl").write_text('{"anonymous_caption": "x", "index_group": 0}')
    with chat_server.ChatServer() as server:
        words = ("--endpoint", server.url, "--model", "m", "--price-in", 1, "--price-out", 1, "--out", tmp_path / "g")
        report = document("caption", "groups", tmp_path / "seeds.jsonl", *words)
    (reply,) = (tmp_path / "g" / "replies").glob("*/*.json")
    return {**of_data, "relsim.group_captions/1": report, "relsim.reply/1": json.loads(reply.read_text())}


@pytest.fixture
def of_evaluation(document, world, plain_images, tmp_path):
    """What `relsim evaluate retrieval`, `pairs` and `mteb` print and write, each with something that cannot be used."""
    encoders = ("--encoder", "fake", "--encoder", "descriptors")
    (tmp_path / "ask.txt").write_text("a\nnobody\n")
    asked = ("--query-from", tmp_path / "ask.txt", "-o", tmp_path / "retrieval")
    for name, colours in {"input": {"a.png": "red", "b.png": "blue"}, "same": {"a.png": "red"}}.items():
        plain_images(tmp_path / "pairs" / name, colours)
    (tmp_path / "pairs" / "same" / "b.png").write_bytes(b"")
    return {
        "relsim.retrieval_summary/1": document(
            "evaluate", "retrieval", world / "manifest.jsonl", *encoders, *asked, exits=3
        ),
        "relsim.retrieval/1": json.loads((tmp_path / "retrieval" / "retrieval.json").read_text()),
        "relsim.pairs/1": document("evaluate", "pairs", tmp_path / "pairs", "--encoder", "fake", exits=3),
        "relsim.mteb/1": document("evaluate", "mteb", world / "manifest.jsonl", "--encoder", "fake"),
    }


@pytest.fixture
def of_filters(of_groups, of_evaluation, document, plain_images, golden, tmp_path):
    """Beside those, what `relsim train filter` and `relsim filter` print and write, with a picture that is none."""
    yes = plain_images(tmp_path / "yes", {f"y{number}.png": (200, number * 20, 0) for number in range(4)})
    no = plain_images(tmp_path / "no", {f"n{number}.png": (0, number * 20, 200) for number in range(4)})
    (tmp_path / "filtered").mkdir()
    out = ("-o", tmp_path / "filter", "--base-model", golden / "base", "--recipe", "squash56", "--batch-size", 2)
    trained = document("train", "filter", "--positive", yes, "--negative", no, *out, "--held-out", 0.5)
    (yes / "z.png").write_bytes(b"")
    asked = ("-c", tmp_path / "filter" / "last", "--out", tmp_path / "filtered" / "rows.jsonl")
    return {
        **of_groups,
        **of_evaluation,
        "relsim.filter/1": document("filter", yes, *asked, exits=3),
        "relsim.rows/1": json.loads((tmp_path / "filtered" / "rows.jsonl.head.json").read_text()),
        "relsim.train_filter/1": trained,
        "relsim.filter_report/1": trained["report"],
    }


@pytest.fixture
def of_judges(of_filters, document, chat_server, plain_images, tmp_path, monkeypatch):
    """Beside those, what a judge of two methods, its agreement with a person, and its calibration print."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    plain_images(tmp_path / "judged", {"a.png": "red", "b.png": "blue"})
    pairs = [{"a": "a.png", "b": "b.png", "method": method} for method in ("clip", "relsim")]
    (tmp_path / "judged" / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    (tmp_path / "people.csv").write_text("query_id,retrieved_id,score\na,b,7\n")
    with chat_server.ChatServer() as server:
        server.text = "8"
        words = ("--endpoint", server.url, "--model", "m", "--price-in", 1, "--price-out", 1, "--repeats", 2, "--out")
        judged = document("judge", tmp_path / "judged" / "pairs.jsonl", *words, tmp_path / "j.json")
        calibrated = document("judge", "calibrate", *words, tmp_path / "c", "--count", 1, "--size", 32)
    agreement = document("judge", "agreement", tmp_path / "j.json", tmp_path / "people.csv")
    names = ("relsim.judge/1", "relsim.judge_agreement/1", "relsim.judge_calibration/1")
    return {**of_filters, **dict(zip(names, (judged, agreement, calibrated), strict=True))}


def test_the_examples_have_the_shape_of_real_documents(
    document, table, world, trained, of_judges, golden, model_flags, tmp_path
):
    pictures = sorted((golden / "images").iterdir())
    captioner = ("-c", golden / "captioner", "--base-model", golden / "base", "--device", "cpu", "--dtype", "float32")
    real = {
        "relsim.scores/1": document("score", *pictures[:2], *model_flags),
        "relsim.embed/1": document("embed", table.parent / "images", "--out", table, "--encoder", "fake", exits=3),
        "relsim.search/1": document("search", table, "a.png"),
        "relsim.index/1": document("index", table, "--kind", "binary"),
        "relsim.captions/2": document("caption", pictures[4], *captioner, "--max-new-tokens", 2),
        "relsim.triplets/1": document("evaluate", "triplets", world, "--encoder", "fake", "--count", 4, exits=3),
        "relsim.train/1": trained,
        "relsim.crops/1": json.loads((Path(trained["out"]) / "crops" / "crops.json").read_text()),
        "relsim.export/1": document("export", trained["last"], "--out", tmp_path / "exported"),
        "relsim.calibration/1": document(
            "calibrate", tmp_path / "exported", world, "--base-model", golden / "base", exits=3
        ),
        "relsim.doctor/1": document("doctor"),
        **of_judges,
    }
    assert set(real) | HELD_ELSEWHERE == set(BY_SCHEMA)
    for name, printed in real.items():
        assert fits(shape(BY_SCHEMA[name]), shape(printed)), name
    for name in ("relsim.scores/1", "relsim.captions/2"):
        assert set(real[name]["fingerprint"]) == set(BY_SCHEMA[name]["fingerprint"])
    assert set(real["relsim.doctor/1"]["packages"]) == set(BY_SCHEMA["relsim.doctor/1"]["packages"])


def test_every_column_of_a_shard_is_described_with_its_type(shards):
    from pyarrow.parquet import read_schema

    text = section("### Columns of a part")
    described = {names[0]: row for names, row in rows(text)}
    stored = read_schema(shards / "part-00000.parquet")
    assert [(name, row[1]) for name, row in described.items()] == [(field.name, str(field.type)) for field in stored]
    never_null = [name for name, row in described.items() if "never null" in row[2]]
    assert never_null == [field.name for field in stored if not field.nullable]


def test_every_file_of_a_shard_folder_is_described(shards):
    text = section("## Shards")
    assert [path.name for path in shards.iterdir() if f"    {path.name} " not in text] == []


def test_two_axes_add_their_two_numbers(document, table):
    (hit,) = document("search", table, "a.png", "--attributes", table, "--weight", 1)["hits"]
    (example,) = BY_SCHEMA["relsim.search/1"]["hits"]
    assert set(hit) == {*example, "relational", "attribute"}


def test_every_fact_of_the_relational_fingerprint_is_described(packed):
    described = set(re.findall(r"`(\w+)`", PAGE.partition("Facts of the relational encoder")[2].partition("\n\n\n")[0]))
    assert set(packed.fingerprint.to_dict()) <= described


def test_every_status_is_described():
    described = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    assert {status.value for status in Status} - {"ok"} <= described


def test_the_digest_is_made_as_described():
    facts = FakeEncoder.fingerprint.to_dict()
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert digest == FakeEncoder.fingerprint.digest
    assert f"{json.dumps(facts)} gives {digest}" in PAGE


def test_the_example_of_relsim_json_has_what_is_written(golden, tmp_path):
    from relsim.models.checkpoint import read_checkpoint
    from relsim.models.checkpoint_writing import write_checkpoint

    write_checkpoint(tmp_path / "own", read_checkpoint(golden / "relsim"), golden / "relsim")
    written = json.loads((tmp_path / "own" / "relsim.json").read_text())
    (example,) = (example for example in EXAMPLES if "format_version" in example)
    assert list(written) == list(example)


def test_every_key_of_a_run_is_described(trained):
    """Lines of the log, the header of the state, the index of the crops."""
    text, folder = section("## Folder of a run"), Path(trained["out"])
    described = set(re.findall(r"`([\w@]+)`", text))
    log = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    assert {key for line in log for key in line} <= described
    (state,) = folder.glob("state-*.safetensors")
    with safe_open(state, "pt") as file:
        (header,) = map(json.loads, file.metadata().values())
        kinds = {name.partition(".")[0] for name in file.keys()}  # noqa: SIM118 - it is no mapping
    assert {*header, "schema"} == {names[0] for names, _ in rows(text.partition("**`state-")[2])}
    assert f"`{header['schema']}`" in text
    assert [kind for kind in kinds if f"`{kind}.<n>`" not in text] == []
    (index,) = (folder / "crops").glob("index-*.jsonl")
    (example,) = (example for example in EXAMPLES if set(example) >= {"image_id", "captions"})
    assert set(json.loads(index.read_text().splitlines()[0])) <= set(example)


def test_every_file_of_a_run_is_described(trained):
    folder, text = Path(trained["out"]), section("## Folder of a run")
    names = {re.sub(r"-\d{8}", "-00000500", path.name) for path in folder.iterdir()}
    assert [name for name in names if not re.search(rf"^    .*\b{name}\b", text, re.MULTILINE)] == []


def test_every_setting_is_described_with_its_default():
    text = section("## Configuration of a run")
    general, _, by_task = text.partition("The defaults by task")
    described = {names[0]: row[-1].strip("`") for names, row in rows(general)}
    settings = {"run": {"out": "x"}, "model": {"base": "b"}, "data": {"crops": "c"}}
    known = flat(TrainingConfig.from_dict(settings).model_dump(mode="json"))
    assert list(described) == list(known)
    stated = {name for names, row in rows(by_task) for name in names[:1]}
    assert {name for name, default in described.items() if default == "by task"} == stated
    assert {name for name, default in described.items() if default == "required"} == {"run.out", "model.base"}
    free = stated | {"run.out", "model.base", "data.crops", "model.prompt"}
    assert {name: yaml.safe_load(described[name]) for name in known if name not in free} == {
        name: value for name, value in known.items() if name not in free
    }
    assert described["data.crops"] == "null"
    for place, task in enumerate(("metric", "caption", "yes_no"), start=1):
        defaults = {names[0]: yaml.safe_load(row[place].strip("`")) for names, row in rows(by_task)}
        known = flat(TASK_DEFAULTS[task])
        assert defaults == {name: value for name, value in known.items() if name != "model.prompt"}


def flat(values, before=""):
    found = {}
    for name, value in values.items():
        found |= flat(value, f"{before}{name}.") if isinstance(value, dict) else {before + name: value}
    return found


def test_a_row_of_the_drawn_world_is_described(tmp_path):
    from relsim.world.gallery import write_gallery

    made = write_gallery(tmp_path / "world", count=1, triplets=1, size=28, workers=1)
    row = json.loads(made.manifest.read_text(encoding="utf-8").splitlines()[0])
    (example,) = (example for example in EXAMPLES if "image_hash" in example and "attributes" in example)
    assert fits(shape(example), shape(row))
    assert [name for names, _ in rows(section("## Drawn world")) for name in names] == list(row)
    (triplet,) = (example for example in EXAMPLES if "anchor" in example)
    lines = (tmp_path / "world" / "triplets.jsonl").read_text(encoding="utf-8").splitlines()
    assert [list(json.loads(line)) for line in lines] == [list(triplet)] * 3


def test_every_embedded_checkpoint_is_described():
    assert tuple(names[0] for names, _ in rows(section("### Embedded checkpoints"))) == NAMES
