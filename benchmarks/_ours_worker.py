"""One timed pass of this package over image files, called the way its README calls it for many files."""

from __future__ import annotations

import _measure

options = _measure.arguments()
_measure.pin(options.threads)

import numpy as np  # noqa: E402  after the pinning, so that thread pools see the processors that count
import torch  # noqa: E402
import transformers  # noqa: E402

from relsim import __version__, relsim  # noqa: E402


def main() -> None:
    """Load, warm up on two images, time one pass over all files."""
    torch.set_num_threads(options.threads)
    watch = _measure.Stopwatch()
    model, _ = relsim(
        checkpoint_dir=options.checkpoint,
        base_model=options.base,
        device="cpu",
        dtype=None if options.dtype == "default" else options.dtype,
        recipe="native",
    )
    load_seconds, _ = watch.read()
    paths = _measure.image_paths(options)
    model.embed_files(paths[:2])
    watch = _measure.Stopwatch()
    vectors = model.embed_files(paths)
    seconds, cpu_seconds = watch.read()
    np.save(options.out + ".npy", vectors)
    versions = {"relsim": __version__, "torch": torch.__version__, "transformers": transformers.__version__}
    _measure.write_result(options, seconds, cpu_seconds, load_seconds, versions)


if __name__ == "__main__":
    main()
