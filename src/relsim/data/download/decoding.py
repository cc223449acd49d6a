"""The processes that decode: as many as there are cores, each replaced when it hangs, dies or is killed.

They are programs of their own (`relsim.data.download.worker`), not forks: no state of ours is in them, no torch, and a
script that calls `download` needs no `if __name__ == "__main__"`. They are in a session of their own, so that an
interrupt from the terminal reaches us alone; when we are gone their input ends, and so do they.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, final

from relsim.data.download.bodies import Body
from relsim.data.download.options import DownloadOptions
from relsim.data.download.worker import LENGTH
from relsim.data.facts import ImageFacts
from relsim.data.records import Status
from relsim.environment import usable_cores
from relsim.errors import RelsimError

if TYPE_CHECKING:
    from PIL import Image

_GRACE = 5.0  # seconds after which a process that should have ended itself is killed
_START = 120.0
_PIECE = 2**20
_START_CODE = "import sys; sys.path[:] = {path!r}; from relsim.data.download.worker import main; main()"


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture that could be decoded. `png` is its published form, where that was asked for."""

    facts: ImageFacts
    one_colour: bool
    png: bytes | None


class DecodeError(Exception):
    """A body that is no usable picture: status and reason."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@final
class Decoders:
    """A pool of processes, as an asynchronous context."""

    def __init__(self, options: DownloadOptions) -> None:
        self._options = options
        self._count = options.decoders or usable_cores()
        # The last one that was used comes first: a process is started when all others are at work.
        self._free: asyncio.LifoQueue[_Decoder | None] = asyncio.LifoQueue()
        self._all: set[_Decoder] = set()
        # Absolute: "" and others mean the folder in which they are read.
        self._code = _START_CODE.format(path=[os.path.abspath(place) for place in sys.path])  # noqa: PTH100

    async def __aenter__(self) -> Decoders:
        for _ in range(self._count):
            self._free.put_nowait(None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(decoder.stop() for decoder in list(self._all)))

    async def decode(self, body: Body) -> Decoded:
        """Decode a body and tell its facts. Raises `DecodeError`, and `RelsimError` if no process can be started."""
        answer, payload = await self._asked(body, {"reencode": self._options.reencode})
        return Decoded(ImageFacts(**answer["facts"]), answer["one_colour"], bytes(payload) or None)

    async def pixels(self, body: Body, *, side: int | None = None) -> Image.Image:
        """Decode a body to an upright RGB picture, its longest side at most `side`. Errors are those of `decode`.

        Nothing of the file is decoded in this process.
        """
        from PIL import Image

        answer, payload = await self._asked(body, {"pixels": True, "side": side})
        return await asyncio.to_thread(Image.frombytes, "RGB", (answer["width"], answer["height"]), payload)

    async def _asked(self, body: Body, wanted: Mapping[str, Any]) -> tuple[dict[str, Any], bytearray]:
        """The answer and its bytes to a request for what is `wanted` of a body."""
        try:
            return await self._once(body, wanted)
        except _DiedError as death:
            if death.hung:
                reason = f"decoding it takes more than {self._options.decode_timeout:g} s"
                raise DecodeError(Status.TIMEOUT, reason) from death
            # It may have been killed for what another one did to the memory.
            try:
                return await self._once(body, wanted)
            except _DiedError as again:
                raise DecodeError(Status.DAMAGED, f"the process that decodes it dies ({again})") from again

    async def _once(self, body: Body, wanted: Mapping[str, Any]) -> tuple[dict[str, Any], bytearray]:
        decoder = await self._free.get()
        try:
            if decoder is None:
                decoder = await _Decoder.start(self._code)
                self._all.add(decoder)
            return await decoder.decode(body, self._options, wanted)
        except DecodeError:
            raise
        except BaseException:
            # Between a request and its answer a process cannot serve another row.
            if decoder is not None:
                self._all.discard(decoder)
                await decoder.stop()
                decoder = None
            raise
        finally:
            self._free.put_nowait(decoder)


class _DiedError(Exception):
    """A process ended before it had answered."""

    def __init__(self, code: int | None, *, hung: bool) -> None:
        super().__init__(_cause(code))
        self.hung = hung


class _Decoder:
    """One process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        if process.stdin is None or process.stdout is None:  # never: both were asked for
            raise RelsimError("a process for decoding has no pipes")
        self._process = process
        self._requests, self._answers = process.stdin, process.stdout

    @classmethod
    async def start(cls, code: str) -> _Decoder:
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                code,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,
                # One picture, one thread: there are as many processes as cores.
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
            decoder = cls(process)
            await asyncio.wait_for(decoder._receive(), _START)
        except (OSError, asyncio.TimeoutError, _DiedError) as error:
            raise RelsimError(f"no process for decoding can be started: {error}") from error
        return decoder

    async def decode(
        self, body: Body, options: DownloadOptions, wanted: Mapping[str, Any]
    ) -> tuple[dict[str, Any], bytearray]:
        request = {
            "file": None if body.path is None else str(body.path),
            "size": 0 if body.path is not None else body.size,
            "max_bytes": options.max_bytes,
            "max_pixels": options.max_pixels,
            "seconds": options.decode_timeout,
            "reencode": None,
            **wanted,
        }
        try:
            answer, payload = await asyncio.wait_for(self._ask(request, body), options.decode_timeout + _GRACE)
        except asyncio.TimeoutError as error:
            raise _DiedError(None, hung=True) from error
        if "status" in answer:
            raise DecodeError(Status(answer["status"]), answer["reason"])
        return answer, payload

    async def stop(self) -> None:
        """End the process, by force."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._requests.close()
        await self._process.wait()

    async def _ask(self, request: Mapping[str, Any], body: Body) -> tuple[dict[str, Any], bytearray]:
        text = json.dumps(request).encode()
        try:
            self._requests.write(LENGTH.pack(len(text)) + text)
            if body.path is None:
                for piece in body.pieces():
                    self._requests.write(piece)
            await self._requests.drain()
        except (BrokenPipeError, ConnectionResetError):
            pass  # the answer's end tells of it
        return await self._receive()

    async def _receive(self) -> tuple[dict[str, Any], bytearray]:
        try:
            head = await self._answers.readexactly(LENGTH.size)
            answer = json.loads(await self._answers.readexactly(*LENGTH.unpack(head)))
            return answer, await self._payload(answer["size"])
        except asyncio.IncompleteReadError as error:
            code = await self._process.wait()
            raise _DiedError(code, hung=code == -signal.SIGALRM) from error

    async def _payload(self, size: int) -> bytearray:
        """So many bytes. They are gathered in one place: a stream that is read at once holds them twice."""
        gathered = bytearray(size)
        at = 0
        while at < size:
            piece = await self._answers.read(min(_PIECE, size - at))
            if not piece:
                raise asyncio.IncompleteReadError(b"", size - at)
            gathered[at : at + len(piece)] = piece
            at += len(piece)
        return gathered


def _cause(code: int | None) -> str:
    if code is None:
        return "it hangs"
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
