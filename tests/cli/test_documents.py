"""docs/formats.md against the code: every document, fact and status that exists is described there."""

import hashlib
import json
import re
from pathlib import Path

import pytest

import relsim
from relsim.data.records import Status
from relsim.encoders.fake import FakeEncoder

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
EXAMPLES = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
BY_SCHEMA = {example["schema"]: example for example in EXAMPLES if "schema" in example}
OPEN = {"failed", "fields", "fingerprint", "packages"}  # objects whose keys are data


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


def test_the_examples_have_the_shape_of_real_documents(document, table, golden_paths, model_flags):
    real = {
        "relsim.scores/1": document("score", *golden_paths[:2], *model_flags),
        "relsim.embed/1": document("embed", table.parent / "images", "--out", table, "--encoder", "fake", exits=3),
        "relsim.search/1": document("search", table, "a.png"),
        "relsim.doctor/1": document("doctor"),
    }
    assert set(real) == set(BY_SCHEMA)
    for name, example in BY_SCHEMA.items():
        assert fits(shape(example), shape(real[name])), name
    assert set(real["relsim.scores/1"]["fingerprint"]) == set(BY_SCHEMA["relsim.scores/1"]["fingerprint"])
    assert set(real["relsim.doctor/1"]["packages"]) == set(BY_SCHEMA["relsim.doctor/1"]["packages"])


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
    from relsim.models.checkpoint import read_checkpoint, write_checkpoint

    write_checkpoint(tmp_path / "own", read_checkpoint(golden / "relsim"), golden / "relsim")
    written = json.loads((tmp_path / "own" / "relsim.json").read_text())
    (example,) = (example for example in EXAMPLES if "format_version" in example)
    assert list(written) == list(example)
