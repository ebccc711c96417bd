"""The machine's own network, as seen before and after a test: labs must not touch it."""

from pathlib import Path
from typing import Any

from pyroute2 import IPRoute

_ADDRESS = ("IFA_ADDRESS", "IFA_LOCAL", "IFA_LABEL", "IFA_FLAGS", "IFA_BROADCAST")
_LINK = ("IFLA_IFNAME", "IFLA_MTU", "IFLA_ADDRESS", "IFLA_MASTER", "IFLA_LINK")
_ROUTE = ("RTA_DST", "RTA_GATEWAY", "RTA_OIF", "RTA_PREFSRC", "RTA_PRIORITY", "RTA_TABLE")
_RULE = ("FRA_TABLE", "FRA_PRIORITY", "FRA_SRC", "FRA_DST", "FRA_FWMARK", "FRA_IFNAME")


def snapshot() -> str:
    """Return links, addresses, routes, rules, resolver and named namespaces as comparable text."""
    with IPRoute() as route:
        parts = {
            "links": _rows(route.get_links(), ("index", "flags"), _LINK),
            "addresses": _rows(
                route.get_addr(), ("family", "index", "prefixlen", "scope"), _ADDRESS
            ),
            "routes": _rows(route.get_routes(), ("family", "dst_len", "type", "proto"), _ROUTE),
            "rules": _rows(route.get_rules(), ("family", "action"), _RULE),
        }
    resolver = Path("/etc/resolv.conf")
    named = Path("/run/netns")
    parts["resolver"] = [resolver.read_text() if resolver.exists() else ""]
    parts["namespaces"] = sorted(str(each) for each in named.iterdir()) if named.is_dir() else []
    return "\n".join(f"{name}: {row}" for name, rows in parts.items() for row in rows)


def _rows(messages: Any, fields: tuple[str, ...], attributes: tuple[str, ...]) -> list[str]:
    return sorted(
        " ".join(
            [f"{name}={message[name]}" for name in fields]
            + [f"{name}={message.get_attr(name)}" for name in attributes]
        )
        for message in messages
    )
