"""The published way to download, written afresh: a pool of threads, one `requests.get` an image, PNG again.

    python _download_published.py LIST FOLDER CA_FILE WORKERS

LIST has one `id address` a line. Each image is converted to RGB and saved as `<id>.png`. Prints how many were saved.
"""

from __future__ import annotations

import io
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from PIL import Image


def save(line: str, folder: Path, ca_file: str) -> bool:
    """One image; a failure is swallowed, as there."""
    name, _, address = line.partition(" ")
    try:
        answer = requests.get(address, timeout=10, verify=ca_file)
        answer.raise_for_status()
        Image.open(io.BytesIO(answer.content)).convert("RGB").save(folder / f"{name}.png")
    except (requests.RequestException, OSError):
        return False
    return True


def main() -> None:
    """Download all lines."""
    listed, folder, ca_file, workers = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    folder.mkdir()
    lines = Path(listed).read_text(encoding="utf-8").splitlines()
    with ThreadPoolExecutor(workers) as pool:
        print(sum(pool.map(lambda line: save(line, folder, ca_file), lines)))


if __name__ == "__main__":
    main()
