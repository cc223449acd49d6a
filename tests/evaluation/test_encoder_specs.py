"""Encoders as a person names them."""

import pytest

from relsim.errors import EncoderError
from relsim.evaluation.encoder_specs import EncoderSpec


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("descriptors", "descriptors", {}),
        ("descriptors:side=128,grid=8", "descriptors", {"side": 128, "grid": 8}),
        ("mine:Encoder", "mine:Encoder", {}),
        ("mine:Encoder:rate=0.5,fast=true", "mine:Encoder", {"rate": 0.5, "fast": True}),
        ("relational:checkpoint_dir=C:/a,b/c=d,recipe=crop448", "relational", {"checkpoint_dir": "C:/a,b/c=d"}),
        ('x:revision="1234",words=a,b', "x", {"revision": "1234", "words": "a,b"}),
        ("x:empty=,n=-1e3", "x", {"empty": "", "n": -1000.0}),
    ],
)
def test_names_and_options(text, name, options):
    spec = EncoderSpec.parse(text)
    assert (spec.label, spec.name) == (text, name)
    assert {key: spec.options[key] for key in options} == options
    assert {key: type(spec.options[key]) for key in options} == {key: type(value) for key, value in options.items()}


@pytest.mark.parametrize(
    ("text", "label", "name", "options"),
    [
        ("mine=descriptors", "mine", "descriptors", {}),
        ("by logic = x:words=a=b,side=3", "by logic", "x", {"words": "a=b", "side": 3}),
        ("small=mine:Encoder:side=64", "small", "mine:Encoder", {"side": 64}),
    ],
)
def test_an_encoder_may_have_a_label_of_its_own(text, label, name, options):
    spec = EncoderSpec.parse(text)
    assert (spec.label, spec.name, spec.options) == (label, name, options)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "names no encoder"),
        ("side=3", "names no encoder"),
        ("=x", "names no encoder"),
        ("a=b=c", "names no encoder"),
        ("x:a=1,a=2", "gives a twice"),
        ('x:a="\\"', "no text"),
    ],
)
def test_what_is_no_spec_is_refused(text, told):
    with pytest.raises(EncoderError, match=told):
        EncoderSpec.parse(text)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"checkpoint_dir": "/a b/c=d", "dtype": "float32"},
        {"revision": "1234", "fast": True, "side": 128, "rate": 0.5, "empty": "", "word": "true"},
        {"quoted": '"x"', "odd": '"'},
    ],
)
def test_what_a_table_records_is_a_spec(options):
    spec = EncoderSpec.of({"encoder": "mine", **options})
    again = EncoderSpec.parse(spec.label)
    assert (again.name, again.options) == ("mine", options)
    assert {key: type(again.options[key]) for key in options} == {key: type(value) for key, value in options.items()}


def test_a_text_that_begins_an_option_of_its_own_is_refused():
    with pytest.raises(EncoderError, match="cannot be written in one line"):
        EncoderSpec.of({"encoder": "mine", "folder": "/a,b=c"})


def test_a_table_of_old_is_of_the_default_encoder():
    assert EncoderSpec.of({}).label == "relational"
