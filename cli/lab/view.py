"""What a running lab is like right now: the keeper's answer and the store's active ports, joined."""

from contextlib import closing, suppress
from typing import NamedTuple

from actors.state.store.interface import Store, StoreError
from actors.state.store.open import open_store
from actors.state.tables import ACTIVE_TABLE, decode_active
from actors.values import HostId, PortId, stable_id
from cli.errors import CommandError, ExitStatus
from cli.inspection.agent_socket import AgentSocket
from cli.lab import control
from cli.lab.agents import AgentState
from cli.lab.registry import RunningLab

_PATIENCE = 30.0
"""Seconds: the keeper may be in the middle of a change."""


class MachineView(NamedTuple):
    """A machine: where its port is, and whether the port is active there."""

    host: str | None
    port: str
    active: bool | None
    """None if the store cannot be asked."""
    since: int
    """The store's number of the entry that says so; it grows each time a port turns active."""


class LabView(NamedTuple):
    """All agents and machines of a lab."""

    agents: dict[str, AgentState]
    machines: dict[str, MachineView]
    store_pid: int | None = None
    """The server's process, if it is the lab's own."""
    links: tuple[tuple[str, str], ...] = ()
    """By host, how its agent gets on with the store; no word of those that cannot be asked."""


class _Claim(NamedTuple):
    host: HostId
    seq: int


def _active_ports(store: Store) -> dict[PortId, _Claim]:
    """Return where each active port is; of several hosts' claims the latest. Raises StoreError."""
    ports = {}
    for entry in store.entries(ACTIVE_TABLE):
        try:
            port, active = decode_active(entry.key, entry.value)
        except ValueError:
            continue  # another program's row: no port of ours
        ports[port] = _Claim(active.host, entry.seq)
    return ports


def latest_claim(store: Store) -> int:
    """Return the number of the latest entry about active ports, 0 without. Raises CommandError."""
    try:
        return max((claim.seq for claim in _active_ports(store).values()), default=0)
    except StoreError as error:
        raise CommandError(str(error), ExitStatus.NOT_FOUND) from error


def open_lab_store(url: str) -> Store:
    """Open a store, which the caller closes. Raises CommandError NOT_FOUND."""
    try:
        return open_store(url)
    except StoreError as error:
        raise CommandError(str(error), ExitStatus.NOT_FOUND) from error


def look_once(lab: RunningLab) -> LabView:
    """Return how the lab is, also while its store is out of reach. Raises CommandError."""
    try:
        with closing(open_store(lab.store_url)) as store:
            active: dict[PortId, _Claim] | None = _active_ports(store)
    except StoreError:
        active = None
    return with_links(lab, _view(lab, active))


def with_links(lab: RunningLab, view: LabView) -> LabView:
    """Return the view with what the agents say of the store."""
    links = []
    for name, host in lab.hosts.items():
        with suppress(CommandError):
            links.append((name, _link(AgentSocket(name, host.control).status().get("store_link"))))
    return view._replace(links=tuple(links))


def _link(told: object) -> str:
    if not isinstance(told, dict):
        return ""
    since = told.get("since")
    return str(told.get("state", "")) + (f" since {since}" if since else "")


def look(lab: RunningLab, store: Store) -> LabView:
    """Return how the lab is, its store being open already. Raises CommandError."""
    try:
        return _view(lab, _active_ports(store))
    except StoreError as error:
        raise CommandError(str(error), ExitStatus.NOT_FOUND) from error


def _view(lab: RunningLab, active: dict[PortId, _Claim] | None) -> LabView:
    reply, _ = control.call(lab.files.control, {"op": "status"}, _PATIENCE)
    machines = {}
    for name, machine in reply["machines"].items():
        host, port = machine["host"], machine["port"]
        claim = None if active is None else active.get(PortId(stable_id("port", port)))
        here = claim is not None and host is not None and claim.host == stable_id("host", host)
        machines[name] = MachineView(
            host, port, None if active is None else here, claim.seq if claim is not None else 0
        )
    agents = {name: AgentState(**state) for name, state in reply["hosts"].items()}
    return LabView(agents, machines, reply["store_pid"])
