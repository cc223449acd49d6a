"""The picture of a filter's calibration: of the pictures with a probability of 0.7, are seven in ten labelled Yes?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from relsim.captions.agreement import Bin, calibration_error
from relsim.errors import MissingExtraError, TrainingError
from relsim.evaluation.statistics import wilson
from relsim.files import flush, temporary_beside

_BLUE, _GREY, _RED = "#2b6cb0", "#718096", "#c05621"


def draw_calibration(path: Path, bins: Sequence[Bin], *, brier: float, threshold: float, title: str) -> None:
    """Write a PNG: share of Yes against mean probability, with Wilson's intervals, and below how many pictures.

    Raises `MissingExtraError` without matplotlib, `TrainingError` where the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "figures", "a calibration plot") from error
    # Without pyplot, which keeps figures and chooses a window system for the whole process.
    figure = Figure(figsize=(6, 7), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    shares = [wilson(bin_.yes, bin_.count) for bin_ in bins]
    upper.plot([0, 1], [0, 1], linestyle="--", color=_GREY, label="as it should be")
    upper.errorbar(
        [bin_.score for bin_ in bins],
        [share.value for share in shares],
        yerr=[[share.value - share.low for share in shares], [share.high - share.value for share in shares]],
        marker="o",
        capsize=3,
        color=_BLUE,
        label="measured, 95 % intervals",
    )
    figures = f"Brier score {brier:.3f}, calibration error {calibration_error(bins):.3f}"
    upper.set(title=f"{title}\n{figures}", ylabel="labelled Yes", ylim=(0, 1))
    lower.bar(
        [bin_.low for bin_ in bins],
        [bin_.count for bin_ in bins],
        width=[bin_.high - bin_.low for bin_ in bins],
        align="edge",
        color=_BLUE,
        edgecolor="white",
    )
    for bin_ in bins:
        lower.annotate(
            f"{bin_.count:,}", ((bin_.low + bin_.high) / 2, bin_.count), ha="center", va="bottom", fontsize=8
        )
    lower.set(xlabel="probability of Yes", ylabel="pictures", xlim=(0, 1), yscale="log")
    lower.set_ylim(bottom=0.8, top=max(bin_.count for bin_ in bins) * 3)
    for axes in (upper, lower):
        axes.axvline(threshold, color=_RED, linewidth=1, label=f"threshold {threshold:.3g}")
    upper.legend(loc="upper left", frameon=False)
    try:
        with temporary_beside(path) as temporary:
            figure.savefig(temporary, format="png", dpi=120, metadata={"Software": None})
            flush(temporary)
            temporary.replace(path)
    except OSError as error:
        raise TrainingError(f"{path} cannot be written: {(error.strerror or str(error)).lower()}") from error
