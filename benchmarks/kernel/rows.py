"""What the agent's own code does for each row of the table; C's part is in peer.c.

Each function performs `count` operations and returns the nanoseconds that they took, and how many
of them failed. What they need is made ready before the clock starts: keys and frames come from the
kernel in an agent, too.
"""

import socket
import threading
import time
from collections.abc import Callable

from actors.datapath.odp.mask import mask_for
from actors.datapath.odp.replies import FlowInfo
from actors.datapath.odp.reply_decoding import decode_replies
from actors.datapath.odp.upcalls import decode_upcall
from actors.datapath.request_buffer import RequestBuffer
from actors.datapath.request_writer import RequestWriter
from benchmarks.kernel.lane import BenchLane
from benchmarks.kernel.outcome import Outcome
from benchmarks.kernel.requests import ACTIONS, EPOCH, FIVE_TUPLE, MASK, frame, raw_key
from benchmarks.kernel.stage import Stage
from benchmarks.kernel.wires import SENDER

BATCH = 20
"""Messages a send."""
IN_FLIGHT = 64
"""Packets that wait for their answers at a time."""

clock = time.perf_counter_ns


class Sender:
    """The agent's writer and buffer, which sends when told to."""

    def __init__(self, stage: Stage) -> None:
        self.requests = RequestBuffer(stage.channel.send, _failed, send_at=1 << 20)
        self.writer = RequestWriter(self.requests, stage.families, stage.dp_ifindex, EPOCH)


def _failed(error: int, sequences: tuple[int, ...]) -> None:
    raise OSError(error, f"{len(sequences)} requests were not sent")


def create(stage: Stage, count: int) -> Outcome:
    keys = [raw_key(number) for number in range(count + 1)]
    sender = Sender(stage)
    write, flush = sender.writer.flow_create, sender.requests.flush
    begin = clock()
    for first in range(1, count + 1, BATCH):
        for number in range(first, min(first + BATCH, count + 1)):
            write(number, keys[number], MASK, ACTIONS)
        flush()
    errors = stage.barrier()
    return Outcome(clock() - begin, errors)


def execute(stage: Stage, count: int) -> Outcome:
    keys = [raw_key(number) for number in range(count + 1)]
    packet = frame(0)
    sender = Sender(stage)
    write, flush = sender.writer.packet_execute, sender.requests.flush
    begin = clock()
    for first in range(1, count + 1, BATCH):
        for number in range(first, min(first + BATCH, count + 1)):
            write(number, keys[number], ACTIONS, packet)
        flush()
    errors = stage.barrier()
    return Outcome(clock() - begin, errors)


def create_delete(stage: Stage, count: int) -> Outcome:
    keys = [raw_key(number) for number in range(count + 1)]
    sender = Sender(stage)
    writer, requests = sender.writer, sender.requests
    install, remove, flush = writer.flow_create, writer.flow_delete, requests.flush
    receive, families = stage.channel.receive_reply, stage.families
    errors = deleted = 0
    begin = clock()
    for first in range(1, count + 1, BATCH):
        numbers = range(first, min(first + BATCH, count + 1))
        for number in numbers:
            install(number, keys[number], MASK, ACTIONS)
        flush()
        for number in numbers:
            remove(number)
        flush()
        wanted = len(numbers)
        while wanted > 0:
            replies = decode_replies(receive(), families)
            wanted -= len(replies)
            for reply in replies:
                if type(reply) is FlowInfo:
                    deleted += 1
                else:
                    errors += 1
    return Outcome(clock() - begin, errors, deleted)


def upcalls(stage: Stage, count: int) -> Outcome:
    frames = [frame(number) for number in range(count)]
    sender = Sender(stage)
    writer, requests = sender.writer, sender.requests
    install, run, flush = writer.flow_create, writer.packet_execute, requests.flush
    mask = mask_for(stage.upcall_key, FIVE_TUPLE)
    receive = stage.channel.receive_upcalls
    took = 0
    number = 0
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((SENDER, 0))
        for first in range(0, count, IN_FLIGHT):
            burst = frames[first : first + IN_FLIGHT]
            for packet in burst:
                wire.send(packet)
            end = number + len(burst)
            begin = clock()
            while number < end:
                for datagram in receive():
                    number += 1
                    upcall = decode_upcall(datagram)
                    key = upcall.raw_key
                    install(number, key, mask, ACTIONS)
                    run(number, key, ACTIONS, upcall.frame)
                    if not number % (BATCH // 2):
                        flush()
            flush()
            took += clock() - begin
    begin = clock()
    errors = stage.barrier()
    return Outcome(took + clock() - begin, errors)


def create_delete_by_broker(stage: Stage, count: int) -> Outcome:
    """As `create_delete`, but each request is a message to the NetlinkBroker on its lane."""
    keys = [raw_key(number) for number in range(count + 1)]
    lane = BenchLane(stage, keys)
    receive = stage.channel.receive_reply
    begin = clock()
    for first in range(1, count + 1, BATCH):
        end = min(first + BATCH, count + 1)
        lane.create(first, end)
        lane.flush()
        lane.delete(first, end)
        lane.flush()
        wanted = lane.sink.heard + end - first
        while lane.sink.heard < wanted:
            lane.replied(receive())
    took = clock() - begin
    return Outcome(took, lane.sink.refused, lane.sink.deleted)


def by_producers(producers: int) -> Callable[[Stage, int], Outcome]:
    """Return a run whose flows come from threads, each of which feeds an actor of its own.

    The actors share the lane, so their requests go into one buffer.
    """

    def run(stage: Stage, count: int) -> Outcome:
        keys = [raw_key(number) for number in range(count + 1)]
        lane = BenchLane(stage, keys, send_at=BATCH * 176)
        share = count // producers
        threads = [
            threading.Thread(
                target=lane.produce, args=(n, 1 + n * share, 1 + (n + 1) * share, BATCH)
            )
            for n in range(producers)
        ]
        begin = clock()
        for thread in threads:
            thread.start()
        lane.run_until(threads)
        errors = stage.barrier()
        return Outcome(clock() - begin, errors + lane.sink.refused)

    return run
