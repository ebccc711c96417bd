"""What an agent's process takes in memory when it knows 1,000 devices and 10,000 table entries.

Measured in a fresh process that has imported all that an agent runs, and is told of the devices
and rows as the store would: the topology is made in this process, not in that one.
"""

import gc
import subprocess
import sys

import msgspec

from actors.messages.netlink import NetlinkReplied
from actors.messages.tables import EntryState, TableChanged
from actors.messages.topology import ObjectState, TopologyChanged
from actors.state.document import compile_document, encode_object, object_key
from actors.state.tables import arp_table, encode_arp, encode_mac, mac_table
from actors.state.topology import Bridge, Router
from actors.values import ActorName, IpAddress, Mac
from benchmarks.measure import Figure
from benchmarks.network import START, BenchNetwork
from benchmarks.start.topology import big_topology
from benchmarks.tables import resident

DEVICES = 1_000
ROWS_PER_DEVICE = 10
WANTED_MIB = 150.0
WATCHER, TABLES = ActorName("topology-watcher"), ActorName("state-tables")


def figures() -> list[Figure]:
    """Measure."""
    objects = _objects()
    few, many = _mib(objects[:0]), _mib(objects)
    rows = DEVICES * ROWS_PER_DEVICE
    return [
        Figure("agent that knows no device", few, "MiB"),
        Figure(f"agent that knows {DEVICES:,} devices, {rows:,} rows", many, "MiB", WANTED_MIB),
    ]


def _objects() -> list[ObjectState]:
    """Return 200 routers and 800 of their bridges, as the store holds them."""
    devices = [
        each for each in compile_document(big_topology()) if isinstance(each, Bridge | Router)
    ]
    routers = [each for each in devices if isinstance(each, Router)]
    bridges = [each for each in devices if isinstance(each, Bridge)]
    chosen: list[Bridge | Router] = [*routers, *bridges[: DEVICES - len(routers)]]
    return [ObjectState(object_key(o).kind, object_key(o).id, 1, encode_object(o)) for o in chosen]


def _mib(objects: list[ObjectState]) -> float:
    done = subprocess.run(
        [sys.executable, "-c", "from benchmarks.memory import in_child; in_child()"],
        check=True, capture_output=True, input=msgspec.msgpack.encode(objects),
    )  # fmt: skip
    return float(done.stdout) / 2**20


def in_child() -> None:
    """Learn of the devices on standard input, print how many bytes are resident."""
    import supervisor  # noqa: F401, PLC0415 - what an agent has imported counts
    from actors.state.store.zookeeper import store  # noqa: F401, PLC0415

    objects = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=list[ObjectState])
    lane = BenchNetwork().lane
    for stored in objects:
        lane.start_actor(ActorName(f"{stored.kind}/{stored.id}"))
    lane.handle(ActorName("netlink-broker"), NetlinkReplied(START, b""))
    for stored in objects:
        lane.handle(WATCHER, TopologyChanged(START, (stored,)))
    for stored in objects:
        actor = lane.actor(ActorName(f"{stored.kind}/{stored.id}"))
        assert actor is not None
        table, rows = _rows(actor.state.config)
        lane.handle(TABLES, TableChanged(START, table, rows, whole=True))
    known = [lane.actor(ActorName(f"{stored.kind}/{stored.id}")) for stored in objects]
    assert all(len(_table(each.state)) == ROWS_PER_DEVICE for each in known if each is not None)
    gc.collect()
    print(resident())


def _rows(config: Bridge | Router) -> tuple[str, tuple[EntryState, ...]]:
    """Return the table of a device, and rows of other hosts in it."""
    port = config.ports[0].id
    if isinstance(config, Bridge):
        table = mac_table(config.id)
        pairs = [encode_mac(0, Mac(n.to_bytes(6)), port) for n in range(1, ROWS_PER_DEVICE + 1)]
    else:
        table = arp_table(port)
        pairs = [
            encode_arp(IpAddress((0x0A000000 + n).to_bytes(4)), Mac(n.to_bytes(6)))
            for n in range(1, ROWS_PER_DEVICE + 1)
        ]
    return table, tuple(
        EntryState(key, value, "another-host", seq, removed=False)
        for seq, (key, value) in enumerate(pairs, 1)
    )


def _table(state: msgspec.Struct) -> dict[bytes, object]:
    """Return what a device has learned."""
    macs: dict[bytes, object] | None = getattr(state, "macs", None)
    if macs is not None:
        return macs
    tables: dict[str, dict[bytes, object]] = state.arp  # type: ignore[attr-defined]
    return next(iter(tables.values()), {})
