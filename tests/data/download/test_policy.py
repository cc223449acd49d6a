"""Addresses: which are fetched, in every spelling, and that no other is ever connected to."""

import socket
import sys
from dataclasses import replace

import pytest

from relsim.data.download.policy import AddressRefusedError, Policy, RefusedError
from relsim.data.records import Status

# Every spelling of an address that must not be reached, by what it is.
FORBIDDEN = {
    "loopback": ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", "::127.0.0.1"],
    "private": ["10.0.0.1", "172.16.9.9", "192.168.1.1", "fd00::1", "fc00::1", "fec0::1"],
    "link-local": ["169.254.0.1", "fe80::1", "fe80::1%eth0"],
    "metadata": [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "fd00:ec2::254",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
    ],
    "shared": ["100.64.0.1", "100.127.255.254"],
    "multicast": ["224.0.0.1", "239.1.1.1", "ff02::1", "ff0e::1"],
    "reserved": [
        "0.0.0.0",  # noqa: S104
        "0.1.2.3",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "192.88.99.1",
        "2001:db8::1",
        "198.18.0.1",
    ],
    "no address": ["", "example.org", "1.2.3", "1.2.3.4.5"],
}
PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:2800:220:1::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]
# As they may stand in a URL; what each means, by inet_aton's rules, is 127.0.0.1, 169.254.169.254 or 10.0.0.1.
SPELLINGS = [
    "2130706433",
    "0x7f000001",
    "017700000001",
    "0177.0.0.1",
    "0x7f.1",
    "127.1",
    "127.0.1",
    "2852039166",
    "0xa9.0xfe.0xa9.0xfe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "0xA000001",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:a9fe:a9fe]",
    "[::1]",
    "127.0.0.1.",
    "\uff11\uff12\uff17.0.0.1",
    "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460",
    "127\u30020\u30020\u30021",
    "localhost",
]


@pytest.fixture(scope="module")
def connected():
    """Every address that this process connects to, by Python's own audit."""
    seen = []

    def hear(event, arguments):
        if event == "socket.connect":
            seen.append(arguments[1])

    sys.addaudithook(hear)  # for as long as the process lives
    return seen


@pytest.mark.parametrize("address", [address for kind in FORBIDDEN.values() for address in kind])
def test_what_is_not_public_is_not_allowed(address):
    assert not Policy().allows(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address):
    assert Policy().allows(address)


def test_private_addresses_can_be_allowed_all_or_by_network():
    assert all(Policy(allow_private=True).allows(address) for address in FORBIDDEN["metadata"])
    some = Policy(allow_networks=["10.1.0.0/16", "fd00:1::/32"])
    wanted = {"10.1.2.3": True, "::ffff:10.1.2.3": True, "10.2.0.1": False, "fd00:1::9": True, "fd00:2::9": False}
    assert {address: some.allows(address) for address in wanted} == wanted


@pytest.mark.parametrize("host", [host for host in SPELLINGS if host != "localhost"])
def test_no_spelling_of_a_private_address_is_fetched(host, fetch, connected, web):
    """One row each would be slow; the resolver and the parser are asked as a request would ask them."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    from relsim.data.download.connections import CheckedResolver

    policy = Policy()
    try:
        url = policy.parse(f"http://{host}/a.jpg")
    except RefusedError:
        return
    with ThreadPoolExecutor(1) as lookups, pytest.raises((AddressRefusedError, socket.gaierror)):
        asyncio.run(CheckedResolver(policy, lookups).resolve(url.raw_host, 80, socket.AF_UNSPEC))


def test_refused_addresses_are_not_connected_to(web, fetch, connected):
    port = web.http.rpartition(":")[2]
    addresses = [f"http://{host}:{port}/ok/1.jpg" for host in [*SPELLINGS, "127.0.0.1", "169.254.169.254"]]
    connected.clear()
    rows, _ = fetch(*addresses, allow_private=False)
    assert {row.image_hash: row.status.value for row in rows if row.status is not Status.REFUSED} == {}
    assert [place for place in connected if isinstance(place, tuple)] == []


def test_no_redirect_leads_to_a_private_address(web, fetch, connected):
    """The server itself is allowed by its network; every other address on this machine is not."""
    targets = [
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.2/",
        "http://[::1]:1/",
        "http://2852039166/",
        "http://[::ffff:127.0.0.9]/",
        "//169.254.169.254/",
        "http://localhost:1/",
    ]
    hops = [f"/redirect?code={code}&to={target}" for target in targets for code in (302, 307)]
    connected.clear()
    rows, _ = fetch(*hops, "/redirect?to=/ok/3.jpg", allow_private=False, allow_networks=("127.0.0.1/32",))
    assert rows[-1].status is Status.OK
    *others, local = [row for row in rows[:-1] if "localhost" not in row.url_link], rows[-2]
    assert {row.status for row in others[0]} == {Status.REFUSED}
    # localhost is 127.0.0.1, which is allowed here, and has nothing on that port.
    assert local.status is Status.ERROR
    places = {place[0] for place in connected if isinstance(place, tuple)}
    assert places <= {"127.0.0.1"}


def test_a_name_server_that_changes_its_mind_gains_nothing(web, fetch, connected, monkeypatch):
    """A name that is public when it is first asked for and private ever after: what is connected to was judged."""
    real, answers = socket.getaddrinfo, []

    def turncoat(host, port, *arguments, **options):
        if host != "turncoat.example":
            return real(host, port, *arguments, **options)
        answers.append("93.184.216.34" if not answers else "127.0.0.1")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers[-1], port))]

    monkeypatch.setattr(socket, "getaddrinfo", turncoat)
    connected.clear()
    port = web.http.rpartition(":")[2]
    rows, _ = fetch(f"http://turncoat.example:{port}/ok/1.jpg", allow_private=False, connect_timeout=0.3, retries=2)
    assert rows[0].status is not Status.OK
    assert {place[0] for place in connected if isinstance(place, tuple)} <= {"93.184.216.34"}


def test_the_socket_itself_is_checked(web, fetch, connected, monkeypatch):
    """The last look is at the address of the socket, whatever came before it."""
    from relsim.data.download.connections import CheckedResolver

    async def careless(self, host, port=0, family=socket.AF_INET):
        found = {"hostname": host, "host": "127.0.0.1", "port": port, "family": socket.AF_INET, "proto": 6}
        return [{**found, "flags": socket.AI_NUMERICHOST}]

    monkeypatch.setattr(CheckedResolver, "resolve", careless)
    connected.clear()
    rows, _ = fetch("http://careless.example:80/a.jpg", allow_private=False)
    assert (rows[0].status, connected) == (Status.REFUSED, [])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "no address"),
        ("   ", "no address"),
        ("example.org/a.jpg", "only http and https"),
        ("file:///etc/passwd", "only http and https"),
        ("javascript:alert(1)", "only http and https"),
        ("data:image/png;base64,AAAA", "only http and https"),
        ("http://", "without a host"),
        ("http:///a.jpg", "without a host"),
        ("http://a@example.org/", "user name or password"),
        ("http://:pw@example.org/", "user name or password"),
        ("http://example.org:0/", "port 0"),
        ("http://example.org:65536/", "not an address"),
        ("http://example.org:-1/", "not an address"),
        ("http://[::1", "not an address"),
        ("http://exa mple.org/", "not the name of a host"),
        ("http://example.org/\x00", "control characters"),
        ("http://example.org/" + "a" * 9_000, "9,019 characters"),
    ],
)
def test_what_is_no_public_web_address_is_refused_with_its_reason(text, reason):
    with pytest.raises(RefusedError, match=reason):
        Policy().parse(text)


def test_addresses_are_requested_as_the_list_has_them():
    parse = Policy().parse
    assert str(parse(" https://example.org/a%20b.jpg?x=1&y=%2F#part ")) == "https://example.org/a%20b.jpg?x=1&y=%2F"
    signed = "https://a.example/x?sig=a%2Bb%2fc%3D&name=(1)!*~%7E"
    assert str(parse(signed)) == signed
    assert str(parse("https://a.example/a b|c?d=é")) == "https://a.example/a%20b%7Cc?d=%C3%A9"
    assert str(parse("HTTPS://EXAMPLE.org")) == "https://example.org"
    assert str(parse("https://bücher.example/größe.jpg")) == "https://xn--bcher-kva.example/gr%C3%B6%C3%9Fe.jpg"


def test_options_that_make_no_sense_are_refused(quick):
    from relsim.errors import SourceError

    wrong = [
        {"workers": 0},
        {"total_timeout": 0},
        {"retries": -1},
        {"layout": "zip"},
        {"reencode": "png"},
        {"allow_networks": ("10.0.0.0/99",)},
        {"retry": frozenset({Status.OK})},
        {"user_agent": "a\nb"},
    ]
    for options in wrong:
        with pytest.raises(SourceError):
            replace(quick, **options)
