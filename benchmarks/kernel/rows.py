"""What the agent's own code does for each row of the table; C's part is in peer.c.

Each function performs `count` operations and returns the nanoseconds that they took, and how many
of them failed. What they need is made ready before the clock starts: keys and frames come from the
kernel in an agent, too.
"""

import socket
import threading
import time
from collections.abc import Callable

from actors.datapath.odp.deletions import count_deletions
from actors.datapath.odp.mask import mask_for
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
    write, flush = sender.writer.flow_creates, sender.requests.flush
    begin = clock()
    for first in range(1, count + 1, BATCH):
        end = min(first + BATCH, count + 1)
        write(range(first, end), keys[first:end], MASK, ACTIONS)
        flush()
    errors = stage.barrier()
    return Outcome(clock() - begin, errors)


def execute(stage: Stage, count: int) -> Outcome:
    keys = [raw_key(number) for number in range(count + 1)]
    actions, packets = [ACTIONS] * (count + 1), [frame(0)] * (count + 1)
    sender = Sender(stage)
    write, flush = sender.writer.packet_executes, sender.requests.flush
    begin = clock()
    for first in range(1, count + 1, BATCH):
        end = min(first + BATCH, count + 1)
        write(first, keys[first:end], actions[first:end], packets[first:end])
        flush()
    errors = stage.barrier()
    return Outcome(clock() - begin, errors)


def create_delete(stage: Stage, count: int) -> Outcome:
    keys = [raw_key(number) for number in range(count + 1)]
    sender = Sender(stage)
    writer, requests = sender.writer, sender.requests
    install, remove, flush = writer.flow_creates, writer.flow_deletes, requests.flush
    receive, families, pid = stage.channel.receive_reply, stage.families, stage.channel.reply_pid
    errors = deleted = 0
    begin = clock()
    for first in range(1, count + 1, BATCH):
        end = min(first + BATCH, count + 1)
        numbers = range(first, end)
        install(numbers, keys[first:end], MASK, ACTIONS)
        flush()
        remove(numbers)
        flush()
        heard = 0
        while heard < len(numbers):
            datagram = receive()
            gone = count_deletions(datagram, families.flow, pid)
            deleted += gone.flows
            heard += gone.flows
            if gone.end < len(datagram):
                others = len(decode_replies(datagram[gone.end :], families))
                errors += others
                heard += others
    return Outcome(clock() - begin, errors, deleted)


def upcalls(stage: Stage, count: int) -> Outcome:
    """Answer upcalls as the agent does those of a turn: all their flows, then all packets."""
    frames = [frame(number) for number in range(count)]
    sender = Sender(stage)
    mask = mask_for(stage.upcall_key, FIVE_TUPLE)
    receive, flush = stage.channel.receive_upcalls, sender.requests.flush
    install, run = sender.writer.flow_creates, sender.writer.packet_executes
    together = BATCH // 2
    took = 0
    number = 0
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((SENDER, 0))
        for first in range(0, count, IN_FLIGHT):
            burst = frames[first : first + IN_FLIGHT]
            for packet in burst:
                wire.send(packet)
            end = first + len(burst)
            begin = clock()
            while number < end:
                received = receive()
                for at in range(0, len(received), together):
                    turn = [decode_upcall(each) for each in received[at : at + together]]
                    keys = [upcall.raw_key for upcall in turn]
                    install(range(number, number + len(turn)), keys, mask, ACTIONS)
                    run(number, keys, [ACTIONS] * len(turn), [upcall.frame for upcall in turn])
                    flush()
                    number += len(turn)
            took += clock() - begin
    begin = clock()
    errors = stage.barrier()
    return Outcome(took + clock() - begin, errors)


def create_delete_by_broker(stage: Stage, count: int) -> Outcome:
    """As `create_delete`, but requests are messages to the NetlinkBroker on its lane."""
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
