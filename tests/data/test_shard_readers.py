"""Shards as other programs see them: Hugging Face `datasets`, DuckDB and pandas."""

import json
import warnings

import duckdb
import numpy as np
import pandas as pd
import pytest

from relsim.data.images import load_image
from relsim.data.records import Status
from relsim.data.shard_rows import COLUMNS
from relsim.data.sources import list_images


@pytest.fixture(scope="module")
def shards(make_shards, golden_images, tmp_path_factory):
    """The golden images, two dead rows and one that timed out, in parts of six rows."""
    images = {path.name: path.read_bytes() for path in golden_images}
    images |= {"x": Status.DEAD, "y": Status.TIMEOUT, "z": Status.DEAD}
    return make_shards(tmp_path_factory.mktemp("readers") / "shards", images, part_rows=6)


@pytest.fixture(scope="module")
def dataset(shards, tmp_path_factory):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own imports
        import datasets

    datasets.disable_progress_bars()
    cache = tmp_path_factory.mktemp("cache")
    return datasets.load_dataset("parquet", data_files=f"{shards}/part-*.parquet", split="train", cache_dir=str(cache))


def test_datasets_knows_the_columns_and_that_one_is_an_image(dataset):
    import datasets

    assert tuple(dataset.features) == COLUMNS
    assert isinstance(dataset.features["image"], datasets.Image)


def test_datasets_decodes_the_same_pictures(dataset, shards):
    """What it opens, converted to RGB, is what relsim decodes; for rows without an image there is none."""
    for record, row in zip(list_images([shards]), dataset, strict=True):
        assert row["image_hash"] == record.image_id
        if row["status"] == "ok":
            ours = load_image(record).image
            assert np.array_equal(np.asarray(row["image"].convert("RGB")), np.asarray(ours)), record.image_id
            assert (row["width"], row["height"]) == ours.size
        else:
            assert row["image"] is None


def test_datasets_has_the_bytes_as_they_are(dataset, golden_images):
    import datasets

    raw = dataset.cast_column("image", datasets.Image(decode=False))["image"][:17]
    assert [image["bytes"] for image in raw] == [path.read_bytes() for path in golden_images]
    assert raw[0]["path"] == f"{golden_images[0].name}.png"


def test_duckdb_counts_by_status(shards):
    found = duckdb.sql(f"SELECT status, count(*) FROM '{shards}/part-*.parquet' GROUP BY status").fetchall()  # noqa: S608
    assert dict(found) == json.loads((shards / "shards.json").read_text())["statuses"] == {
        "ok": 17, "dead": 2, "timeout": 1,
    }  # fmt: skip


def test_duckdb_finds_the_bytes_of_an_id(shards, golden_images):
    path = golden_images[3]
    query = f"SELECT image.bytes, sha256 = sha256(image.bytes) FROM '{shards}/part-*.parquet' WHERE image_hash = ?"  # noqa: S608
    assert duckdb.execute(query, [path.name]).fetchall() == [(path.read_bytes(), True)]


def test_pandas_reads_a_part(shards, golden_images):
    frame = pd.concat(pd.read_parquet(path) for path in sorted(shards.glob("part-*.parquet")))
    assert tuple(frame.columns) == COLUMNS
    assert frame["status"].value_counts().to_dict() == {"ok": 17, "dead": 2, "timeout": 1}
    assert frame["image"].iloc[2]["bytes"] == golden_images[2].read_bytes()
    assert frame["row"].tolist() == list(range(20))
