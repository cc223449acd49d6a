"""What each method finds for some queries, as rows of pictures of a report."""

from __future__ import annotations

from PIL import Image

from relsim.data.identity import printable
from relsim.evaluation.result_files import Ranking, ResultFile, rankings
from relsim.figures.markup import THUMBNAIL, embedded, figure, tag, text
from relsim.figures.pictures import small_picture
from relsim.figures.sheets import chosen_queries

_QUERIES, _MATCHES = 3, 5


def found_section(result: ResultFile) -> str:
    """What each method finds for some queries."""
    found = rankings(result)
    made = ""
    for query in chosen_queries(found, count=_QUERIES):
        by_method = {
            method: next(ranking for ranking in some if ranking.query_id == query) for method, some in found.items()
        }
        first = next(iter(by_method.values()))
        words = printable(first.query_id) if first.label is None else printable(first.label).replace("_", " ")
        made += text("h3", f"Query: {words}")
        made += tag(
            "div", figure(_picture(first.query_path, f"The query: {words}"), class_="picture query"), class_="asked"
        )
        for method, ranking in by_method.items():
            made += text("p", printable(method), class_="note") + _matches(ranking)
    return made


def _matches(ranking: Ranking) -> str:
    items = []
    for match in ranking.matches[:_MATCHES]:
        words = printable(match.label or match.image_id).replace("_", " ")
        if match.relevant is not None:
            mark = text(
                "span", f"{'✓' if match.relevant else '✗'} {words}", class_="right" if match.relevant else "wrong"
            )
        else:
            mark = text("span", words)
        score = text("span", f"{match.score:.3f}", class_="numbers")
        items.append(tag("li", figure(_picture(match.path, f"Match {match.rank}: {words}"), mark, score)))
    return tag("ol", *items, class_="row five")


def _picture(source: str, alternative: str) -> str:
    pixels = small_picture(source, THUMBNAIL)
    if pixels is None:
        return text("p", f"{alternative} (the picture cannot be read)", class_="missing")
    return embedded(Image.fromarray(pixels), alternative)
