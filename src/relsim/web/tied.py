"""`python -m relsim.web.tied PID WORDS…`: the command line as a child that does not outlive its parent.

Where the system can (Linux), the child is interrupted when the parent ends in whatever way; it goes on at a lower
priority, so that who looks at the page does not wait for it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of linux/prctl.h; it stays through exec
_NICE = 5
_INTERRUPTED = 130


def main() -> None:
    """Become the command line."""
    parent, *words = sys.argv[1:]
    # A shell may have switched interrupts off for what it runs in the background.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, int(signal.SIGINT), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit(_INTERRUPTED)  # it ended before it was asked to tell
    os.nice(_NICE)
    os.execv(sys.executable, [sys.executable, "-m", "relsim", *words])  # noqa: S606 - our own command line


if __name__ == "__main__":
    main()
