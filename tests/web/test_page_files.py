"""What a browser loads of the page itself."""

from importlib.resources import files

MOST = 200_000  # bytes of everything, as it lies there: nothing is packed


def test_the_page_is_small_and_brings_all_that_it_needs():
    static = files("relsim.web").joinpath("static")
    sizes = {file.name: len(file.read_bytes()) for file in static.iterdir()}
    assert {"index.html", "main.js", "app.css"} <= set(sizes)
    assert sum(sizes.values()) <= MOST, sizes
    for file in static.iterdir():
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text, file.name
        assert "https://" not in text, file.name
