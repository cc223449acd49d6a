"""The API under requests that nobody wrote: whatever its document allows, and what it does not, against a real server.

More of them, by chance: `RELSIM_FUZZ_EXAMPLES=500`, which is how many each operation gets.
"""

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.core.failures import FailureGroup

from relsim.data.manifest import ManifestRow, write_manifest

EXAMPLES = int(os.environ.get("RELSIM_FUZZ_EXAMPLES", "0"))
LIMITS = settings(
    max_examples=EXAMPLES or 8,
    derandomize=not EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
UNFIT = {
    "positive_data_acceptance",  # an id that fits its description need not be one that is there
    # What the document does not name, such as one more parameter, is passed over; and `passed=a`, which is no array to
    # schemathesis, is a list of one.
    "negative_data_rejection",
    "ignored_auth",  # the document names no token, because most servers have none
    "object_level_authorization",
}


@pytest.fixture(scope="module")
def offering(start_server, retrieval_run, make_study, tmp_path_factory):
    """A server that shows everything: a list, a run, a study, a folder of jobs."""
    folder = tmp_path_factory.mktemp("offered")
    rows = [ManifestRow("a", None, "A ring of {Objects}"), ManifestRow("b", None, "A ring of red carrots")]
    write_manifest(folder / "words.jsonl", rows)
    (folder / "jobs").mkdir()
    write_manifest(folder / "jobs" / "nothing.jsonl", [])
    flags = ("--data", str(folder / "words.jsonl"), "--results", str(retrieval_run), "--jobs", str(folder / "jobs"))
    with start_server(*flags, "--study", str(make_study(folder))) as running:
        yield running


@pytest.fixture(scope="module")
def api(offering, library):
    """Its document. What is named by an id is, in one of two cases, named by one that is there."""
    document = offering.ask("/api/openapi.json")[1]
    known = {"id": list(library.ids[:3]), "first": [library.ids[3]], "name": ["words"], "side": [96], "row": [0]}
    known["question"] = [offering.ask("/api/study/next", person="Ada")[1]["question"]]
    for path in document["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] in known:
                    parameter["schema"] = {"anyOf": [{"enum": known[parameter["name"]]}, parameter["schema"]]}
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=offering.address, rate_limit=None)
    return schema


@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.value)
def test_every_answer_is_one_that_the_document_has(api, mode):
    """No fault of the server, and what is wrong is refused; all that fail are told at once."""
    checks = CHECKS.get_by_names([name for name in CHECKS.get_all_names() if name not in UNFIT])
    faults = {}
    for operation in (found.ok() for found in api.get_all_operations()):

        @LIMITS
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case):
            case.call_and_validate(headers={"x-relsim": "1"}, checks=checks, timeout=20)

        try:
            ask()
        except Unsatisfiable:  # what takes nothing can be given nothing wrong
            assert mode is GenerationMode.NEGATIVE
        except FailureGroup as group:
            faults[operation.label] = [str(fault) for fault in group.exceptions]
    assert faults == {}
