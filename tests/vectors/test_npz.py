import os
import pickle
import zipfile

import numpy as np
import pytest

from relsim.data.records import ImageRecord
from relsim.errors import FingerprintMismatchError, TableError
from relsim.fingerprint import Fingerprint
from relsim.vectors import VectorTable, import_npz, read_npz, write_npz


def test_a_table_survives_the_round_trip(tmp_path, facts, unit):
    records = [
        ImageRecord("a", "/a.png", {"caption": "Growth of {Subject}", "url_link": "https://x/a?b=1&amp;c"}),
        ImageRecord("b", "/b.png", {"caption": '"quoted"'}),
        ImageRecord("ключ", "/c.png"),
    ]
    with VectorTable.create(tmp_path / "t", facts, 4) as table:
        table.append("0", records[:1], unit(3, 4)[:1])
        table.append("1", records[1:], unit(3, 4)[1:])
    write_npz(tmp_path / "t.npz", table, model_type="relsim")
    content = read_npz(tmp_path / "t.npz")
    assert content.image_ids == ("a", "b", "ключ")
    assert content.captions == ("Growth of {Subject}", '"quoted"', "")
    assert content.url_links == ("https://x/a?b=1&amp;c", "", "")
    assert (content.model_type, content.fingerprint) == ("relsim", facts)
    assert np.array_equal(content.vectors, unit(3, 4))
    back = import_npz(tmp_path / "t.npz", tmp_path / "back", fingerprint=facts)
    assert [(row.image_id, row.fields) for row in back.rows()] == [(r.image_id, r.fields) for r in records]
    assert np.array_equal(VectorTable.open(tmp_path / "back", facts).vectors, unit(3, 4))


def test_numpy_reads_what_we_write(new_table, unit, tmp_path):
    write_npz(tmp_path / "t.npz", new_table(["a", "b"], unit(2, 4)))
    with np.load(tmp_path / "t.npz", allow_pickle=False) as archive:
        assert sorted(archive) == ["captions", "embeddings", "fingerprint", "image_ids"]
        assert archive["embeddings"].dtype == np.float32
        assert archive["image_ids"].tolist() == ["a", "b"]
        assert archive["captions"].tolist() == ["", ""]


def test_an_empty_table_can_be_written(tmp_path, facts):
    write_npz(tmp_path / "t.npz", VectorTable.create(tmp_path / "t", facts, 3))
    content = read_npz(tmp_path / "t.npz")
    assert (content.image_ids, content.vectors.shape) == ((), (0, 3))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_text_in_object_arrays_is_read_without_unpickling(tmp_path, unit, monkeypatch, protocol):
    real = pickle.dump
    monkeypatch.setattr(pickle, "dump", lambda value, file, **_: real(value, file, protocol=protocol))
    np.savez(
        tmp_path / "published.npz",
        embeddings=unit(3, 4),
        image_ids=np.array(["a", "b", "c"], object),
        captions=np.array(["Growth of {Subject}", None, "ключ" * 100], object),
        url_links=np.array(["https://x"] * 3, object),
        model_type="clip",
    )
    monkeypatch.undo()
    content = read_npz(tmp_path / "published.npz")
    assert content.image_ids == ("a", "b", "c")
    assert content.captions == ("Growth of {Subject}", "", "ключ" * 100)
    assert content.url_links == ("https://x",) * 3
    assert (content.model_type, content.fingerprint) == ("clip", None)


def test_the_pickles_of_older_numpy_are_read(tmp_path, unit, monkeypatch):
    """numpy 1 named the module `numpy.core` and wrote protocol 3; numpy 2 names it `numpy._core`."""
    real = pickle.dump
    monkeypatch.setattr(pickle, "dump", lambda value, file, **_: real(value, file, protocol=3))
    np.savez(tmp_path / "new.npz", embeddings=unit(1, 4), image_ids=["a"], captions=np.array(["caption"], object))
    monkeypatch.undo()
    with zipfile.ZipFile(tmp_path / "new.npz") as new, zipfile.ZipFile(tmp_path / "old.npz", "w") as old:
        for name in new.namelist():
            old.writestr(name, new.read(name).replace(b"cnumpy._core.multiarray", b"cnumpy.core.multiarray"))
    assert b"cnumpy.core.multiarray" in (tmp_path / "old.npz").read_bytes()
    assert read_npz(tmp_path / "old.npz").captions == ("caption",)


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_hostile_pickle_does_nothing(tmp_path, unit):
    target = tmp_path / "made"
    np.savez(
        tmp_path / "bad.npz", embeddings=unit(1, 4), image_ids=["a"], captions=np.array([Hostile(str(target))], object)
    )
    with pytest.raises(TableError, match=r"captions is not stored as plain text .*mkdir is not text.*Rewrite it"):
        read_npz(tmp_path / "bad.npz")
    assert not target.exists()
    with np.load(tmp_path / "bad.npz", allow_pickle=True) as archive:
        _ = archive["captions"]
    assert target.exists(), "the pickle would have made a folder"


@pytest.mark.parametrize("value", [7, 1.5, ["x"], b"bytes", {"a": 1}, np.float32(1), np.str_("x")], ids=repr)
def test_objects_other_than_text_are_refused(tmp_path, unit, value):
    captions = np.empty(1, object)
    captions[0] = value
    np.savez(tmp_path / "bad.npz", embeddings=unit(1, 4), image_ids=["a"], captions=captions)
    with pytest.raises(TableError, match="captions is not stored as plain text"):
        read_npz(tmp_path / "bad.npz")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"image_ids": ["a"]}, "no array 'embeddings"),
        ({"embeddings": np.eye(2, dtype=np.float32)}, "no array 'image_ids"),
        ({"embeddings": np.eye(2, dtype=np.float32), "image_ids": ["a"]}, "image_ids has 1 entries for 2 vectors"),
        ({"embeddings": np.eye(2), "image_ids": ["a", "b"], "captions": [1.5, 2.5]}, "captions has type float64"),
        ({"embeddings": np.ones(2, np.float32), "image_ids": ["a", "b"]}, r"shape \(2,\)"),
        ({"embeddings": np.eye(2, dtype=int), "image_ids": ["a", "b"]}, "type int64"),
        ({"embeddings": np.eye(1), "image_ids": ["a"], "fingerprint": "[1"}, "cannot be read as vectors"),
        ({"embeddings": np.eye(1), "image_ids": ["a"], "fingerprint": "[1]"}, "cannot be read as vectors"),
    ],
)
def test_an_incomplete_file_is_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(TableError, match=message):
        read_npz(tmp_path / "bad.npz")


def test_a_damaged_file_is_refused(tmp_path, new_table, unit):
    write_npz(tmp_path / "t.npz", new_table(["a", "b"], unit(2, 4)))
    data = (tmp_path / "t.npz").read_bytes()
    for damaged in (b"", b"text", data[:-30], data[:200], data[:300] + b"\xff" + data[301:]):
        (tmp_path / "bad.npz").write_bytes(damaged)
        with pytest.raises(TableError, match=r"bad.npz"):
            read_npz(tmp_path / "bad.npz")
    with pytest.raises(TableError, match="No such file"):
        read_npz(tmp_path / "none.npz")


def test_numbers_as_ids_become_text(tmp_path, unit):
    np.savez(tmp_path / "t.npz", embeddings=unit(2, 4), image_ids=np.array([7, 8]), captions=["x", "y"])
    assert read_npz(tmp_path / "t.npz").image_ids == ("7", "8")


def test_a_file_without_fingerprint_is_marked_unknown_or_stated(tmp_path, unit, facts):
    np.savez(tmp_path / "published.npz", embeddings=unit(2, 4), image_ids=["a", "b"], captions=["x", "y"])
    unknown = import_npz(tmp_path / "published.npz", tmp_path / "unknown")
    assert unknown.fingerprint == Fingerprint.of({"encoder": "unknown", "source": "published.npz"})
    assert import_npz(tmp_path / "published.npz", tmp_path / "stated", fingerprint=facts).fingerprint == facts


def test_a_file_with_another_fingerprint_is_refused(tmp_path, new_table, unit):
    write_npz(tmp_path / "t.npz", new_table(["a"], unit(1, 4)))
    with pytest.raises(FingerprintMismatchError, match="encoder: 'relational' there, 'clip' here"):
        import_npz(tmp_path / "t.npz", tmp_path / "back", fingerprint=Fingerprint.of({"encoder": "clip"}))
    assert not (tmp_path / "back").exists()


def test_vectors_of_other_lengths_are_normalised_on_request(tmp_path, unit):
    np.savez(tmp_path / "t.npz", embeddings=5 * unit(2, 4), image_ids=["a", "b"], captions=["x", "y"])
    with pytest.raises(TableError, match="not of unit length"):
        import_npz(tmp_path / "t.npz", tmp_path / "t")
    table = import_npz(tmp_path / "t.npz", tmp_path / "t", normalise=True)
    assert np.allclose(table.vectors, unit(2, 4), atol=1e-7)
