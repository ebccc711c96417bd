"""Where the time of our rows goes: their parts, each alone, in the same boot."""

import os
import statistics
import time
from collections.abc import Callable

from actors.datapath.odp.deletions import count_deletions
from actors.datapath.odp.messages import Families
from actors.datapath.odp.replies import FlowInfo
from actors.datapath.odp.reply_encoding import encode_reply
from actors.datapath.odp.upcalls import decode_upcall, encode_upcall
from actors.datapath.request_buffer import RequestBuffer
from actors.datapath.request_writer import RequestWriter
from actors.datapath.sequence import DELETE_BITS
from benchmarks.kernel.contest import COUNT
from benchmarks.kernel.outcome import Part
from benchmarks.kernel.requests import ACTIONS, EPOCH, MASK, frame, raw_key
from benchmarks.kernel.rows import BATCH
from benchmarks.kernel.stage import Stage
from benchmarks.measure import ROUNDS

Send = Callable[[memoryview], int]


def parts(stage: Stage) -> tuple[Part, ...]:
    """Measure."""
    ids = stage.families
    upcall = encode_upcall(ids.packet, stage.dp_ifindex, 1, stage.upcall_key, frame(0))
    return (
        _part(stage, "a system call that does nothing", lambda: _calls(COUNT), COUNT),
        _part(stage, "flow create: written, not sent", lambda: _creates(stage, _nothing)),
        _part(stage, "flow create: sent, written before", lambda: _sent(stage)),
        _part(stage, "packet execute: written, not sent", lambda: _executes(stage, _nothing)),
        _part(stage, "flow delete: written, not sent", lambda: _deletes(stage, _nothing)),
        _part(stage, "flow delete: its reply counted, flow never used", lambda: _replies(ids, 0)),
        _part(stage, "flow delete: its reply counted, flow used", lambda: _replies(ids, 1)),
        _part(stage, "upcall: decoded", lambda: _repeat(lambda: decode_upcall(upcall))),
    )


def _part(stage: Stage, name: str, run: Callable[[], int], count: int = COUNT) -> Part:
    values = []
    for _ in range(ROUNDS):
        stage.flush()
        time.sleep(0.03)
        values.append(run() / count / 1000)
    stage.flush()
    return Part(name, statistics.median(values), min(values))


def _nothing(_: memoryview) -> int:
    return 0


def _calls(count: int) -> int:
    call = os.getppid
    begin = time.perf_counter_ns()
    for _ in range(count):
        call()
    return time.perf_counter_ns() - begin


def _writer(stage: Stage, send: Send) -> tuple[RequestBuffer, RequestWriter]:
    requests = RequestBuffer(send, lambda _error, _sequences: None, send_at=1 << 16)
    return requests, RequestWriter(requests, stage.families, stage.dp_ifindex, EPOCH)


def _batches(requests: RequestBuffer, write: Callable[[int, int], object]) -> int:
    begin = time.perf_counter_ns()
    for first in range(0, COUNT, BATCH):
        write(first, first + BATCH)
        requests.flush()
    return time.perf_counter_ns() - begin


def _creates(stage: Stage, send: Send) -> int:
    keys = [raw_key(number) for number in range(COUNT)]
    requests, writer = _writer(stage, send)
    create = writer.flow_creates
    return _batches(requests, lambda a, b: create(range(a, b), keys[a:b], MASK, ACTIONS))


def _executes(stage: Stage, send: Send) -> int:
    keys, actions, packets = [raw_key(0)] * BATCH, [ACTIONS] * BATCH, [frame(0)] * BATCH
    requests, writer = _writer(stage, send)
    execute = writer.packet_executes
    return _batches(requests, lambda a, _: execute(a, keys, actions, packets))


def _deletes(stage: Stage, send: Send) -> int:
    requests, writer = _writer(stage, send)
    delete = writer.flow_deletes
    return _batches(requests, lambda a, b: delete(range(a, b)))


def _sent(stage: Stage) -> int:
    written: list[bytes] = []

    def keep(data: memoryview) -> int:
        written.append(bytes(data))
        return 0

    _creates(stage, keep)
    send = stage.channel.send
    begin = time.perf_counter_ns()
    for data in written:
        send(data)
    return time.perf_counter_ns() - begin


def _replies(families: Families, packets: int) -> int:
    datagram = b"".join(
        encode_reply(
            FlowInfo(DELETE_BITS | number, 2, 1, bytes(16), packets=packets, used=packets),
            families=families,
            pid=1,
        )
        for number in range(BATCH)
    )
    return _repeat(lambda: count_deletions(datagram, families.flow, 1), COUNT // BATCH)


def _repeat(operation: Callable[[], object], count: int = COUNT) -> int:
    begin = time.perf_counter_ns()
    for _ in range(count):
        operation()
    return time.perf_counter_ns() - begin
