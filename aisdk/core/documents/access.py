"""What documents may be read from: which schemes, hosts, addresses and folders."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aisdk.errors import Unreadable

__all__ = ["Access", "is_public"]

# What ``is_global`` lets pass, in some versions of Python at least, and nobody should reach:
# protocol assignments, the relays of 6to4, Teredo and 6to4 themselves (they carry other
# addresses), documentation. All that IPv6 holds outside 2000::/3 is refused as a whole.
REFUSED: Final = tuple(
    map(
        ipaddress.ip_network,
        ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    )
)
UNICAST: Final = ipaddress.ip_network("2000::/3")
# An IPv4 address in the last four bytes: as sockets write it, and as NAT64 translates it.
CARRIERS: Final = tuple(map(ipaddress.ip_network, ("::ffff:0:0/96", "64:ff9b::/96")))
ISATAP: Final = 0x5EFE  # before an IPv4 address in the lower half, perhaps with one bit set
ISATAP_BIT: Final = 0x02000000


@dataclass(frozen=True, slots=True)
class Access:
    """What ``documents.add`` may reach: a client's settings, the same for all its tenants.

    Attributes:
        schemes: Of URLs, in lower case.
        hosts: Names that http and https may reach, exact or as ``*.example.org``; any when empty.
        private: Whether they may reach addresses that are not public.
        folders: Resolved folders that files may be read from; any when empty.
        timeout_s: How long fetching one URL may take.
    """

    schemes: frozenset[str]
    hosts: tuple[str, ...] = ()
    private: bool = False
    folders: tuple[Path, ...] = ()
    timeout_s: float = 60

    def check_scheme(self, scheme: str) -> None:
        """Lets a URL's scheme pass.

        Raises:
            Unreadable: It is not allowed.
        """
        if scheme not in self.schemes:
            raise Unreadable(
                "URLs of this scheme are not allowed.",
                hint=f"AISDK_URL_SCHEMES names those that are: {', '.join(sorted(self.schemes))}.",
                reason="scheme_refused",
            )

    def check_host(self, host: str) -> None:
        """Lets a host's name pass, or its address where that is written in place of a name.

        Raises:
            Unreadable: It is not allowed.
        """
        name = host.lower().rstrip(".")
        if self.hosts and not any(_matches(name, allowed) for allowed in self.hosts):
            raise Unreadable(
                "This host is not allowed.",
                hint="AISDK_URL_HOSTS names those that are.",
                reason="host_refused",
            )

    def allows_address(self, address: str) -> bool:
        """Whether a connection to this address may be opened."""
        return self.private or is_public(address)

    def folder_of(self, path: Path) -> Path | None:
        """The allowed folder that a resolved path lies in; ``None`` where all are allowed.

        Raises:
            Unreadable: It lies in none.
        """
        if not self.folders:
            return None
        for folder in self.folders:
            if path.is_relative_to(folder):
                return folder
        raise Unreadable(
            "A path lies outside the folders that may be read.",
            hint="AISDK_SOURCE_FOLDERS names them.",
            reason="outside_folder",
        )


def _matches(name: str, allowed: str) -> bool:
    return name.endswith(allowed[1:]) if allowed.startswith("*.") else name == allowed


def is_public(address: str) -> bool:
    """Whether an address belongs to the public internet; what is no plain address does not.

    Source:
        IANA's registries of special-purpose addresses, RFC 6890; RFC 6052 for NAT64.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if any(ip in carrier for carrier in CARRIERS):
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
        if ip not in UNICAST or (int(ip) >> 32) & 0xFFFFFFFF & ~ISATAP_BIT == ISATAP:
            return False
    return ip.is_global and not ip.is_multicast and not any(ip in each for each in REFUSED)
