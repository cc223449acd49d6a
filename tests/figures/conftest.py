"""Result files as the package writes them, small: a retrieval run of three methods over pictures of known relations."""

import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Twelve flat pictures of different shapes, and one file that is none."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(12):
        pixels = np.full((20 + number, 30, 3), (20 * number, 255 - 20 * number, 90), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    (folder / "bad.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="session")
def write():
    """`write(folder, name, content)` writes a document and gives its path."""

    def document(folder, name, content):
        path = folder / name
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    return document


@pytest.fixture(scope="session")
def retrieved(pictures, tmp_path_factory, write):
    """`retrieved_images.json` in the published form: four queries, methods near, far and next."""

    def row(query, found):
        ids = [f"{number:02d}" for number in found]
        return {
            "query_image_id": f"{query:02d}",
            "query_image_path": str(pictures / f"{query:02d}.png"),
            "top_k_image_ids": ids,
            "top_k_image_paths": [str(pictures / f"{name}.png") for name in ids],
            "top_k_scores": [0.9 - 0.1 * place for place in range(len(ids))],
        }

    content = {
        "near": [row(query, [query + 4, query + 5, query + 6]) for query in range(4)],
        "far": [row(query, [11 - query, 10 - query, 9 - query]) for query in range(4)],
        "next": [row(query, [query + 4 if query == 0 else query + 5, 10, 11]) for query in range(4)],
    }
    return write(tmp_path_factory.mktemp("run"), "retrieved_images.json", content)


@pytest.fixture(scope="session")
def collisions():
    """`collisions(figure)` gives the pairs of texts that overlap, and the texts that reach beyond the figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    def find(figure):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        texts = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
        boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
        over = [
            (name, other)
            for place, (name, box) in enumerate(boxes)
            for other, second in boxes[place + 1 :]
            if box.overlaps(second)
        ]
        width, height = canvas.get_width_height()
        return over, [name for name, box in boxes if box.x0 < 0 or box.y0 < 0 or box.x1 > width or box.y1 > height]

    return find
