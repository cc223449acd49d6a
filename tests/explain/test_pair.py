"""An explanation holds what the model's own calls give, as a document, as maps and as a figure."""

import json
import sys
from dataclasses import replace
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from relsim import relsim
from relsim.captions.anonymity import check
from relsim.encoders.descriptors import DescriptorEncoder
from relsim.encoders.stream import encode_images
from relsim.errors import MissingExtraError
from relsim.explain.nearest import NearCaptions, packaged_captions
from relsim.explain.occlusion import occlude, similarity_to
from relsim.explain.pair import Settings
from relsim.figures.style import rendered
from relsim.world.looks import Split
from relsim.world.scenes import coverage, draw, like, scenes

FEW = Settings(steps=2, curves=False)


@pytest.fixture(scope="module")
def mini():
    model, _ = relsim(device="cpu", dtype="float32")
    return model


@pytest.fixture(scope="module")
def drawn():
    """Scenes of held-out objects that leave paper, with a partner and a mask."""
    found = []
    for number, scene in enumerate(islice(scenes(Split.OBJECTS, 99), 40)):
        mask = coverage(scene, 160)
        if mask.mean() <= 0.5:
            partner = like(scene, np.random.default_rng(number))
            found.append((draw(scene, 160).image, draw(partner, 160).image, mask))
    return found


def test_scores_and_attention_are_those_of_the_model(explained, metric, pair):
    assert explained.relational.score == pytest.approx(metric(*pair), abs=1e-5)
    assert explained.relational.percentile is None  # the golden checkpoint carries no null distribution
    for picture, own in zip(explained.pictures, pair, strict=True):
        (attention,) = metric.vlm.attention([metric.vlm.prepare(own)])
        np.testing.assert_allclose(picture.attention.weights, attention.weights, atol=1e-6)
        assert picture.occlusion.similarity == pytest.approx(metric(*pair), abs=1e-5)
        assert picture.attention_map.shape == picture.occlusion_map.shape == (own.height, own.width)
        assert picture.attention_map.sum() == pytest.approx(1, abs=1e-4)


def test_the_axis_of_looks_is_the_other_encoder(explained, pair):
    vectors = encode_images(DescriptorEncoder(), list(pair))
    assert explained.attribute.score == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-5)
    assert (explained.attribute.encoder, explained.attribute.percentile) == ("descriptors", None)


def test_both_axes_have_percentiles_where_the_checkpoints_know_them(mini, drawn):
    looks, _ = relsim(checkpoint_dir="relsim-mini-attributes", device="cpu", dtype="float32")
    found = mini.explain(*drawn[0][:2], attributes=looks.encoder, settings=FEW)
    for axis, model in ((found.relational, mini), (found.attribute, looks)):
        assert axis.score == pytest.approx(model(*drawn[0][:2]), abs=1e-5)
        assert axis.percentile == model.percentile(axis.score)
        assert axis.fingerprint == model.fingerprint
    assert found.relational.percentile > 50


def test_captions_are_the_nearest_of_the_model_s_own_similarities(explained, metric, pair):
    scores = metric.similarity(list(pair), packaged_captions()).numpy()
    for near, row in ((explained.captions.first, scores[0]), (explained.captions.second, scores[1])):
        assert [one.caption for one in near] == [packaged_captions()[place] for place in np.argsort(-row)[:4]]
        assert [one.score for one in near] == pytest.approx(np.sort(row)[::-1][:4].tolist(), abs=1e-5)


def test_sentences_are_the_captioner_s_and_are_checked(explained, captioner, pair, metric):
    said = captioner.caption(list(pair), greedy=True)
    assert [picture.said.caption for picture in explained.pictures] == [one.text for one in said]
    assert [picture.said.anonymous for picture in explained.pictures] == [check(one.text).ok for one in said]
    writer = SimpleNamespace(
        caption=lambda images, *, greedy: [
            SimpleNamespace(text=text) for text in ("A golden retriever beside {Object}", "A row of {Objects}")
        ]
    )
    first, second = (part.said for part in metric.explain(*pair, writer=writer, check=check, settings=FEW).pictures)
    assert (first.anonymous, first.names) == (False, ("golden retriever (animal)",))
    assert (second.anonymous, second.names) == (True, ())
    unchecked = metric.explain(*pair, writer=writer, settings=FEW).pictures[0].said
    assert (unchecked.anonymous, unchecked.names) == (None, ())


def test_occlusion_may_ask_about_a_sentence(metric, pair):
    sentence = "{Objects} arranged in a ring"
    settings = Settings(steps=2, curves=False, towards=sentence, captions=["One", "Two"], count=9)
    found = metric.explain(*pair, settings=settings)
    expected = metric.similarity(list(pair), sentence).ravel().tolist()
    assert [picture.occlusion.similarity for picture in found.pictures] == pytest.approx(expected, abs=1e-5)
    assert found.to_json()["towards"] == sentence
    assert {one.caption for one in found.captions.shared} == {"One", "Two"}


def test_the_document_is_plain_json_with_all_that_was_found(explained):
    document = json.loads(json.dumps(explained.to_json(), allow_nan=False))
    assert document["schema"] == "relsim.explain/1"
    for part, picture in zip(document["pictures"], explained.pictures, strict=True):
        assert np.sum(part["attention"]["cells"]) == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(part["occlusion"]["falls"], picture.occlusion.falls)
        assert len(part["occlusion"]["boxes"]) == 9
        assert list(part["faithfulness"]["curves"]) == ["attention", "occlusion", "random"]
        assert (part["width"], part["height"]) == picture.image.size
        assert part["sentence"]["caption"] == picture.said.caption


def test_maps_are_told_apart_by_name(explained):
    maps = explained.maps()
    assert list(maps) == ["attention_first", "occlusion_first", "attention_second", "occlusion_second"]
    assert (maps["occlusion_second"] == explained.pictures[1].occlusion_map).all()
    assert all(values.dtype == np.float32 for values in maps.values())


def test_the_figure_says_what_the_document_says_and_is_the_same_again(explained):
    figure = explained.figure(title="Two pictures")
    texts = "\n".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))
    assert f"relational {explained.relational.score:+.3f}" in texts
    assert f"attribute {explained.attribute.score:+.3f}" in texts
    assert "Two pictures" in texts
    assert "A: square.png" in texts
    words = texts.replace("\n     ", " ").replace("\n", " ")
    for near in (explained.captions.shared[:3], explained.captions.first[:2], explained.captions.second[:2]):
        for one in near:
            assert f"{one.score:.2f} {one.caption}" in words
    assert rendered(figure, ".svg") == rendered(explained.figure(title="Two pictures"), ".svg")


def test_maps_of_both_pictures_share_one_scale_that_the_figure_tells_of(explained):
    figure = explained.figure()
    maps = [axes.images[1] for axes in figure.axes if len(axes.images) == 2]
    assert [image.cmap.name for image in maps] == ["viridis", "PuOr_r"] * 2
    cells = [picture.attention.cells() for picture in explained.pictures]
    most = max(found.max() * found.size for found in cells)
    assert [image.get_clim() for image in maps[::2]] == [pytest.approx((0, most), rel=0.01)] * 2
    low, high = maps[1].get_clim()
    assert maps[3].get_clim() == (low, high) == (-high, high)
    assert max(np.abs(image.get_array()).max() for image in maps[1::2]) == pytest.approx(high)
    assert "A and B share the scale of each map" in [text.get_text() for text in figure.texts]


@pytest.mark.parametrize("caption", ["A {Thing}", "letters" * 80, "many words " * 60])
def test_every_line_of_the_figure_is_within_it(explained, caption):
    """However long the captions are."""
    near = tuple(replace(one, caption=caption) for one in explained.captions.first)
    figure = replace(explained, captions=NearCaptions(near, near, near, 4)).figure(title="A title")
    renderer = FigureCanvasAgg(figure).get_renderer()
    width, height = figure.get_size_inches() * figure.dpi
    for text in figure.texts:
        box = text.get_window_extent(renderer)
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= width, text
        assert box.y1 <= height, text


def test_without_matplotlib_only_the_figure_is_missing(metric, pair, monkeypatch):
    found = metric.explain(*pair, settings=FEW)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match="figures"):
        found.figure()


def test_what_is_no_picture_is_refused(metric, pair):
    with pytest.raises(TypeError):
        metric.explain(pair[0], "wide.png", settings=FEW)


def test_attention_falls_on_what_carries_the_relation_more_than_chance(mini, drawn):
    """The mass on the exact mask over the mask's area, scene by scene; docs/explain.md has the figure for hundreds."""
    ratios = []
    for (picture, _, mask), cells in zip(drawn, attention_cells(mini, drawn), strict=True):
        ratios.append(mass_on(cells, mask) / mask.mean())
        assert picture.size == (160, 160)
    assert len(ratios) > 25
    assert np.mean(ratios) > 1.3
    assert np.mean(np.array(ratios) > 1) > 0.85


def test_attention_falls_on_its_own_scene_more_than_that_of_another_scene_does(mini, drawn):
    """Drawings stand in the middle of their paper, so a map of any scene falls on them more than chance; own ones do so
    more. Every other scene's map is laid on every mask.
    """
    cells = attention_cells(mini, drawn)
    masks = [mask for _, _, mask in drawn]
    own = np.array([mass_on(found, mask) for found, mask in zip(cells, masks, strict=True)])
    laid = np.array([[mass_on(found, mask) for found in cells] for mask in masks])
    others = (laid.sum(axis=1) - own) / (len(cells) - 1)
    areas = np.array([mask.mean() for mask in masks])
    assert others.mean() > areas.mean()  # the null is stricter than the area
    assert own.mean() > 1.08 * others.mean()
    assert np.mean(own > others) > 0.6


def test_occlusion_falls_on_what_carries_the_relation_more_than_chance_and_than_another_scene_s(mini, drawn):
    maps, masks = [], [mask for _, _, mask in drawn[:6]]
    for picture, partner, _ in drawn[:6]:
        similarity = similarity_to(mini.encoder, mini.embed(partner)[0].numpy())
        falls = np.maximum(occlude(picture, mini.vlm.recipe, similarity).spread(160, 160), 0)
        maps.append(falls / falls.sum())
    own = np.mean([(found * mask).sum() for found, mask in zip(maps, masks, strict=True)])
    pairs = [(found, mask) for n, found in enumerate(maps) for k, mask in enumerate(masks) if n != k]
    others = np.mean([(found * mask).sum() for found, mask in pairs])
    assert own > 1.2 * np.mean(masks)
    assert own > 1.08 * others


def attention_cells(model, drawn):
    return [found.cells() for found in model.vlm.attention([model.vlm.prepare(picture) for picture, _, _ in drawn])]


def mass_on(cells, mask):
    """The share of attention that lies on a mask of 160 pixels a side."""
    side = 160 // cells.shape[0]
    return (cells * mask.reshape(len(cells), side, len(cells), side).mean(axis=(1, 3))).sum()
