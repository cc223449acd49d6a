"""Run by test_engine.py as a process of its own: what `work_on` gives on a Ray of this machine, as one JSON document.

Records are names alone, and nothing is read. What is in this file reaches the workers by value.
"""

import json
import os
import sys
import time
from pathlib import Path

from relsim.data.records import ImageRecord
from relsim.distributed.cluster import running
from relsim.distributed.engine import pieces, work_on
from relsim.distributed.pictures import ReadPart
from relsim.errors import EncoderError, RelsimError


class UnsendableError(Exception):
    def __reduce__(self):
        raise TypeError("it stays here")


class Names:
    """Gives the names of each part, and of pictures that cannot be used the reason; some names are wishes."""

    def __init__(self, wish=""):
        self.wish = wish

    def load(self):
        if self.wish == "die":
            os._exit(1)
        if self.wish == "refuse":
            raise EncoderError("no weights")
        return self.work

    def work(self, part):
        for record in part.records:
            if record.image_id == "die" and record.image_id not in part.pictures:
                os._exit(1)
            if record.image_id == "fail":
                raise ValueError("it\nis a bug.")
            if record.image_id == "hide":
                raise UnsendableError("it is secret")
        return [(record.image_id, told(record, part.pictures.get(record.image_id))) for record in part.records]


class Own:
    """Tells of each part whether the worker has read it itself."""

    def load(self):
        return lambda part: part.draft == os.getpid()


def read_slowly(records):
    time.sleep(0.1)
    return ReadPart(records, draft=os.getpid())  # a number that goes with the part


def told(record, failure):
    """Why a picture cannot be used, if so; stages look for the very record."""
    assert failure is None or failure.record is record
    return "" if failure is None else f"{failure.status.value}: {failure.reason}"


def read(records):
    if any(record.image_id == "unreadable" for record in records):
        os._exit(1)
    return ReadPart(records)


def records(*names):
    return [ImageRecord(name, f"/{name}.png") for name in names]


def main():
    def given(parts, wish=""):
        try:
            return list(work_on(parts, Names(wish), cluster, read=read))
        except RelsimError as error:
            return f"{type(error).__name__}: {error}"

    found = {}
    with running(workers=2) as cluster:
        taken = []
        parts = (taken.append(name) or records(name) for name in map(str, range(500)))
        stream = work_on(parts, Names(), cluster, read=read)
        first = next(stream)
        found["stream"] = {"places": cluster.workers + cluster.readers, "taken": len(taken)}
        found["stream"]["names"] = [name for part in [first, *stream] for name, _ in part]
        names = records(*"abc", "die", *"def", "unreadable", *"ghijkl")
        found["deaths"] = given(pieces(names, 5))
        found["none"] = given([])
        found["own"] = list(work_on(map(records, map(str, range(60))), Own(), cluster, read=read_slowly))
        for name in ("fail", "hide"):
            found[name] = given([records("a"), records(name, "b")])
        for wish in ("die", "refuse"):
            found[f"load {wish}"] = given([records("a")], wish)
    Path(sys.argv[1]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
