"""Which addresses are fetched: http and https to public hosts, and nothing on the way to anything else.

`Policy.parse` judges the text of an address, `Policy.allows` an IP address. The second is asked for every address that
a name resolves to and once more for the very address that a socket is about to connect to (relsim.data.download.
connections), so that neither a redirect nor a name server that changes its mind leads anywhere else.

Refused are private, loopback, link-local, shared (CGNAT), reserved and multicast addresses, those of cloud metadata
services, and IPv6 addresses that wrap one of these (mapped, compatible, 6to4, NAT64).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from yarl import URL

LONGEST_URL = 8_192
SCHEMES = ("http", "https")
_SHOWN = 80
_HOST = re.compile(r"[A-Za-z0-9._:%-]+")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# By the registries of special-purpose addresses (IANA, 2026), and not by `is_global`, which differs between versions of
# Python. Cloud metadata services are among them: 169.254.169.254, 100.100.100.200, 192.0.0.192, fd00:ec2::254.
_NOT_PUBLIC_4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
        "168.63.129.16/32",  # Azure's agent, which answers machines in Azure alone
    )
)
_PUBLIC_6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(ipaddress.IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "3fff::/20"))
_WRAPS_IPV4 = (
    ipaddress.IPv6Network("64:ff9b::/96"),  # NAT64 (RFC 6052)
    ipaddress.IPv6Network("::/96"),  # IPv4-compatible, deprecated
)
_SENT_AS_IT_IS = "!#$%&'()*+,/:;=?@[]~"  # what RFC 3986 gives a meaning, and % of what is quoted already


class RefusedError(ValueError):
    """An address that the policy refuses; the message is the reason."""


class AddressRefusedError(OSError):
    """A host that has refused addresses only. An OSError, because it passes through the code that connects."""


class Policy:
    """The rules. `allow_networks` are allowed beside public addresses; with `allow_private` every address is."""

    def __init__(self, *, allow_private: bool = False, allow_networks: Sequence[str] = ()) -> None:
        self._all = allow_private
        self._networks = tuple(ipaddress.ip_network(text) for text in allow_networks)

    def parse(self, text: str | None) -> URL:
        """The URL that the text means, without its fragment; what is quoted stays so. Raises `RefusedError`."""
        from yarl import URL

        if not text or not (text := text.strip()):
            raise RefusedError("there is no address")
        if len(text) > LONGEST_URL:
            raise RefusedError(f"an address of {len(text):,} characters, more than {LONGEST_URL:,}")
        if not text.isprintable():
            raise RefusedError("an address with control characters or line breaks")
        try:
            parts = urlsplit(text)
            place = URL(f"{parts.scheme}://{parts.netloc}")
            # The port is read when it is asked for, the host checked when it is encoded.
            _, host = place.port, place.raw_host
            query = f"?{quote(parts.query, _SENT_AS_IT_IS)}" if parts.query else ""
            url = URL(f"{place.scheme}://{place.raw_authority}{quote(parts.path, _SENT_AS_IT_IS)}{query}", encoded=True)
        except ValueError as error:
            raise RefusedError(f"not an address: {_short(str(error))}") from error
        self.check(url)
        if not host:
            raise RefusedError("an address without a host")
        if not _HOST.fullmatch(host):
            raise RefusedError(f"not the name of a host: {_short(host)}")
        return url

    def check(self, url: URL) -> None:
        """Judge a URL, as far as its text goes. Raises `RefusedError`."""
        if url.scheme not in SCHEMES:
            raise RefusedError(f"an address of kind {_short(url.scheme) or 'none'}; only http and https are fetched")
        if url.raw_user is not None or url.raw_password is not None:
            raise RefusedError("an address with a user name or password in it")
        if url.port is not None and not 1 <= url.port <= 65_535:
            raise RefusedError(f"port {url.port} does not exist")
        literal = _literal(url.raw_host or "")
        if literal is not None and not self._allowed(literal):
            raise RefusedError(f"{literal} is no public address")

    def allows(self, address: str) -> bool:
        """Whether an IP address, as text, may be connected to."""
        literal = _literal(address)
        return literal is not None and self._allowed(literal)

    def _allowed(self, address: _Address) -> bool:
        if self._all:
            return True
        inner = _inner(address)
        if any(one in network for network in self._networks for one in (address, inner)):
            return True
        return _is_public(inner)


def _literal(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None


def _inner(address: _Address) -> _Address:
    """The IPv4 address that an IPv6 address stands for, else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    wrapped = address.ipv4_mapped or address.sixtofour
    if wrapped is None and any(address in network for network in _WRAPS_IPV4) and int(address) > 1:
        wrapped = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return wrapped or address


def _is_public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _PUBLIC_6 and not any(address in network for network in _NOT_PUBLIC_6)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
