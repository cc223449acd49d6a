"""Memory that is free goes back to the system, in a process that serves and in no other."""

import asyncio
import subprocess
import sys

import pytest

from relsim.web import heap, state
from relsim.web.settings import ServerSettings

# Blocks that are too small to be maps of their own, of which the last one keeps the end of the heap.
FREED = """
import ctypes
from relsim.web import heap

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6

library = ctypes.CDLL(None)
library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
blocks = [library.malloc(60_000) for _ in range(3_000)]
for block in blocks:
    ctypes.memset(ctypes.c_void_p(block), 1, 60_000)
for block in blocks[:-1]:
    library.free(block)
before = resident()
print(heap.give_back(), before - resident(), heap.have_few_heaps())
"""


@pytest.mark.skipif(heap._glibc() is None, reason="another C library")
def test_what_is_free_goes_back():
    ran = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True)
    given, megabytes, few = ran.stdout.split()
    assert (given, few) == ("True", "True")
    assert float(megabytes) > 150


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(heap, "_glibc", lambda: None)
    assert (heap.give_back(), heap.have_few_heaps()) == (False, False)


@pytest.mark.parametrize("serves", [True, False])
def test_only_a_server_tidies_its_process_now_and_then(library, models, monkeypatch, serves):
    times = []
    monkeypatch.setattr(heap, "give_back", lambda: times.append(1))
    monkeypatch.setattr(state, "TIDIED", 0.01)

    async def run():
        async with state.State(library, models, ServerSettings()) as running:
            running.has_process = serves
            await asyncio.sleep(0.5)

    asyncio.run(run())
    assert (len(times) > 1) is serves
