"""Wires: the two veths by which a benchmark's packets enter a switch and leave it."""

from pathlib import Path

from pyroute2 import IPRoute

SENDER, ENTRY, EXIT, RECEIVER = "bench-tx", "bench-in", "bench-out", "bench-rx"


class Wires:
    """See the module; all four ends are up, and say nothing by themselves."""

    def __init__(self) -> None:
        self._route = IPRoute()
        try:
            for outer, inner in ((SENDER, ENTRY), (RECEIVER, EXIT)):
                self._route.link("add", ifname=outer, kind="veth", peer={"ifname": inner})
                for link in (outer, inner):
                    # No router solicitations: each would be an upcall.
                    Path(f"/proc/sys/net/ipv6/conf/{link}/disable_ipv6").write_text("1")
                    index = self._route.link_lookup(ifname=link)[0]
                    self._route.link("set", index=index, state="up")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove them."""
        for link in (SENDER, RECEIVER):
            for index in self._route.link_lookup(ifname=link):
                self._route.link("del", index=index)
        self._route.close()
