"""DreamSim and LPIPS through packages on the path that have the interface of the real ones, and through those."""

import importlib.metadata
import sys

import numpy as np
import pytest
import torch

from relsim.encoders.base import Encoder, Pairwise
from relsim.encoders.pairwise import load_pairwise
from relsim.encoders.registry import load_encoder
from relsim.encoders.stream import encode_images
from relsim.errors import EncoderError, MissingExtraError

# As the package 0.2.1 has it: the function returns a network and a transform, `embed` takes (B, 3, 224, 224) from 0 to
# 1 and gives (B, D), the distance of two pictures is 1 minus the cosine of theirs. It prints what it does.
DREAMSIM = """
import torch
from torch import nn

class PerceptualModel(nn.Module):
    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.mix = nn.Parameter(torch.randn(3 * 16, 20, generator=generator))

    def embed(self, img):
        cells = torch.nn.functional.adaptive_avg_pool2d(img, 4).flatten(1)
        found = cells @ self.mix
        return found - found.mean(dim=1, keepdim=True)

    def forward(self, img_a, img_b):
        return 1 - nn.functional.cosine_similarity(self.embed(img_a), self.embed(img_b), dim=-1)

def dreamsim(pretrained=True, device="cuda", cache_dir="./models", normalize_embeds=True, dreamsim_type="ensemble",
             use_patch_model=False):
    if dreamsim_type not in ("ensemble", "dino_vitb16"):
        raise KeyError(dreamsim_type)
    print("Using cached", cache_dir)
    from PIL import Image
    import numpy as np

    def preprocess(pil_img):
        square = pil_img.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
        return torch.from_numpy(np.asarray(square, np.float32) / 255).permute(2, 0, 1).unsqueeze(0)

    return PerceptualModel().to(device), preprocess
"""
# As the package 0.1.4 has it: pictures from -1 to 1, distances (N, 1, 1, 1), words on stdout unless verbose is off.
LPIPS = """
import torch
from torch import nn

class LPIPS(nn.Module):
    def __init__(self, pretrained=True, net="alex", version="0.1", lpips=True, spatial=False, pnet_rand=False,
                 pnet_tune=False, use_dropout=True, model_path=None, eval_mode=True, verbose=True):
        super().__init__()
        if verbose:
            print("Setting up", net)
        self.weight = nn.Parameter(torch.tensor([0.5, 0.25, 0.25]).view(1, 3, 1, 1))
        self.drop = nn.Dropout(0.5)

    def forward(self, in0, in1, retPerLayer=False, normalize=False):
        if in0.min() < -1 or in0.max() > 1:
            raise ValueError("pictures must be from -1 to 1")
        return (self.drop(in0 - in1) ** 2 * self.weight).mean(dim=(1, 2, 3), keepdim=True)
"""


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Puts modules on the path by name and text."""

    def put(**modules):
        for name, text in modules.items():
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / "__init__.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)

    yield put
    for name in ("dreamsim", "lpips"):
        sys.modules.pop(name, None)


@pytest.fixture
def absent(monkeypatch):
    """Neither package can be found, whatever is installed."""
    for name in ("dreamsim", "lpips"):
        monkeypatch.setitem(sys.modules, name, None)


class TestDreamSim:
    def test_products_are_one_minus_the_packages_distances(self, packages, pictures, tmp_path, capsys):
        packages(dreamsim=DREAMSIM)
        encoder = load_encoder("dreamsim", device="cpu", cache_dir=str(tmp_path / "weights"))
        assert isinstance(encoder, Encoder)
        assert (encoder.name, encoder.dimension) == ("dreamsim", 20)
        vectors = encode_images(encoder, pictures)
        import dreamsim

        model, transform = dreamsim.dreamsim(device="cpu")
        capsys.readouterr()
        with torch.no_grad():
            distances = [[model(transform(a), transform(b)).item() for b in pictures] for a in pictures]
        np.testing.assert_allclose(1 - vectors @ vectors.T, distances, atol=1e-5)
        for row, picture in enumerate(pictures):
            np.testing.assert_allclose(encode_images(encoder, [picture])[0], vectors[row], atol=1e-6)

    def test_what_the_package_prints_does_not_stand_among_results(self, packages, tmp_path, capsys):
        packages(dreamsim=DREAMSIM)
        load_encoder("dreamsim", device="cpu", cache_dir=str(tmp_path))
        told = capsys.readouterr()
        assert told.out == ""
        assert "Using cached" in told.err

    def test_its_model_and_weights_are_in_the_fingerprint(self, packages, tmp_path):
        packages(dreamsim=DREAMSIM)
        options = {"device": "cpu", "cache_dir": str(tmp_path)}
        first, other = load_encoder("dreamsim", **options), load_encoder("dreamsim", kind="dino_vitb16", **options)
        assert first.fingerprint.differences(other.fingerprint) == {"kind": ("ensemble", "dino_vitb16")}
        (tmp_path / "dreamsim" / "__init__.py").write_text(DREAMSIM.replace("manual_seed(3)", "manual_seed(4)"))
        sys.modules.pop("dreamsim")
        sys.path_importer_cache.clear()
        (tmp_path / "dreamsim" / "__init__.py").touch()
        changed = load_encoder("dreamsim", **options)
        assert set(changed.fingerprint.differences(first.fingerprint)) == {"weights"}

    def test_a_model_that_it_does_not_know_is_told(self, packages, tmp_path):
        packages(dreamsim=DREAMSIM)
        with pytest.raises(EncoderError, match="dreamsim could not load its model huge: 'huge'"):
            load_encoder("dreamsim", kind="huge", device="cpu", cache_dir=str(tmp_path))


class TestLpips:
    def test_distances_are_the_packages(self, packages, pictures):
        packages(lpips=LPIPS)
        pairwise = load_pairwise("lpips", side=64, device="cpu")
        assert isinstance(pairwise, Pairwise)
        ready = [pairwise.prepare(picture) for picture in pictures]
        found = pairwise.distance(ready, ready[::-1])
        weights = np.array([0.5, 0.25, 0.25])[:, None, None]
        expected = [(np.square(a - b) * weights).mean() for a, b in zip(ready, ready[::-1], strict=True)]
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        assert found.dtype == np.float32
        assert pairwise.distance(ready[:1], ready[:1])[0] == 0
        assert pairwise.distance([], []).shape == (0,)

    def test_pictures_go_from_minus_one_to_one(self, packages, noise):
        from PIL import Image

        packages(lpips=LPIPS)
        pairwise = load_pairwise("lpips", side=64, device="cpu")
        for value, expected in (("black", -1.0), ("white", 1.0)):
            pixels = pairwise.prepare(Image.new("RGB", (90, 70), value))
            assert pixels.shape == (3, 64, 64)
            assert np.unique(pixels).tolist() == [expected]

    def test_batches_of_two_lengths_are_refused(self, packages, pictures):
        packages(lpips=LPIPS)
        pairwise = load_pairwise("lpips", side=64, device="cpu")
        with pytest.raises(EncoderError, match="given are 1 and 0"):
            pairwise.distance([pairwise.prepare(pictures[0])], [])

    @pytest.mark.parametrize(("options", "message"), [({"net": "resnet"}, "alex, vgg, squeeze"), ({"side": 8}, "64")])
    def test_wrong_options_are_told_the_right_ones(self, options, message):
        with pytest.raises(EncoderError, match=message):
            load_pairwise("lpips", **options)

    def test_it_is_no_encoder_and_says_so(self):
        with pytest.raises(EncoderError, match="lpips measures pairs and has no vectors"):
            load_encoder("lpips")
        with pytest.raises(EncoderError, match="no measure of pairs 'clip'; known are lpips"):
            load_pairwise("clip")


class TestMissing:
    def test_a_package_that_is_absent_is_named_with_its_extra(self, absent):
        with pytest.raises(MissingExtraError, match=r"needs the package dreamsim: pip install \"relsim\[baselines\]\""):
            load_encoder("dreamsim")
        with pytest.raises(MissingExtraError, match=r"needs the package lpips: pip install \"relsim\[baselines\]\""):
            load_pairwise("lpips")

    def test_a_package_without_what_it_needs_counts_as_absent_with_the_reason(self, packages):
        packages(dreamsim="import no_such_torchvision", lpips='raise RuntimeError("operator torchvision::nms is gone")')
        with pytest.raises(MissingExtraError, match=r"No module named 'no_such_torchvision'.*relsim\[baselines\]"):
            load_encoder("dreamsim")
        with pytest.raises(MissingExtraError, match=r"torchvision::nms is gone.*relsim\[baselines\]"):
            load_pairwise("lpips")


class TestRealPackages:
    """Where the extra is installed and its weights can be had."""

    def test_dreamsim_gives_its_own_distance(self, pictures):
        package = pytest.importorskip("dreamsim", exc_type=ImportError)
        try:
            encoder = load_encoder("dreamsim", kind="dino_vitb16", device="cpu")
        except EncoderError as error:
            pytest.skip(str(error))
        vectors = encode_images(encoder, pictures[:2])
        home = str(importlib.metadata.distribution("dreamsim").locate_file(""))
        assert home in package.__file__
        assert 0 < 1 - vectors[0] @ vectors[1] < 1

    def test_lpips_is_zero_for_equal_pictures_alone(self, pictures):
        pytest.importorskip("lpips", exc_type=ImportError)
        try:
            pairwise = load_pairwise("lpips", device="cpu")
        except EncoderError as error:
            pytest.skip(str(error))
        first, second = (pairwise.prepare(picture) for picture in pictures[1:3])
        same, other = pairwise.distance([first, first], [first, second])
        assert same == 0 < other
