"""Where the server listens, how it is called there, and that answers are sent at once: by real sockets."""

import asyncio
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from contextlib import closing, contextmanager
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from relsim.errors import RelsimError
from relsim.vectors import VectorTable, build_index
from relsim.web.server import address, listen
from relsim.web.settings import ServerSettings

TOKEN = "a-token-of-our-own"
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - listened on for a moment, with a token


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as one:
            one.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


def test_answers_are_sent_without_waiting_for_acknowledgements():
    async def accepted():
        delays = []

        class Connection(asyncio.Protocol):
            def connection_made(self, transport):
                delays.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                transport.close()

        listening = listen(ServerSettings(port=0))
        async with await asyncio.get_running_loop().create_server(Connection, sock=listening):
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            await reader.read()
            writer.close()
        return delays

    assert asyncio.run(accepted()) == [1]


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", "localhost"),
        pytest.param("::1", "[::1]", marks=needs_ipv6),
        pytest.param("[::1]", "[::1]", marks=needs_ipv6),
        pytest.param("0:0:0:0:0:0:0:1", "[0:0:0:0:0:0:0:1]", marks=needs_ipv6),
    ],
)
def test_the_address_that_is_printed_leads_to_the_socket(host, shown):
    settings = ServerSettings(host=host, port=0, token=TOKEN)
    with listen(settings) as listening:
        printed = urlsplit(address(settings, listening))
        assert printed.netloc == f"{shown}:{listening.getsockname()[1]}"
        assert printed.query == f"token={TOKEN}"
        assert TOKEN not in address(settings, listening, with_token=False)
        socket.create_connection((printed.hostname, printed.port), timeout=10).close()


@pytest.mark.parametrize("host", [EVERYWHERE[0], pytest.param(EVERYWHERE[1], marks=needs_ipv6)])
def test_all_addresses_are_printed_as_one_that_leads_here(host):
    settings = ServerSettings(host=host, port=0, token=TOKEN)
    with listen(settings) as listening:
        printed = urlsplit(address(settings, listening))
        assert printed.hostname not in (None, *EVERYWHERE)
        socket.create_connection((printed.hostname, printed.port), timeout=10).close()
        socket.create_connection(("127.0.0.1", printed.port), timeout=10).close()


@pytest.mark.parametrize("host", ["no such name", "203.0.113.9", "[::1", "::1]"])
def test_what_cannot_be_listened_on_is_told(host):
    with pytest.raises(RelsimError, match="cannot be listened on"):
        listen(ServerSettings(host=host, port=0, token=TOKEN))


@contextmanager
def started(collection, cache, *flags, **environment):
    """A server, the port that it has, and what it has printed when it is ready."""
    command = [sys.executable, "-m", "relsim", "serve", collection.relation, "--attributes", collection.look]
    known = {**os.environ, "OMP_NUM_THREADS": "1", "RELSIM_CACHE": str(cache), **environment}
    with subprocess.Popen(
        [*command, "--port", "0", *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=known
    ) as running:
        line = running.stdout.readline()
        said = [line]
        try:
            port = re.search(r":(\d+)(/|$)", line)
            assert port, line + running.stderr.read()
            yield int(port.group(1)), said
        finally:
            running.terminate()
            said += running.communicate(timeout=60)


def status(there, port, host, path="/api/collection", token=TOKEN):
    """The status of an answer to a request to an address under a name."""
    with closing(http.client.HTTPConnection(there, port, timeout=60)) as connection:
        connection.request("GET", path, headers={"Host": host, "Authorization": f"Bearer {token}"})
        return connection.getresponse().status


@pytest.mark.parametrize("host", [EVERYWHERE[0], pytest.param(EVERYWHERE[1], marks=needs_ipv6)])
def test_a_server_on_all_addresses_answers_by_each_of_them(collection, cache, host):
    with started(collection, cache, "--host", host, "--token", TOKEN) as (port, said):
        own = urlsplit(re.search(r"http://\S+", said[0]).group())
        assert status(own.hostname, port, own.netloc) == 200
        # A telephone may see it behind another address yet; a name that is no address may be anybody's.
        names = [f"127.0.0.1:{port}", "198.51.100.7", "[2001:db8::7]:80", socket.gethostname(), "localhost"]
        assert {name: status("127.0.0.1", port, name) for name in names} == dict.fromkeys(names, 200)
        foreign = ["evil.example", "127.0.0.1.evil.example", "[::1", "1.2.3", "::1"]
        assert {name: status("127.0.0.1", port, name) for name in foreign} == dict.fromkeys(foreign, 421)
        assert status("127.0.0.1", port, "198.51.100.7", token="wrong") == 401


@needs_ipv6
def test_a_server_on_an_ipv6_address_answers_by_it(collection, cache):
    with started(collection, cache, "--host", "::1") as (port, said):
        assert f" http://[::1]:{port}" in said[0]
        for name in (f"[::1]:{port}", "[::1]", f"[0:0:0:0:0:0:0:1]:{port}", f"localhost:{port}"):
            assert status("::1", port, name) == 200
        assert status("::1", port, "[2001:db8::7]") == 421


def test_a_token_of_the_environment_is_printed_nowhere(collection, cache):
    with started(collection, cache, "--log-requests", RELSIM_TOKEN=TOKEN) as (port, said):
        assert status("127.0.0.1", port, "localhost", token="") == 401
        assert status("127.0.0.1", port, "localhost") == 200
        assert status("127.0.0.1", port, "localhost", f"/?token={TOKEN}", "") == 303
        assert status("127.0.0.1", port, f"localhost/{TOKEN}", f"/nothing?token={TOKEN}", "") == 421
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(b"no request\r\n\r\n")
            assert b" 400 " in connection.recv(1_000)
    told = "".join(said)
    lines = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    assert "Invalid HTTP request received." in [line.get("message") for line in lines]
    assert "/api/collection" in [line.get("route") for line in lines]
    assert "RELSIM_TOKEN" in told
    assert TOKEN not in told


def test_the_command_takes_an_index_and_tells_why_it_does_not(collection, cache, named, tmp_path):
    folder = tmp_path / "relation"
    shutil.copytree(collection.relation, folder)
    table = VectorTable.open(folder)
    index = build_index(table, "binary", queries=5, shortlist=20)
    served = SimpleNamespace(relation=folder, look=collection.look)

    def path():
        with (
            started(served, cache) as (port, said),
            closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection,
        ):
            connection.request("GET", "/api/search?text=a+ring&count=3", headers={"Host": "localhost"})
            told = json.loads(connection.getresponse().read())["path"]
        return told, "".join(said)

    told, said = path()
    assert (told["kind"], told["recall"]["value"]) == ("binary", index.facts.recall.value)
    assert "searched exactly" not in said
    with table:
        table.append("new", named(["new"]), table.vectors[:1])
    told, said = path()
    assert told["kind"] == "exact"
    assert told["why"] in said
    assert f"the index holds for {len(table) - 1} of {len(table)} rows" in said
