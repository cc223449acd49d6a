"""What a server offers beside its collection: each is there only where the server was started with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from relsim.web.datasets import Dataset
from relsim.web.jobs import Jobs
from relsim.web.results import Results
from relsim.web.sitting import Sitting


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """Lists of images by name, retrieval runs, a study that people answer, and jobs that they may start."""

    data: Mapping[str, Dataset] = field(default_factory=dict)
    results: Results | None = None
    study: Sitting | None = None
    jobs: Jobs | None = None

    @property
    def offered(self) -> list[str]:
        """Names of what there is, as the page knows its views."""
        there = {
            "data": bool(self.data),
            "results": self.results is not None,
            "study": self.study is not None,
            "jobs": self.jobs is not None,
        }
        return [name for name, given in there.items() if given]

    def close(self) -> None:
        """Let others write what was written here."""
        for dataset in self.data.values():
            dataset.close()
