"""Every error that relsim raises on purpose, as one tree.

    RelsimError                      a known problem: the command line prints it as one line and exits 1
    ├── SourceError                  a source of images cannot be listed (missing path, empty glob, bad manifest)
    │   └── ShardError               a shard folder cannot be read or written (damaged, unfinished, full disk)
    ├── ImageError                   one image cannot be used; carries the status that goes into its row
    ├── CheckpointError              a checkpoint folder is incomplete, inconsistent or of an unknown kind
    ├── CalibrationError             a percentile is asked of a checkpoint that carries no null distribution
    ├── TableError                   a vector table cannot be read or written
    │   └── FingerprintMismatchError vectors of another encoder, recipe or precision would be mixed in
    ├── SearchError                  a query that cannot be answered (unknown id, wrong dimension)
    ├── EncoderError                 an encoder does not exist or cannot do what is asked
    ├── DeviceError                  a device or precision that this machine does not offer
    │   └── MemoryShortageError      half a batch, or one picture, does not fit into memory
    ├── ResultError                  a file of results cannot be read, holds something else, or cannot be drawn
    ├── EndpointError                a model behind an endpoint cannot be asked (key, address, model, no answers)
    ├── TrainingError                a training run cannot be set up or continued (settings, data, saved state)
    ├── ClusterError                 machines that work together cannot be reached, or lose their workers
    └── MissingExtraError            an optional dependency is absent; the message names the command to install it

A message says what happened, what would have been acceptable, and the next step.
Foreign exceptions are translated into these at the place where they arise.
"""

from __future__ import annotations


class RelsimError(Exception):
    """Base of all errors raised on purpose."""


class SourceError(RelsimError):
    """A source of images cannot be listed."""


class ShardError(SourceError):
    """A shard folder cannot be read or written."""


class ImageError(RelsimError):
    """One image cannot be used.

    `status` is one of the values of `relsim.data.records.Status`; the message is the reason.
    """

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class CheckpointError(RelsimError):
    """A checkpoint folder is incomplete, inconsistent or of an unknown kind."""


class CalibrationError(RelsimError):
    """A percentile is asked of a checkpoint that carries no null distribution."""


class TableError(RelsimError):
    """A vector table cannot be read or written."""


class FingerprintMismatchError(TableError):
    """Vectors of another encoder, recipe or precision would be mixed into a table."""


class SearchError(RelsimError):
    """A query that cannot be answered."""


class EncoderError(RelsimError):
    """An encoder does not exist or cannot do what is asked."""


class DeviceError(RelsimError):
    """A device or precision that this machine does not offer."""


class MemoryShortageError(DeviceError):
    """Half a batch, or one picture alone, does not fit into memory.

    `pictures` is the size of the whole batch; 1 says that the picture is at fault and not the size of batches.
    """

    def __init__(self, message: str, pictures: int) -> None:
        super().__init__(message)
        self.pictures = pictures

    def __reduce__(self) -> tuple[type[MemoryShortageError], tuple[str, int]]:
        """Both arguments: workers send their errors to the process that started them."""
        return type(self), (str(self), self.pictures)


class ResultError(RelsimError):
    """A file of results cannot be read, holds something else, or cannot be drawn."""


class EndpointError(RelsimError):
    """A model behind an endpoint cannot be asked."""


class TrainingError(RelsimError):
    """A training run cannot be set up or continued."""


class ClusterError(RelsimError):
    """Machines that work together cannot be reached, or lose their workers."""


class MissingExtraError(RelsimError):
    """An optional dependency is absent."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f'{purpose} needs the package {package}: pip install "relsim[{extra}]"')
        self.package = package
        self.extra = extra


def first_line(error: BaseException) -> str:
    """The first line of what an error of another package says, or its type where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
