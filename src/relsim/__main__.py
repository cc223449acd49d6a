"""`python -m relsim` does what the command `relsim` does."""

from __future__ import annotations

from relsim.cli.main import main

if __name__ == "__main__":
    main()
