"""The network by which a lab's hosts reach a store that is no file: who has which address. Pure."""

import ipaddress
from typing import Final

from cli.errors import CommandError, ExitStatus
from cli.lab.wanted import Lab

STORE_NETWORK: Final = ipaddress.IPv4Network("198.19.0.0/16")
"""A network for benchmarks (RFC 2544), its other half than the one that documents mostly take."""
STORE_ADDRESS: Final = "198.19.255.254"
"""Where the store is."""
_MOST_LINKS: Final = 65_000
"""Hosts' addresses are used again after so many."""


def host_address(number: int) -> str:
    """Return the address, with its prefix length, of the host that was made as number 1, 2, …."""
    place = (number - 1) % _MOST_LINKS + 1
    return f"{STORE_NETWORK[place]}/{STORE_NETWORK.prefixlen}"


def check_underlay(lab: Lab) -> None:
    """Raise CommandError USAGE if the underlay has an address of this network.

    Machines may have one: no host's own stack sees the virtual network.
    """
    for host in lab.hosts.values():
        for text in (*host.addresses, *(route.to for route in host.routes)):
            address = ipaddress.ip_interface(text).ip
            if address in STORE_NETWORK:
                raise CommandError(
                    f"host {host.name}: the underlay address {address} is in {STORE_NETWORK},"
                    " by which the hosts of a lab reach ZooKeeper: take another in tunnel_zones",
                    ExitStatus.USAGE,
                )
