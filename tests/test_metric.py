"""The public face: the published call, its arguments, and what was added to it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from relsim.encoders.base import Encoder
from relsim.errors import CalibrationError, CheckpointError, DeviceError, ImageError
from relsim.metric import RelationalSimilarity, relsim
from relsim.models.checkpoint import read_checkpoint
from relsim.models.checkpoint_writing import write_checkpoint
from relsim.models.text_encoder import bundled_model

needs_minilm = pytest.mark.skipif(bundled_model() is None, reason="the offline copy of MiniLM is not installed")
CAPTIONS = ["Growth of {Subject} in stages.", "{Objects} in a ring.", "{Objects} in a row."]


@pytest.fixture(scope="module")
def named_base(golden, tmp_path_factory):
    """The golden checkpoint with an adapter that names the golden base, so that the published call needs no more."""
    checkpoint = read_checkpoint(golden / "relsim")
    config = {**checkpoint.adapter_config, "base_model_name_or_path": str(golden / "base")}
    folder = tmp_path_factory.mktemp("checkpoint") / "relsim"
    write_checkpoint(folder, replace(checkpoint, adapter_config=config), golden / "relsim")
    return folder


def test_both_published_import_paths_give_one_function():
    from relsim import preprocess_image
    from relsim import relsim as from_package
    from relsim.relsim_score import preprocess_image as from_module_preprocess
    from relsim.relsim_score import relsim as from_module

    assert from_package is from_module is relsim
    assert preprocess_image is from_module_preprocess


def test_published_call_by_position(named_base, golden_pictures, expected):
    """`relsim(pretrained, checkpoint_dir, cache_dir)`, then score, as the published README does."""
    model, preprocess = relsim(True, str(named_base), None)
    a, b = golden_pictures[:2]
    score = model(preprocess(a), preprocess(b))
    assert type(score) is float
    tolerance = 1e-4 if model.vlm.dtype is torch.float32 else 1e-2
    assert score == pytest.approx(expected["scores_first4"][0][1], abs=tolerance)


def test_published_call_by_name(named_base, golden_pictures, tmp_path):
    model, preprocess = relsim(pretrained=True, checkpoint_dir=named_base, cache_dir=str(tmp_path))
    assert model.embed(preprocess(golden_pictures[1])).shape == (1, 384)


def test_pictures_of_any_mode_go_through_preprocess(named_base, golden_paths, golden_embeddings):
    """Grey, RGBA, palette and CMYK files, opened by the caller."""
    model, preprocess = relsim(checkpoint_dir=named_base, device="cpu", dtype="float32")
    pictures = [Image.open(path) for path in golden_paths]
    assert len({picture.mode for picture in pictures}) == 5
    np.testing.assert_allclose(model.embed(preprocess(pictures)), golden_embeddings, atol=1e-4)


def test_eval_returns_the_model(metric):
    assert metric.eval() is metric


def test_embedding_is_float32_of_unit_length(metric, golden_pictures):
    found = metric.embed(golden_pictures[1])
    assert found.dtype == torch.float32
    assert found.shape == (1, 384)
    assert found.norm().item() == pytest.approx(1, abs=1e-6)
    assert not found.requires_grad


@pytest.mark.parametrize("kind", [list, tuple])
def test_several_pictures_give_as_many_rows(metric, golden_pictures, kind):
    pictures = golden_pictures[1:5]
    found = metric.embed(kind(pictures))
    assert found.shape == (4, 384)
    single = torch.cat([metric.embed(picture) for picture in pictures])
    assert (found - single).abs().max() <= 1e-5


def test_no_picture_gives_no_row(metric):
    assert metric.embed([]).shape == (0, 384)


def test_embeddings_can_be_used_in_a_gradient(metric, golden_pictures):
    """They are plain tensors: a user may train a head on them."""
    head = torch.nn.Linear(384, 2)
    head(metric.embed(golden_pictures[1])).sum().backward()
    assert head.weight.grad is not None


def test_model_takes_pictures_that_were_not_preprocessed(metric, golden_paths):
    """Twice to RGB is once to RGB."""
    with Image.open(golden_paths[13]) as picture:
        assert picture.mode == "RGBA"
        assert torch.equal(metric.embed(picture), metric.embed(picture.convert("RGB")))


NO_PICTURES = ["a.png", b"bytes", 3, None, np.zeros((4, 4, 3), np.uint8)]


@pytest.mark.parametrize("wrong", NO_PICTURES, ids=lambda value: type(value).__name__)
def test_no_picture_is_a_type_error(metric, wrong):
    from relsim import preprocess_image

    picture = Image.new("RGB", (30, 30))
    for attempt in (
        lambda: preprocess_image(wrong),
        lambda: preprocess_image([picture, wrong]),
        lambda: preprocess_image((wrong,)),
        lambda: metric.embed(wrong),
        lambda: metric.embed([picture, wrong]),
        lambda: metric(picture, wrong),
    ):
        with pytest.raises(TypeError):
            attempt()


@pytest.mark.parametrize("longest", [40, 100, 448, 5_000])
def test_max_image_size_is_the_embedding_of_the_thumbnail(metric, golden_pictures, longest):
    pictures = [golden_pictures[index] for index in (0, 4, 7, 9)]
    small = [picture.copy() for picture in pictures]
    for picture in small:
        picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    assert (metric.embed(pictures, max_image_size=longest) - metric.embed(small)).abs().max() <= 1e-5


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_micro_batch_size_changes_nothing(metric, golden_pictures, size):
    pictures = golden_pictures[1:6]
    found = metric.embed(pictures, None, size)
    assert (found - metric.embed(pictures)).abs().max() <= 1e-5


@pytest.mark.parametrize("option", ["micro_batch_size", "max_image_size"])
@pytest.mark.parametrize("value", [-1, -448])
def test_negative_sizes_are_refused(metric, golden_pictures, option, value):
    with pytest.raises(ValueError, match=option):
        metric.embed(golden_pictures[1:3], **{option: value})


def test_bad_shape_is_an_image_error(metric):
    with pytest.raises(ImageError, match="200:1") as caught:
        metric.embed(Image.new("RGB", (1, 300)))
    assert caught.value.status == "bad_shape"


def test_similarity_of_a_collection_with_itself(metric, golden_pictures, expected):
    found = metric.similarity(golden_pictures[:4])
    np.testing.assert_allclose(found, expected["scores_first4"], atol=1e-4)


def test_similarity_takes_embeddings_in_place_of_pictures(metric, golden_pictures):
    rows = metric.embed(golden_pictures[:4])
    found = metric.similarity(rows, golden_pictures[1])
    torch.testing.assert_close(found, rows @ rows[1:2].T, rtol=0, atol=1e-5)


def test_similarity_takes_arrays_in_place_of_pictures(metric, golden_pictures, golden_paths):
    """What `embed_files` and a table give."""
    rows = metric.embed_files(golden_paths[1:3])
    torch.testing.assert_close(metric.similarity(rows), torch.from_numpy(rows @ rows.T), rtol=0, atol=1e-6)


@needs_minilm
def test_captions_are_embedded_in_the_same_space(metric):
    found = metric.embed_text(CAPTIONS)
    assert found.shape == (3, 384)
    assert torch.equal(metric.embed_text(CAPTIONS[1])[0], metric.embed_text([CAPTIONS[1]])[0])
    torch.testing.assert_close(found.norm(dim=1), torch.ones(3))


@needs_minilm
def test_similarity_of_pictures_with_captions(metric, golden_pictures):
    pictures = golden_pictures[1:3]
    wanted = metric.embed(pictures) @ metric.embed_text(CAPTIONS).T
    torch.testing.assert_close(metric.similarity(pictures, CAPTIONS), wanted, rtol=0, atol=1e-5)
    torch.testing.assert_close(metric.similarity(CAPTIONS[0], pictures), wanted[:, :1].T, rtol=0, atol=1e-5)


NOTHING = [([], None, (0, 0)), ([], "pictures", (0, 2)), ("pictures", [], (2, 0))]


@pytest.mark.parametrize(("xs", "ys", "shape"), NOTHING)
def test_similarity_with_nothing(metric, golden_pictures, xs, ys, shape):
    sides = [golden_pictures[1:3] if side == "pictures" else side for side in (xs, ys)]
    assert metric.similarity(*sides).shape == shape


NULL = {"scores": [-0.2, 0.0, 0.1, 0.5], "percentiles": [0.0, 40.0, 90.0, 100.0]}


@pytest.fixture
def calibrated(packed):
    """The golden network with a null distribution written by hand."""
    import copy

    vlm = copy.copy(packed)
    vlm.checkpoint = replace(packed.checkpoint, null_distribution=NULL)
    return RelationalSimilarity(vlm)


@pytest.mark.parametrize(
    ("score", "percentile"),
    [(-0.9, 0), (-0.2, 0), (-0.1, 20), (0.0, 40), (0.05, 65), (0.1, 90), (0.3, 95), (0.5, 100), (0.99, 100)],
)
def test_percentile_is_read_off_the_null_distribution(calibrated, score, percentile):
    """Linear between the points that are given, flat beyond them."""
    assert calibrated.percentile(score) == pytest.approx(percentile)


def test_percentile_without_a_null_distribution(metric):
    with pytest.raises(CalibrationError, match="null distribution"):
        metric.percentile(0.5)


def test_null_distribution_comes_from_the_folder(golden, tmp_path):
    checkpoint = replace(read_checkpoint(golden / "relsim"), null_distribution=NULL)
    write_checkpoint(tmp_path / "new", checkpoint, golden / "relsim")
    model, _ = relsim(checkpoint_dir=tmp_path / "new", base_model=golden / "base", device="cpu")
    assert model.percentile(0.05) == pytest.approx(65)


def test_files_give_the_rows_of_their_pictures(metric, golden_paths, golden_pictures):
    """In the order given; the golden files are upright."""
    rows = [3, 0, 16, 13, 0]
    found = metric.embed_files([golden_paths[row] for row in rows])
    assert found.dtype == np.float32
    wanted = metric.embed([golden_pictures[row] for row in rows])
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("options", [{"workers": 1}, {"workers": 3, "budget": 1}, {"budget": 10**6}], ids=str)
def test_workers_and_budget_change_nothing(metric, golden_paths, options):
    np.testing.assert_allclose(
        metric.embed_files(golden_paths[1:6], **options), metric.embed_files(golden_paths[1:6]), atol=1e-5
    )


def test_no_files_give_no_rows(metric):
    assert metric.embed_files([]).shape == (0, 384)


def test_rotated_file_is_turned_upright(metric, golden_pictures, tmp_path):
    """EXIF orientation 6: shown after a quarter turn clockwise."""
    picture = golden_pictures[0]
    exif = Image.Exif()
    exif[274] = 6
    picture.save(tmp_path / "turned.png", exif=exif)
    upright = picture.transpose(Image.Transpose.ROTATE_270)
    found = metric.embed_files([tmp_path / "turned.png"])
    np.testing.assert_allclose(found, metric.embed(upright), atol=1e-5)
    assert np.abs(found - metric.embed(picture).numpy()).max() > 1e-3


@pytest.mark.parametrize(
    ("name", "data", "status"),
    [("gone.png", None, "missing"), ("text.png", b"hello", "not_image"), ("empty.png", b"", "empty")],
)
def test_bad_file_is_named(metric, golden_paths, tmp_path, name, data, status):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ImageError, match=name) as caught:
        metric.embed_files([golden_paths[1], tmp_path / name, golden_paths[9]])
    assert caught.value.status == status


def test_file_of_a_bad_shape_is_named(metric, tmp_path):
    Image.new("RGB", (1, 300)).save(tmp_path / "thin.png")
    with pytest.raises(ImageError, match=r"thin\.png.*200:1") as caught:
        metric.embed_files([tmp_path / "thin.png"])
    assert caught.value.status == "bad_shape"


def test_model_as_an_encoder(metric, golden_pictures):
    encoder = metric.encoder
    assert isinstance(encoder, Encoder)
    assert encoder.fingerprint == metric.fingerprint
    assert (encoder.name, encoder.dimension) == ("relational", 384)
    prepared = encoder.prepare(golden_pictures[2])
    assert encoder.cost(prepared) == len(metric.vlm.prompt.prefix) + 16 * 16 + len(metric.vlm.prompt.suffix)
    np.testing.assert_allclose(encoder.encode([prepared]), metric.embed(golden_pictures[2]), atol=1e-5)


def test_fingerprint_tells_what_an_embedding_depends_on(metric):
    facts = metric.fingerprint.to_dict()
    assert facts["encoder"] == "relational"
    assert facts["recipe"] == "native"
    assert facts["precision"] == "float32"
    assert facts["dimension"] == 384
    assert facts["prompt"].endswith("<|vision_end|><|query|>")


@pytest.mark.parametrize("recipe", ["native", "crop448", "squash448"])
def test_recipe_by_name(named_base, golden_pictures, recipe):
    """Through the call, it is what happens to the picture before the processor sees it."""
    model, preprocess = relsim(checkpoint_dir=named_base, recipe=recipe, device="cpu", dtype="float32")
    native, _ = relsim(checkpoint_dir=named_base, device="cpu", dtype="float32")
    picture = golden_pictures[3]
    by_hand = {
        "native": picture,
        "crop448": picture.crop((83, 0, 416, 333)).resize((448, 448), Image.Resampling.LANCZOS),
        "squash448": picture.resize((448, 448), Image.Resampling.LANCZOS),
    }[recipe]
    assert (model.embed(preprocess(picture)) - native.embed(by_hand)).abs().max() <= 1e-5


def test_engine_by_name(named_base, golden_pictures, metric):
    model, _ = relsim(checkpoint_dir=named_base, engine="plain", device="cpu", dtype="float32")
    assert (model.embed(golden_pictures[1]) - metric.embed(golden_pictures[1])).abs().max() <= 1e-5


def test_unpretrained_is_a_value_error():
    with pytest.raises(ValueError, match="pretrained=True"):
        relsim(pretrained=False)


def test_without_a_name_it_is_the_embedded_checkpoint():
    unnamed, _ = relsim(device="cpu", dtype="float32")
    named, _ = relsim(checkpoint_dir="relsim-mini", device="cpu", dtype="float32")
    assert unnamed.fingerprint == named.fingerprint


def test_the_embedded_checkpoint_takes_no_base_model(golden):
    with pytest.raises(CheckpointError, match="a whole model of its own"):
        relsim(base_model=golden / "base", device="cpu")


@pytest.mark.parametrize("name", ["/nowhere/at/all", "nowhere", "a/b/c"])
def test_checkpoint_that_does_not_exist(name):
    with pytest.raises(CheckpointError, match="no folder"):
        relsim(checkpoint_dir=name)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"device": "gpu"}, "no device"),
        ({"device": "meta"}, "cpu or cuda"),
        ({"device": "cpu", "dtype": "float64"}, "unknown precision"),
        ({"device": "cpu", "dtype": "float16"}, "float16 is for CUDA"),
    ],
    ids=str,
)
def test_device_and_precision_errors(named_base, options, match):
    with pytest.raises(DeviceError, match=match):
        relsim(checkpoint_dir=named_base, **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_absent_cuda_is_a_device_error(named_base):
    with pytest.raises(DeviceError, match="no CUDA device"):
        relsim(checkpoint_dir=named_base, device="cuda")


def test_unknown_recipe_and_engine(named_base):
    with pytest.raises(CheckpointError, match="crop450"):
        relsim(checkpoint_dir=named_base, recipe="crop450")
    with pytest.raises((CheckpointError, ValueError), match="turbo"):
        relsim(checkpoint_dir=named_base, engine="turbo")


def test_similarity_takes_one_vector_any_precision_and_read_only_rows(metric, golden_paths):
    rows = metric.embed_files(golden_paths[1:3])
    rows.flags.writeable = False
    expected = torch.from_numpy(rows @ rows.T)
    torch.testing.assert_close(metric.similarity(rows.astype("float64"), rows), expected, rtol=0, atol=1e-6)
    assert metric.similarity(rows[0], rows).shape == (1, 2)


def test_similarity_refuses_vectors_of_another_space(metric):
    with pytest.raises(ValueError, match=r"\(N, 384\)"):
        metric.similarity(torch.ones(2, 5))
