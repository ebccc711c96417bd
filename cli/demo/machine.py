"""The machine's own network as text, to show that it is the same before and after."""

from pathlib import Path

_NET = Path("/proc/self/net")


def network() -> dict[str, str]:
    """Return links, addresses, routes, the resolver and named namespaces, as comparable text."""
    return {
        "links": "\n".join(sorted(_links())),
        "IPv4 addresses and routes": _read(_NET / "fib_trie") + _read(_NET / "route"),
        "IPv6 addresses": _read(_NET / "if_inet6"),
        "IPv6 routes": "\n".join(_columns(_read(_NET / "ipv6_route"), 5)),
        "resolver": _read(Path("/etc/resolv.conf")),
        "named namespaces": "\n".join(_names(Path("/run/netns"))),
    }


def differences(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return what of a machine's network is not what it was."""
    return [what for what, text in before.items() if after[what] != text]


def _links() -> list[str]:
    lines = _read(_NET / "dev").splitlines()[2:]  # two lines of headings
    return [line.partition(":")[0].strip() for line in lines]


def _columns(text: str, most: int) -> list[str]:
    """Return the first columns of each line: counters follow."""
    return [" ".join(line.split()[:most]) for line in text.splitlines()]


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""  # no IPv6 here, or no resolver
