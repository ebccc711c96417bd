"""What large tables cost: invalidation among many flows, memory of many devices."""

import gc
import resource
import subprocess
import sys
from collections.abc import Callable

from actors.messages.flows import InvalidateTags
from actors.messages.netlink import NetlinkReplied
from actors.values import ActorName, Tag
from benchmarks.measure import Figure, per_operation
from benchmarks.network import START, BenchNetwork

CONTROLLER = ActorName("flow-controller")


def figures() -> list[Figure]:
    """Measure."""
    return [
        _invalidation(10_000),
        _invalidation(100_000),
        _memory(),
    ]


def _invalidation(flows: int) -> Figure:
    """Measure ms to invalidate 1,000 of `flows` flows by one tag, deletes encoded."""

    def prepare() -> tuple[Callable[[], None], int]:
        from actors.datapath.flow_table import Flow  # noqa: PLC0415
        from actors.datapath.odp.key import encode_key  # noqa: PLC0415
        from actors.datapath.odp.mask import mask_for, masked  # noqa: PLC0415
        from actors.lifetimes import LIFE_PLAIN  # noqa: PLC0415
        from actors.packets.extract import flow_key_of  # noqa: PLC0415
        from benchmarks.network import IP_C, MAC_LEFT, udp_frame  # noqa: PLC0415

        network = BenchNetwork()
        controller = network.lane.actor(CONTROLLER)
        assert controller is not None
        for number in range(1, flows + 1):
            frame = udp_frame(MAC_LEFT, (0x0A000000 + number).to_bytes(4), IP_C)
            raw = encode_key(flow_key_of(frame, 2))
            mask = mask_for(raw, 0xFF)
            tags = tuple(
                Tag(f"{name}:{number // share}")
                for name, share in (("device", flows), ("port", 5000), ("mac", 1000), ("x", 50))
            )
            flow = Flow(number, LIFE_PLAIN, START, raw, mask, bytes(64), tags)
            controller.table.add(flow, masked(raw, mask))  # type: ignore[attr-defined]
        lane = network.lane
        doomed = Tag("mac:3")

        def run() -> None:
            lane.send(CONTROLLER, InvalidateTags((doomed,)))
            lane.handle(ActorName("netlink-broker"), NetlinkReplied(START, b""))

        return run, 1

    figure = per_operation(f"invalidate 1,000 of {flows:,} flows", prepare, rounds=5)
    return Figure(
        figure.name, figure.value / 1000, "ms", 5.0, figure.lowest / 1000, figure.highest / 1000
    )


_MEASURE_MEMORY = """
import gc
from benchmarks.tables import bridges_memory
print(bridges_memory())
"""


def _memory() -> Figure:
    """Measure bytes an idle bridge's actor takes, in a fresh process."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", _MEASURE_MEMORY], check=True, capture_output=True, text=True
    )
    value = float(done.stdout)
    return Figure("memory of an idle device actor, of 10,000", value / 1024, "KiB", 4.0)


def bridges_memory(count: int = 10_000) -> float:
    """Return the growth of this process's memory in bytes per bridge actor that is made."""
    network = BenchNetwork()
    lane = network.lane
    gc.collect()
    before = resident()
    for number in range(count):
        lane.start_actor(ActorName(f"bridge/{number:036d}"))
    lane.handle(ActorName("netlink-broker"), NetlinkReplied(START, b""))
    gc.collect()
    return (resident() - before) / count


def resident() -> int:
    """Return the resident set in bytes."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * resource.getpagesize()
