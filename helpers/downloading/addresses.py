"""Where a row of a manifest may lead: to the public internet, not into this machine or its network.

A name is checked by what it resolves to, and the connection goes to that very address: a name that
answers something else the second time it is asked gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket

_LAST_FOUR_BYTES = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("::/96"))
"""IPv6 addresses that end in an IPv4 address: those that NAT64 translates, and an older form."""
_LOCAL_TRANSLATION = ipaddress.ip_network("64:ff9b:1::/48")
"""What NAT64 translates within one network; Python 3.11 takes it for public."""


class Refusal(Exception):  # noqa: N818 - an outcome of a row, not a fault of the program
    """A row that ends without a clip.

    Attributes:
        status: One of `helpers.download.STATUSES`.
        reason: One short plain sentence.
    """

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


def require_public(host: str, port: int) -> list[tuple]:
    """Resolves a name and refuses it if any of its addresses is not a public one.

    Args:
        host: Name or number.
        port: Port that a connection is meant for.

    Returns:
        What `socket.getaddrinfo` says about it.

    Raises:
        Refusal: It leads into this machine or its own network.
        OSError: There is no such name.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label of more than 63 characters
        raise Refusal("rejected", "The address is not valid.") from error
    if not all(is_public(place[0]) for *_, place in found):
        raise Refusal(
            "rejected", f"{host[:30]} is in this machine or its own network, which is refused."
        )
    return found


def connect(
    address: tuple[str, int], timeout: float | None = None, source_address: object = None
) -> socket.socket:
    """Connects like `socket.create_connection`, but to public addresses only.

    Args:
        address: Host and port.
        timeout: Longest wait for each address, in seconds.
        source_address: Not used; `http.client` passes it.

    Raises:
        Refusal: The host leads into this machine or its own network.
        OSError: There is no connection.
    """
    trouble: OSError | None = None
    for family, kind, protocol, _, place in require_public(*address):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(timeout)
            connection.connect(place)
            return connection
        except OSError as error:
            connection.close()
            trouble = error
    raise trouble or OSError("no address")


def is_public(text: str) -> bool:
    """Tells whether a number is an address of the public internet.

    Args:
        text: Such as `8.8.8.8` or `2001:db8::1`.

    Raises:
        ValueError: It is a name, or no address at all.
    """
    address = ipaddress.ip_address(text.split("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        address = _held(address) or address
        if address in _LOCAL_TRANSLATION:
            return False
    return address.is_global and not address.is_multicast


def _held(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that the way to an IPv6 address ends at; None where it has none in it."""
    if any(address in network for network in _LAST_FOUR_BYTES):
        return ipaddress.IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour
