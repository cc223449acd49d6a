"""Kept tokens: a step is the same to the last bit, whoever computed the tokens, and whatever happened to the file."""

import logging
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from relsim.errors import TrainingError
from relsim.training.crops import CropStore, CropWriter
from relsim.training.feed import open_data, read_patches, read_pictures
from relsim.training.loop import train
from relsim.training.network import TrainingNetwork
from relsim.training.prompts import prepare_processor
from relsim.training.state import load_state
from relsim.training.tokens import TokenStore, keep_tokens, token_file
from relsim.training.tracking import read_log

EPOCHS = (
    "run.steps=9",
    "run.save_every=3",
    "run.log_every=3",
    "run.threads=1",
)  # 18 pictures in batches of 8: four epochs
TUNES = {
    "adapters": (),
    "projection": ("model.tune=head",),
    "language model": ("model.tune=all",),
    "both directions": ("objective.two_directional=true",),
    "uneven micro-batches": ("optimizer.micro_batch_size=3",),
    "bf16": ("run.precision=bf16",),
    "captions": ("objective.task=caption", "model.prompt=What is it?"),
}


@pytest.fixture
def mine(crops, tmp_path):
    """A copy of the stored crops without tokens."""
    return shutil.copytree(crops, tmp_path / "crops", ignore=shutil.ignore_patterns("tokens-*"))


@pytest.fixture
def made(settings, mine, tmp_path):
    """`made(*overrides)`: configuration, network and data with a place for tokens."""

    def make(*overrides):
        config = settings(tmp_path / "run", f"data.crops={mine}", *EPOCHS, *overrides)
        processor = prepare_processor(Path(config.model.base), tmp_path / "processor")
        network = TrainingNetwork(config, device=torch.device("cpu"), precision="fp32", processor=processor)
        return config, network, keep_tokens(config, network, open_data(config))

    return make


def final(out):
    (path,) = out.glob("state-*")
    lines = [
        {key: value for key, value in line.items() if key not in ("seconds", "samples_per_second")}
        for line in read_log(out / "train.jsonl")
    ]
    return load_state(path).tensors, lines


def same(first, second):
    return first[1] == second[1] and all(torch.equal(first[0][name], second[0][name]) for name in first[0])


@pytest.fixture(scope="module")
def without(settings, crops, tmp_path_factory):
    """`without(*overrides)`: what a run that keeps no tokens ends with, each run made once."""
    found = {}

    def run(*overrides):
        if overrides not in found:
            out = tmp_path_factory.mktemp("without") / "run"
            train(settings(out, f"data.crops={crops}", "data.keep_tokens=never", *EPOCHS, *overrides))
            found[overrides] = final(out)
        return found[overrides]

    return run


class TestRuns:
    @pytest.mark.parametrize("overrides", TUNES.values(), ids=TUNES.keys())
    def test_weights_and_log_are_those_of_a_run_that_keeps_none(self, settings, without, mine, tmp_path, overrides):
        train(settings(tmp_path / "run", f"data.crops={mine}", *EPOCHS, *overrides))
        assert len(list(mine.glob("tokens-*.bin"))) == 1
        assert same(final(tmp_path / "run"), without(*overrides))

    def test_a_second_run_reads_what_the_first_has_kept(self, settings, without, mine, tmp_path):
        """No square is cut again: without its pixels, a run with all tokens there goes on as before."""
        train(settings(tmp_path / "first", f"data.crops={mine}", *EPOCHS))
        store = CropStore.open(mine)
        blank = np.zeros(store.side**2 * 3 * len(store), np.uint8)
        (mine / store.pixel_file).write_bytes(blank.tobytes())
        train(settings(tmp_path / "second", f"data.crops={mine}", *EPOCHS))
        assert same(final(tmp_path / "second"), without())

    @pytest.mark.parametrize("step", [2, 5])
    def test_a_killed_run_goes_on_to_the_same_weights(self, settings, without, mine, tmp_path, step):
        """Killed in the first epoch, with some of the tokens there, and after it."""
        config = settings(tmp_path / "run", f"data.crops={mine}", *EPOCHS, "run.log_every=1")
        (tmp_path / "run.yaml").write_text(config.to_yaml())
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, tmp_path / "run.yaml", str(step)], capture_output=True, check=False
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
        assert len(list(mine.glob("tokens-*.bin"))) == 1
        train(settings(tmp_path / "run", f"data.crops={mine}", *EPOCHS), resume=True)
        tensors = final(tmp_path / "run")[0]
        assert all(torch.equal(tensors[name], tensor) for name, tensor in without()[0].items())


KILLED = """
import os, signal, sys
from pathlib import Path
from relsim.training.config import TrainingConfig
from relsim.training.loop import train
def watch(line):
    if line["step"] == int(sys.argv[2]) and "loss" in line:
        os.kill(os.getpid(), signal.SIGKILL)
train(TrainingConfig.from_yaml(Path(sys.argv[1])), watcher=watch)
"""


class TestStore:
    @pytest.fixture(params=[torch.float32, torch.bfloat16, torch.float16], ids=str)
    def store(self, tmp_path, request):
        return TokenStore(tmp_path / "tokens.bin", 9, (4, 6), request.param)

    def tokens(self, store, count):
        return torch.randn(count, *store.shape, generator=torch.Generator().manual_seed(count)).to(store.dtype)

    def test_tokens_come_back_as_they_were(self, store):
        rows, tokens = np.array([7, 0, 3]), self.tokens(store, 3)
        store.write(rows, tokens)
        back = store.read(np.array([3, 7]))
        assert back.dtype == store.dtype
        assert torch.equal(back, tokens[[2, 0]])

    def test_one_that_is_missing_makes_none_of_them(self, store):
        store.write(np.array([1, 2]), self.tokens(store, 2))
        assert store.read(np.array([1, 2])) is not None
        assert store.read(np.array([1, 5])) is None
        assert store.read(np.array([8])) is None

    def test_numbers_that_are_none_are_kept_too(self, store):
        tokens = torch.full((1, *store.shape), float("nan"), dtype=store.dtype)
        store.write(np.array([4]), tokens)
        assert store.read(np.array([4])).isnan().all()

    def test_zeros_are_told_from_holes(self, store):
        store.write(np.array([4]), torch.zeros(1, *store.shape, dtype=store.dtype))
        assert store.read(np.array([3])) is None
        assert (store.read(np.array([4])) == 0).all()

    def test_every_flipped_bit_is_noticed(self, store):
        store.write(np.array([2]), self.tokens(store, 1))
        data = bytearray(store.path.read_bytes())
        for place in range(2 * store.record, 3 * store.record):
            damaged = bytearray(data)
            damaged[place] ^= 0x10
            store.path.write_bytes(damaged)
            assert store.read(np.array([2])) is None

    def test_another_process_sees_what_is_written(self, store):
        other = TokenStore(store.path, store.squares, store.shape, store.dtype)
        store.write(np.array([5]), self.tokens(store, 1))
        assert torch.equal(other.read(np.array([5])), self.tokens(store, 1))
        assert store.path.stat().st_size == store.squares * store.record

    @pytest.mark.parametrize("keep", [0, 30, -1])
    def test_a_file_that_was_cut_short_is_filled_again(self, store, keep):
        store.write(np.arange(9), self.tokens(store, 9))
        store.path.write_bytes(store.path.read_bytes()[:keep])
        assert store.read(np.array([8])) is None
        again = TokenStore(store.path, store.squares, store.shape, store.dtype)
        again.write(np.array([8]), self.tokens(store, 9)[8:])
        assert torch.equal(again.read(np.array([8])), self.tokens(store, 9)[8:])

    def test_tokens_that_do_not_fit_are_refused(self, store):
        with pytest.raises(ValueError, match="do not fit"):
            store.write(np.array([0]), torch.zeros(1, 4, 7, dtype=store.dtype))


@pytest.fixture
def small_disk(tmp_path):
    """`small_disk("64k")`: a file system of that size."""
    place = tmp_path / "disk"

    def make(size):
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            pytest.skip("mounting a file system needs root")
        return place

    yield make
    if place.is_mount():
        subprocess.run(["umount", place], check=True)


def test_a_full_disk_ends_the_keeping_and_not_the_run(small_disk, caplog):
    store = TokenStore(
        small_disk("64k") / "tokens.bin", 100, (16, 64), torch.float32
    )  # 4 KiB each, and 16 pages in all
    tokens = torch.randn(40, 16, 64)
    with caplog.at_level(logging.WARNING):
        store.write(np.arange(40), tokens)
        store.write(np.arange(40), tokens)
    assert [record.message.rpartition(": ")[2] for record in caplog.records] == ["no space left on device"]
    assert torch.equal(store.read(np.arange(10)), tokens[:10])
    assert store.read(np.array([39])) is None


class TestWhether:
    def test_a_tower_that_learns_keeps_nothing(self, made):
        tuned = ("model.tune=all", "model.vision_tuned=true")
        assert made(*tuned)[2].train.tokens is None
        with pytest.raises(TrainingError, match="needs a frozen vision tower"):
            made(*tuned, "data.keep_tokens=always")

    def test_an_adapter_in_the_tower_keeps_nothing(self, made):
        _, network, data = made("model.lora.targets=[qkv,q_proj]")
        assert not network.vision_frozen
        assert data.train.tokens is None

    @pytest.mark.parametrize(
        ("overrides", "kept"),
        [
            ((), True),
            (("data.keep_tokens=never",), False),
            (("run.steps=2",), False),  # 16 of 18 pictures
            (("run.steps=2", "data.keep_tokens=always"), True),
            (("run.steps=null", "run.epochs=1"), False),
            (("run.steps=null", "run.epochs=2"), True),
            (("data.keep_tokens_limit=1000",), False),
            (("data.keep_tokens_limit=1000", "data.keep_tokens=always"), True),
        ],
        ids=str,
    )
    def test_auto_keeps_what_comes_again_and_fits(self, made, overrides, kept):
        data = made(*overrides)[2]
        assert (data.train.tokens is not None) == kept
        assert data.held_out.tokens is data.train.tokens

    def test_a_file_that_is_there_is_used_whatever_its_size(self, made, mine):
        made()
        assert made("data.keep_tokens_limit=0", "run.steps=2")[2].train.tokens is not None

    def test_a_disk_without_room_is_refused_or_left_alone(self, made, mine, small_disk):
        disk = small_disk("256k")
        shutil.copytree(mine, disk / "crops", ignore=shutil.ignore_patterns("pixels-*", "texts-*"))
        pixels = CropStore.open(mine).pixel_file
        (disk / "crops" / pixels).symlink_to(mine / pixels)
        place = f"data.crops={disk / 'crops'}"
        assert made(place)[2].train.tokens is not None  # 24 records of 1 KiB
        (path,) = (disk / "crops").glob("tokens-*")
        path.unlink()
        (disk / "ballast").write_bytes(bytes(shutil.disk_usage(disk).free - 8_192))
        assert made(place)[2].train.tokens is None
        with pytest.raises(TrainingError, match=r"data.keep_tokens is always, but they take .* GB, and its disk has"):
            made(place, "data.keep_tokens=always")


class TestFile:
    def test_tokens_are_those_of_the_tower(self, made):
        _, network, data = made()
        part, rows = data.train, np.arange(6)
        assert read_pictures(part, rows, network.pixels).dtype is torch.uint8
        with torch.no_grad():
            tokens = network.image_tokens(read_patches(part, rows, network.pixels))
        part.tokens.write(part.rows[rows], tokens)
        kept = read_pictures(part, rows, network.pixels)
        assert torch.equal(kept, tokens)
        assert torch.equal(network.image_tokens(kept), tokens)
        assert kept.shape[1:] == network.token_shape

    def test_another_precision_has_another_file(self, made, mine):
        config, network, data = made()
        lower = TrainingNetwork(config, device=torch.device("cpu"), precision="bf16", processor=network.processor)
        assert token_file(data.train.store, lower) != token_file(data.train.store, network)

    def test_another_base_has_another_file(self, made, golden, tmp_path):
        from safetensors.torch import load_file, save_file

        _, network, data = made()
        other = shutil.copytree(golden / "base", tmp_path / "other")
        tensors = load_file(other / "model.safetensors")
        tensors["visual.merger.ln_q.weight"][0] += 1
        save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
        _, changed, _ = made(f"model.base={other}")
        assert token_file(data.train.store, changed) != token_file(data.train.store, network)

    def test_tokens_of_squares_that_are_gone_are_removed(self, made, mine):
        made()
        (old,) = mine.glob("tokens-*")
        store = CropStore.open(mine)
        with CropWriter(mine, store.recipe) as writer:
            for row, square in zip(store.rows, store.read(range(len(store))), strict=True):
                writer.append(square, row.image_id, row.captions)
            writer.publish()
        made()
        (new,) = mine.glob("tokens-*")
        assert new != old
