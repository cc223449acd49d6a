"""Pictures that are made to hang or to burst: those that are brought, and those of the collection."""

import asyncio
import io
import os
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from relsim.data.images import read_image
from relsim.data.records import ImageRecord
from relsim.web.explaining import Shown
from relsim.web.library import Question
from relsim.web.settings import ServerSettings
from relsim.web.state import State


def chunk(kind, data):
    """A part of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def crowded_png():
    """A picture of one pixel with texts of a gigabyte, in 64 parts."""
    file = io.BytesIO()
    Image.new("RGB", (1, 1)).save(file, "PNG")
    data = file.getvalue()
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(16 * 2**20), 9))
    return data[:33] + text * 64 + data[33:]


def endless_jpeg(side=7_000, scans=3_000):
    """A progressive JPEG of a few hundred kilobytes whose last scan comes again and again; each costs its pixels."""
    file = io.BytesIO()
    Image.new("L", (side, side), 90).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * max(1, min(scans, 900_000 // len(last))) + data[-2:]


class TestHostilePictures:
    def test_a_picture_that_takes_for_ever_is_given_up(self, web, picture):
        client = web(decode_seconds=1)
        began = time.monotonic()
        data = endless_jpeg()
        assert len(data) < 1_000_000
        told = client.post("/api/uploads", content=data)
        assert (told.status_code, "takes more than 1 s" in told.json()["detail"]) == (422, True)
        assert time.monotonic() - began < 30
        assert client.post("/api/uploads", content=picture).status_code == 201

    def test_what_is_no_picture_or_bursts_costs_little_memory(self, server, files, picture):
        resident = memory(server.process.pid)
        bad = [*files.values(), crowded_png()] * 3
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda data: server.ask("/api/uploads", data, {"content-type": "image/png"}), bad))
        assert {answer[0] for answer in answers} == {422}
        assert server.ask("/api/uploads", picture)[0] == 201
        assert memory(server.process.pid) - resident < 300e6


class TestHostilePicturesOfTheCollection:
    @pytest.fixture
    def slow(self, library, tmp_path, monkeypatch):
        """The id of an image whose file takes for ever to decode."""
        file, known = tmp_path / "slow.jpeg", library.record
        file.write_bytes(endless_jpeg())
        slow = ImageRecord(library.ids[0], str(file))
        monkeypatch.setattr(library, "record", lambda name: slow if name == slow.image_id else known(name))
        return slow.image_id

    def test_it_is_told_and_holds_nothing_up(self, web, library, slow):
        client = web(decode_seconds=1)
        told = client.get("/api/thumbnail", params={"id": slow})
        why = "decoding it takes more than 1 s (timeout)"
        assert (told.status_code, told.json()["detail"]) == (404, f"the picture cannot be shown: {why}")
        began = time.monotonic()
        assert client.get("/api/thumbnail", params={"id": slow, "side": 96}).status_code == 404
        assert time.monotonic() - began < 1  # it is not tried again
        told = client.get("/api/explain", params={"id": library.ids[1], "other": slow})
        assert (told.status_code, told.json()["detail"]) == (404, f"a picture cannot be read: {why}")
        assert client.get("/api/thumbnail", params={"id": library.ids[1]}).status_code == 200

    def test_a_server_ends_while_it_is_decoded(self, library, models, slow):
        """What explains waits for a process, and the end for what explains."""

        async def ended():
            vector, look = library.vectors(slow)
            shown = Shown(slow, None, Question(vector, look, 1))
            async with State(library, models, ServerSettings(decode_seconds=1)) as state:
                asked = asyncio.create_task(state.why(shown, shown))
                await asyncio.sleep(0.3)
            asked.cancel()

        asyncio.run(asyncio.wait_for(ended(), 30))


def test_no_picture_is_decoded_in_the_process_of_the_server(web, library, picture, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("decoded here")

    monkeypatch.setattr("relsim.data.images._decoded", refuse)
    client = web()
    with pytest.raises(AssertionError, match="decoded here"):
        read_image(library.records[library.ids[0]])
    assert client.post("/api/uploads", content=picture).status_code == 201
    assert client.get("/api/thumbnail", params={"id": library.ids[0]}).status_code == 200
    assert client.get("/api/explain", params={"id": library.ids[0], "other": library.ids[1]}).status_code == 200


def memory(process):
    """Bytes that a process has in memory."""
    with open(f"/proc/{process}/statm", encoding="ascii") as file:  # noqa: PTH123 - no file of a disk
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
