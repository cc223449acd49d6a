"""Kept tokens: what a frozen vision tower makes of each stored square, computed in the first epoch and then read.

A frozen tower gives the same tokens in every epoch, and where adapters alone learn it is most of a step's work. The
file `tokens-<pixels>-<digest>.bin` stands beside the squares. It holds one record for each square, in their order: the
merged tokens (n, H) row by row in reading order, in the precision that they were computed in and the machine's order of
bytes, then the CRC-32 of those bytes (4 bytes, little endian). `<pixels>` names the file of squares, `<digest>` what
made the tokens of them: the weights, the precision, the processor's numbers, the kind of device, torch's version.

A record whose checksum does not fit (a hole of the sparse file, a write that was cut short, two at once) is none: its
tokens are computed again. So several processes share the file without a lock, and a run that was killed leaves nothing
that could be taken for something else. On a CPU a step is the same to the last bit, with kept tokens or without.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from relsim.errors import TrainingError
from relsim.fingerprint import Fingerprint
from relsim.models.base import digest_base
from relsim.training.config import TrainingConfig
from relsim.training.crops import CropStore
from relsim.training.feed import Data, Part
from relsim.training.network import TrainingNetwork
from relsim.training.samples import Rows

_log = logging.getLogger(__name__)
_CHECKSUM = struct.Struct("<I")
_RAW = {2: torch.int16, 4: torch.int32}  # NumPy knows no bfloat16; the bytes are all that counts
_SPARE = 0.5  # of the free space of a disk, how much `auto` may take


class TokenStore:
    """Tokens of the squares of one store, in one file that is open for reading and writing. Thread-safe."""

    def __init__(self, path: Path, squares: int, shape: tuple[int, int], dtype: torch.dtype) -> None:
        self.path, self.squares, self.shape, self.dtype = path, squares, shape, dtype
        self._length = shape[0] * shape[1] * dtype.itemsize
        self._full = False
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        os.ftruncate(self._file, squares * self.record)

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)

    @property
    def record(self) -> int:
        """Bytes of a square's record."""
        return self._length + _CHECKSUM.size

    def read(self, rows: Rows) -> Tensor | None:
        """Tokens (B, n, H) of these squares, in memory; None where those of any are not there."""
        found, checksum = bytearray(len(rows) * self._length), bytearray(_CHECKSUM.size)
        for number, row in enumerate(rows.tolist()):
            tokens = memoryview(found)[number * self._length : (number + 1) * self._length]
            length = os.preadv(self._file, [tokens, checksum], row * self.record)
            if length < self.record or _CHECKSUM.pack(zlib.crc32(tokens)) != checksum:
                return None
        return torch.frombuffer(found, dtype=self.dtype).view(len(rows), *self.shape)

    def write(self, rows: Rows, tokens: Tensor) -> None:
        """Keep tokens (B, n, H) of these squares. A disk that is full ends the keeping, and not the run."""
        if self._full:
            return
        if tokens.shape != (len(rows), *self.shape) or tokens.dtype != self.dtype:
            raise ValueError(f"tokens {tokens.dtype} {tuple(tokens.shape)} do not fit {self.dtype} {self.shape}")
        raw = tokens.detach().contiguous().cpu().view(_RAW[self.dtype.itemsize]).numpy()
        try:
            for row, values in zip(rows.tolist(), raw, strict=True):
                data = values.tobytes()
                record = data + _CHECKSUM.pack(zlib.crc32(data))
                if os.pwrite(self._file, record, row * self.record) < len(record):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301 - handled with its like
        except OSError as error:
            self._full = True
            _log.warning("no more tokens are kept in %s: %s", self.path, (error.strerror or str(error)).lower())


def keep_tokens(config: TrainingConfig, network: TrainingNetwork, data: Data) -> Data:
    """The data with a place for tokens where `data.keep_tokens` says so.

    Raises `TrainingError` where it says always and they cannot be kept.
    """
    wish = config.data.keep_tokens
    if wish == "never" or (wish == "auto" and not network.vision_frozen):
        return data
    if not network.vision_frozen:
        raise TrainingError("data.keep_tokens always needs a frozen vision tower, and some of its weights learn here")
    run = config.run
    again = (run.steps or 0) * config.optimizer.batch_size > len(data.train) or (run.epochs or 0) > 1
    train = _with_tokens(data.train, config, network, again=again)
    if data.held_out is None:
        return Data(train, None)
    if data.held_out.store is data.train.store:
        return Data(train, replace(data.held_out, tokens=train.tokens))
    return Data(train, _with_tokens(data.held_out, config, network, again=True))


def _with_tokens(part: Part, config: TrainingConfig, network: TrainingNetwork, *, again: bool) -> Part:
    store, wish = part.store, config.data.keep_tokens
    path = token_file(store, network)
    size = len(store) * (network.token_shape[0] * network.token_shape[1] * network.dtype.itemsize + _CHECKSUM.size)
    reason = None if path.exists() else _reason_against(store, size, config, again=again)
    if reason is None:
        try:
            tokens = TokenStore(path, len(store), network.token_shape, network.dtype)
        except OSError as error:
            reason = f"{path} cannot be written: {(error.strerror or str(error)).lower()}"
        else:
            _log.info("tokens of the vision tower are kept in %s", path)
            return replace(part, tokens=tokens)
    if wish == "always":
        raise TrainingError(f"data.keep_tokens is always, but {reason}")
    _log.info("tokens of the vision tower are not kept: %s", reason)
    return part


def _reason_against(store: CropStore, size: int, config: TrainingConfig, *, again: bool) -> str | None:
    """Why no new file of that size should be begun, None if nothing speaks against it."""
    free = shutil.disk_usage(store.folder).free
    if config.data.keep_tokens == "always":
        return None if size <= free else f"they take {_gigabytes(size)}, and its disk has {_gigabytes(free)} free"
    if not again:
        return "each picture comes once"
    if size > config.data.keep_tokens_limit:
        limit = _gigabytes(config.data.keep_tokens_limit)
        return f"they take {_gigabytes(size)}, more than data.keep_tokens_limit ({limit})"
    return None if size <= _SPARE * free else f"they take {_gigabytes(size)} of {_gigabytes(free)} that are free"


def token_file(store: CropStore, network: TrainingNetwork) -> Path:
    """Where the tokens belong that this network makes of these squares. What belongs to other squares is removed."""
    pixels = Path(store.pixel_file).stem.removeprefix("pixels-")
    for path in store.folder.glob("tokens-*.bin"):
        if not path.name.startswith(f"tokens-{pixels}-"):
            path.unlink(missing_ok=True)
    facts = {
        "base": digest_base(network.base),
        "recipe": network.recipe.value,
        "pixels": repr(network.pixels),
        "precision": str(network.dtype),
        "shape": repr(network.token_shape),
        "device": network.device.type,
        "torch": torch.__version__,
    }
    return store.folder / f"tokens-{pixels}-{Fingerprint.of(facts).digest}.bin"


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:,.1f} GB"
