"""The contest: each row by C and by the agent's code, in turns, on one datapath in one boot."""

import gc
import sys
import time
from collections.abc import Callable

from msgspec import Struct

from actors.datapath.request_buffer import RequestBuffer
from actors.datapath.request_writer import RequestWriter
from benchmarks.kernel import rows
from benchmarks.kernel.c_program import CProgram
from benchmarks.kernel.outcome import Outcome, Row
from benchmarks.kernel.requests import ACTIONS, EPOCH, MASK, frame, raw_key, told_to_c
from benchmarks.kernel.stage import Stage
from benchmarks.kernel.wires import SENDER
from benchmarks.measure import ROUNDS

COUNT = 1920
_SETTLE = 0.03
"""Seconds for the kernel to free the flows that were deleted, which it does later (RCU)."""

Run = Callable[[Stage, int], Outcome]


class Event(Struct, frozen=True):
    """One row: who runs, and what must be there afterwards."""

    name: str
    c: str
    ours: Run
    flows: int = 0
    delivered: int = 0
    against: str = ""
    """Another row whose figures of ours it is compared with; C's if empty."""
    wanted: float | None = None
    wanted_ratio: float | None = None


EVENTS = (
    Event("packet execute", "execute", rows.execute, 0, COUNT, "", 2.7, 1.25),
    Event("flow create", "create", rows.create, COUNT, 0, "", 3.5, 1.25),
    Event("flow create, one producer", "create", rows.by_producers(1), COUNT),
    Event(
        "flow create, two producers at once", "two", rows.by_producers(2), COUNT, 0,
        "flow create, one producer", 3.5, 1.1,
    ),
    Event("create + delete", "create-delete", rows.create_delete, 0, 0, "", 10.0, 1.2),
    Event(
        "create + delete through the broker", "create-delete", rows.create_delete_by_broker, 0, 0,
        "create + delete", 10.3, 1.04,
    ),
    Event(
        "upcall to execute + create", "upcalls", rows.upcalls, COUNT, COUNT, "", 7.0, 1.6
    ),
)  # fmt: skip


def hold(stage: Stage, program: CProgram, rounds: int = ROUNDS) -> tuple[Row, ...]:
    """Run all events, `rounds` times in turns after one that is not counted."""
    program.told = {
        **told_to_c(stage.families, stage.dp_ifindex, stage.upcall_key),
        "count": COUNT,
        "batch": rows.BATCH,
        "link": SENDER,
    }
    faults = [_difference(stage, program)]
    figures: dict[str, tuple[list[float], list[float]]] = {}
    wrong: dict[str, list[str]] = {event.name: list(filter(None, faults)) for event in EVENTS}
    for number in range(rounds + 1):
        print(f"round {number} of {rounds}", file=sys.stderr)
        for event in EVENTS:
            c = _run(stage, event, wrong, "C", _by_c(program, event.c))
            stage.listen_again()
            ours = _run(stage, event, wrong, "ours", event.ours)
            if number:
                mine = figures.setdefault(event.name, ([], []))
                mine[0].append(c)
                mine[1].append(ours)
    return tuple(_row(event, figures, tuple(wrong[event.name])) for event in EVENTS)


def _by_c(program: CProgram, operation: str) -> Run:
    return lambda _stage, _count: program.run(operation)


def _run(stage: Stage, event: Event, wrong: dict[str, list[str]], who: str, run: Run) -> float:
    stage.flush()
    delivered = stage.delivered()
    time.sleep(_SETTLE)
    gc.collect()
    gc.disable()
    try:
        outcome = run(stage, COUNT)
    finally:
        gc.enable()
    flows, arrived = len(stage.flows()), stage.delivered() - delivered
    if outcome.errors:
        wrong[event.name].append(f"{who}: {outcome.errors} errors")
    if flows != event.flows:
        wrong[event.name].append(f"{who}: {flows} flows, not {event.flows}")
    if arrived != event.delivered:
        wrong[event.name].append(f"{who}: {arrived} packets arrived, not {event.delivered}")
    return outcome.nanoseconds / COUNT / 1000


def _row(
    event: Event, figures: dict[str, tuple[list[float], list[float]]], faults: tuple[str, ...]
) -> Row:
    c, ours = figures[event.name]
    others = figures[event.against][1] if event.against else c
    return Row(
        event.name, tuple(c), tuple(ours), event.against or "C", tuple(others),
        event.wanted, event.wanted_ratio, faults,
    )  # fmt: skip


def _difference(stage: Stage, program: CProgram) -> str:
    """Tell whether C would send other bytes than we do."""
    sent: list[bytes] = []

    def keep(data: memoryview) -> int:
        sent.append(bytes(data))
        return 0

    requests = RequestBuffer(keep, lambda _error, _sequences: None)
    writer = RequestWriter(requests, stage.families, stage.dp_ifindex, EPOCH)
    for operation in ("create", "execute"):
        sent.clear()
        for number in range(1, 101):
            if operation == "create":
                writer.flow_creates((number,), (raw_key(number),), MASK, ACTIONS)
            else:
                writer.packet_executes(number, (raw_key(number),), (ACTIONS,), (frame(0),))
        requests.flush()
        if b"".join(sent) != program.written(operation, count=100):
            return f"C sends other bytes than we do for {operation}"
    return ""
