"""What the edge of an agent tells operators of by its log."""

from typing import cast

from structlog.testing import capture_logs

from actors.edge.agent_edge import AgentEdge
from actors.edge.datapath_link import DatapathLink
from actors.messages.netlink import PortFailed


class NoLink:
    """A datapath's link that has nothing to do with what is emitted."""

    def perform(self, output: object) -> bool:
        del output
        return False


def test_a_port_that_the_datapath_refuses_is_named_with_the_reason() -> None:
    edge = AgentEdge(cast("DatapathLink", NoLink()), lambda: None, lambda: None)
    with capture_logs() as logs:
        edge.perform(PortFailed("ayatori-vxlan", 98))
        edge.perform(PortFailed("ayatori-gre", 97))
    assert [(line["log_level"], line["port"], line["error"]) for line in logs] == [
        ("warning", "ayatori-vxlan", "Address already in use"),
        (
            "warning",
            "ayatori-gre",
            "the datapath has no gre tunnels (the kernel's module vport-gre)",
        ),
    ]
