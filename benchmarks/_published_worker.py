"""One timed pass of the published package relsim 0.1.0, called the way its README calls it: one image per call.

(0.1.0 takes no list of images, so there is no faster call to choose.) Runs in the published environment; what is
missing or hard-coded there gets a stand-in, see `_published_standins.py`. The network, its forward pass, the prompt
and the resizing are the package's own.
"""

from __future__ import annotations

from importlib.metadata import version

import _measure

options = _measure.arguments()
_measure.pin(options.threads)

import numpy as np  # noqa: E402  after the pinning, so that thread pools see the processors that count
import torch  # noqa: E402
import transformers  # noqa: E402
from PIL import Image  # noqa: E402

from _published_standins import load_published  # noqa: E402


def main() -> None:
    """Load, warm up on two images, time one pass over all files."""
    torch.set_num_threads(options.threads)
    watch = _measure.Stopwatch()
    model, preprocess = load_published(options.checkpoint, options.base, options.dtype)
    load_seconds, _ = watch.read()
    paths = _measure.image_paths(options)
    for path in paths[:2]:
        model.embed(preprocess(Image.open(path)))
    watch = _measure.Stopwatch()
    rows = [model.embed(preprocess(Image.open(path))) for path in paths]
    vectors = torch.cat(rows).numpy()
    seconds, cpu_seconds = watch.read()
    np.save(options.out + ".npy", vectors)
    versions = {"relsim": version("relsim"), "torch": torch.__version__, "transformers": transformers.__version__}
    _measure.write_result(options, seconds, cpu_seconds, load_seconds, versions)


if __name__ == "__main__":
    main()
