"""Pairs of a generator: how they are listed, what they score, and which outputs are copies."""

import json
import math
import shutil
import statistics

import numpy as np
import pytest
from PIL import Image

from relsim.data.images import read_image
from relsim.encoders.descriptors import DescriptorEncoder
from relsim.encoders.fake import FakeEncoder
from relsim.encoders.stream import encode_images
from relsim.errors import SourceError
from relsim.evaluation.exclusions import picture_hashes
from relsim.evaluation.generator_pairs import Spread, pictures_of, read_pairs, score_pairs


def encoders():
    yield "fake", FakeEncoder()
    yield "looks", DescriptorEncoder(side=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, blocks):
    """Six inputs; one method draws others, one copies two of them: byte for byte, and as a paler picture."""
    place = tmp_path_factory.mktemp("pairs")
    for name in ("input", "copier", "artist"):
        (place / name / "deep").mkdir(parents=True)
    for number in range(6):
        below = f"deep/{number}" if number == 5 else f"{number}"
        blocks(number).save(place / "input" / f"{below}.png")
        blocks(number + 100).save(place / "artist" / f"{below}.jpg", quality=95)
        blocks(number + 200).save(place / "copier" / f"{below}.png")
    shutil.copy(place / "input" / "1.png", place / "copier" / "1.png")
    Image.open(place / "input" / "2.png").point(lambda value: value * 0.9).save(place / "copier" / "2.png")
    (place / "copier" / "4.png").unlink()
    return place


@pytest.fixture(scope="module")
def scored(folder):
    pairs = read_pairs(folder)
    return score_pairs(pairs, encoders(), hashes=picture_hashes(pictures_of(pairs)))


def test_a_folder_pairs_equal_names_by_method(folder):
    pairs = read_pairs(folder)
    assert [(pair.method, pair.name) for pair in pairs] == [
        *(("artist", name) for name in ("0", "1", "2", "3", "4", "deep/5")),
        *(("copier", name) for name in ("0", "1", "2", "3", "deep/5")),
    ]
    assert (pairs[5].input, pairs[5].output) == (
        str(folder / "input" / "deep" / "5.png"),
        str(folder / "artist" / "deep" / "5.jpg"),
    )


def test_means_and_deviations_are_those_of_the_pairs(scored):
    for name, encoder in encoders():
        for method in ("artist", "copier"):
            values = []
            for pair in scored.pairs:
                if pair.method == method:
                    pictures = [Image.open(path).convert("RGB") for path in (pair.input, pair.output)]
                    first, second = encode_images(encoder, pictures).astype(np.float64)
                    values.append(float(first @ second))
            told = scored.spread(name, method)
            assert told.count == len(values)
            assert told.mean == pytest.approx(statistics.mean(values), abs=1e-6)
            assert told.deviation == pytest.approx(statistics.stdev(values), abs=1e-6)


def test_copies_are_told_and_can_be_left_out(scored):
    assert [(copy.pair.method, copy.pair.name, copy.reason) for copy in scored.copies] == [
        ("copier", "1", "exact"),
        ("copier", "2", "near"),
    ]
    assert scored.scores["fake"][scored.pairs.index(scored.copies[0].pair)] == pytest.approx(1)
    all_of, others = scored.spread("looks", "copier"), scored.spread("looks", "copier", copies=False)
    assert (all_of.count, others.count) == (5, 3)
    assert others.mean < all_of.mean
    assert scored.spread("looks", "artist") == scored.spread("looks", "artist", copies=False)


def test_the_deviation_is_the_samples():
    assert Spread.of([1.0, 2.0, 4.0]) == Spread(7 / 3, pytest.approx(math.sqrt(7 / 3)), 3)
    assert Spread.of([0.5]) == Spread(0.5, None, 1)


def test_lists_say_the_same_as_each_other(folder):
    rows = [
        {"input": "input/0.png", "output": "artist/0.jpg", "method": "artist"},
        {"input": "input/0.png", "output": str(folder / "copier" / "0.png"), "method": "a, b"},
    ]
    (folder / "list.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    lines = [f'{row["input"]},{row["output"]},"{row["method"]}",more' for row in rows]
    (folder / "list.csv").write_text(
        "\ufeffinput,output,method,note\r\n" + "\r\n".join(lines) + "\r\n", encoding="utf-8"
    )
    found = [[(p.method, p.input, p.output) for p in read_pairs(folder / name)] for name in ("list.jsonl", "list.csv")]
    assert (
        found[0]
        == found[1]
        == [
            ("artist", str(folder / "input" / "0.png"), str(folder / "artist" / "0.jpg")),
            ("a, b", str(folder / "input" / "0.png"), str(folder / "copier" / "0.png")),
        ]
    )


def test_a_list_without_methods_has_one(folder):
    (folder / "bare.jsonl").write_text('{"input": "input/0.png", "output": "artist/0.jpg"}\n')
    assert [pair.method for pair in read_pairs(folder / "bare.jsonl")] == ["output"]


def test_a_pair_with_a_bad_picture_is_left_out_everywhere(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "pairs")
    (tmp_path / "pairs" / "input" / "3.png").write_bytes(b"")
    found = score_pairs(read_pairs(tmp_path / "pairs"), encoders())
    assert [(pair.method, pair.name) for pair in found.left_out] == [("artist", "3"), ("copier", "3")]
    assert [(failure.status.value, failure.record.source[-11:]) for failure in found.failures] == [
        ("empty", "input/3.png")
    ]
    assert {len(scores) for scores in found.scores.values()} == {len(found.pairs)} == {9}
    read_image(pictures_of(found.pairs)[0])
    for path in (tmp_path / "pairs" / "input").rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(SourceError, match=r"none of the 11 pairs .* the file is empty"):
        score_pairs(read_pairs(tmp_path / "pairs"), encoders())


@pytest.mark.parametrize(
    ("files", "named", "told"),
    [
        ({"a/1.png": b"x"}, ".", "must hold the subfolder input and another for each method; it holds a"),
        ({"input/1.png": b"x"}, ".", "it holds input"),
        ({"input/1.png": b"x", "m/2.png": b"x"}, ".", "has the name of one of input"),
        ({"input/1.png": b"x", "input/1.jpg": b"x", "m/1.png": b"x"}, ".", "two pictures are called 1"),
        ({"l.jsonl": b'{"input": "a"}\n'}, "l.jsonl", "line 1: input and output must be there"),
        ({"l.jsonl": b'["a", "b"]\n'}, "l.jsonl", "line 1: input and output must be there"),
        ({"l.jsonl": b"{\n"}, "l.jsonl", "line 1: not JSON"),
        ({"l.jsonl": b"\n"}, "l.jsonl", "has no pairs"),
        ({"l.jsonl": b'{"input": "a", "output": "b", "method": 3}'}, "l.jsonl", "method must be a text"),
        ({"l.csv": b"input,method\na,b\n"}, "l.csv", "has no column output"),
        ({"l.csv": b"input,output\na,\n"}, "l.csv", "line 2: input and output"),
        ({"l.csv": b"input,output\n\xff,b\n"}, "l.csv", "not utf-8"),
        ({"l.txt": b""}, "l.txt", "no list of pairs"),
        ({}, "gone.csv", "cannot be read: no such file"),
    ],
)
def test_what_is_no_list_of_pairs_is_refused(files, named, told, tmp_path):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=told):
        read_pairs(tmp_path / named)
