"""PortActivity: which of a router's exterior ports some host has active, out of the active table.

Part of the router's actor: it changes the actor's `active`, asks the state tables for the rows of
the router's own ports only, and tells the router when one turns.
"""

from typing import TYPE_CHECKING

from actors.devices.routing_table import is_exterior
from actors.messages.tables import RowsChanged, SubscribeRow, UnsubscribeRow
from actors.state.tables import ACTIVE_TABLE, decode_active
from actors.state.topology import Router
from actors.values import ActorName, PortId

if TYPE_CHECKING:
    from actors.devices.router import RouterActor

_STATE_TABLES = ActorName("state-tables")


class PortActivity:
    """See the module."""

    def __init__(self, router: "RouterActor") -> None:
        self._router = router

    @property
    def active(self) -> frozenset[PortId]:
        """The ports that some host has active, as far as was told."""
        return frozenset(port for port, active in self._router.state.active.items() if active)

    @property
    def all_told(self) -> bool:
        """Whether it is known of each exterior port, active or not."""
        config = self._router.state.config
        return config is None or _exterior(config) <= self._router.state.active.keys()

    def follow(self, old: Router | None, new: Router | None) -> None:
        """Ask about exterior ports that came, and no more about those that went."""
        router = self._router
        before, after = _exterior(old), _exterior(new)
        for port in sorted(before - after):
            router.state.active.pop(port, None)
            router.send(_STATE_TABLES, UnsubscribeRow(router.name, ACTIVE_TABLE, port.encode()))
        for port in sorted(after - before):
            router.send(_STATE_TABLES, SubscribeRow(router.name, ACTIVE_TABLE, port.encode()))

    def changed(self, message: RowsChanged) -> None:
        """Take in what the active table says of the router's ports."""
        router = self._router
        active = router.state.active
        exterior = _exterior(router.state.config)
        turned: list[PortId] = []
        for row in message.rows:
            try:
                port = PortId(row.key.decode())
                is_active = row.value is not None
                if row.value is not None:
                    decode_active(row.key, row.value)
            except ValueError:
                router.count("malformed active row")
                is_active = active.get(port, False)
            if port not in exterior:
                continue
            if is_active != active.get(port, False):
                turned.append(port)
            active[port] = is_active
        if router.state.known:
            if turned:
                inactive = frozenset(port for port in turned if not active[port])
                router.ports_turned(inactive)
        elif self.all_told:
            router.begin(message.at)


def _exterior(config: Router | None) -> frozenset[PortId]:
    return frozenset(
        port.id for port in (() if config is None else config.ports) if is_exterior(port)
    )
