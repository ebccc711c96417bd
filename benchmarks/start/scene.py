"""Scene: the child process of the benchmark, in a network namespace of its own.

It holds a store with the big topology, four veth pairs, and starts one agent after the other. A
frame is sent again and again into one bridge until it comes out of another, through the router,
whose ARP request for its destination is answered here.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

import benchmarks
from actors.packets.arp import ARP_REQUEST, arp_reply, parse_arp
from actors.packets.errors import PacketError
from actors.packets.ethernet import ETHERTYPE_IPV4, ethernet_frame
from actors.packets.ipv4 import ipv4_packet
from actors.packets.transport import udp_datagram
from actors.state.document import apply_document
from actors.state.store.open import open_store
from actors.values import parse_ip, parse_mac, stable_mac
from benchmarks.start.topology import HERE, INTERFACES, activate_others, address, big_topology
from cli.lab import namespaces
from cli.lab.links import Namespace
from cli.lab.zookeeper_server import ServerOptions, ZookeeperServer, ensemble_members

AGAIN = 0.005
"""Seconds between two sendings of the frame."""
PATIENCE = 60.0
STOP_PATIENCE = 15.0
LEASE = 3600.0
ETH_P_ALL = 3
PAYLOAD = b"the first packet"
MAC_A, MAC_B = parse_mac("02:00:00:00:00:0a"), parse_mac("02:00:00:00:00:0b")
IP_A, IP_B = parse_ip(address(0, 10)), parse_ip(address(1, 10))
QUIET = ("all", "default")
"""Where IPv6 is turned off: the kernel's own packets are not what is to be served."""


class Timings(msgspec.Struct, frozen=True):
    """Seconds."""

    apply: float
    starts: tuple[float, ...]


def time_starts(zookeeper: bool, starts: int, result: Connection) -> None:  # noqa: FBT001
    """Time starts of an agent; send the Timings. The process must have one thread only."""
    parent = os.getppid()
    namespaces.die_with_parent(parent)
    namespaces.leave_machine()
    with tempfile.TemporaryDirectory(prefix="ayatori-bench-") as name, _wires() as wires:
        folder = Path(name)
        with (
            _store(folder, zookeeper=zookeeper) as url,
            contextlib.closing(open_store(url)) as store,
        ):
            document = big_topology()
            begin = time.monotonic()
            apply_document(store, document)
            applied = time.monotonic() - begin
            activate_others(store.open_session("the other hosts", LEASE))
            taken = tuple(_time_start(folder / str(n), url, *wires) for n in range(starts))
    result.send(Timings(applied, taken))


@contextlib.contextmanager
def _wires() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Make the interfaces; yield what machines on the first and the third of them have."""
    here = Namespace("benchmark", namespaces.current_network())
    try:
        here.sysctl((f"ipv6/conf/{each}/disable_ipv6", "1") for each in QUIET)
        for interface in INTERFACES:
            here.add_veth(interface, here, f"far-{interface}", 1500, None)
        with _machine(INTERFACES[0]) as sender, _machine(INTERFACES[2]) as receiver:
            yield sender, receiver
    finally:
        here.close()


def _machine(interface: str) -> socket.socket:
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    wire.bind((f"far-{interface}", ETH_P_ALL))
    return wire


@contextlib.contextmanager
def _store(folder: Path, *, zookeeper: bool) -> Iterator[str]:
    if not zookeeper:
        yield f"sqlite:///{folder}/store.db"
        return
    options = ServerOptions(heap=512)
    server = ZookeeperServer(folder / "zookeeper", ensemble_members(1)[0], (), options)
    server.start()
    try:
        server.wait_ready()
        yield f"zookeeper://{server.address}/benchmark"
    finally:
        server.kill()


def _time_start(folder: Path, url: str, sender: socket.socket, receiver: socket.socket) -> float:
    """Start an agent; return the seconds from then until it has served a packet."""
    folder.mkdir()
    _forget(receiver)
    config = folder / "agent.json"
    settings = {
        "host": HERE,
        "store": url,
        "datapath": "soft",
        "journal": {"directory": str(folder / "journal")},
        "control": str(folder / "control" / "agent.sock"),
    }
    config.write_bytes(msgspec.json.encode(settings))
    command = [sys.executable, "-m", "cli.main", "agent", "--config", str(config)]
    with (folder / "log").open("wb") as log:
        begin = time.monotonic()
        process = subprocess.Popen(  # noqa: S603 - our own program
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=Path(benchmarks.__file__).parents[1],
        )
        try:
            _await_packet(sender, receiver, process, folder / "log")
            taken = time.monotonic() - begin
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_PATIENCE)
        finally:
            process.kill()
            process.wait()
    return taken


def _await_packet(
    sender: socket.socket, receiver: socket.socket, agent: subprocess.Popen[bytes], log: Path
) -> None:
    gateway = stable_mac("r0/b0")
    datagram = udp_datagram(IP_A, IP_B, 1000, 2000, PAYLOAD)
    frame = ethernet_frame(gateway, MAC_A, ETHERTYPE_IPV4, ipv4_packet(IP_A, IP_B, 17, datagram))
    receiver.settimeout(AGAIN)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and agent.poll() is None:
        sender.send(frame)
        with contextlib.suppress(TimeoutError):
            received, (_, _, kind, *_) = receiver.recvfrom(2048)
            if kind == socket.PACKET_OUTGOING:
                continue
            if PAYLOAD in received:
                return
            _answer(receiver, received)
    raise RuntimeError(f"the agent served no packet: {log.read_text()}")


def _forget(receiver: socket.socket) -> None:
    """Read what an earlier agent has sent."""
    receiver.setblocking(False)  # noqa: FBT003 - the name says it
    with contextlib.suppress(BlockingIOError):
        while True:
            receiver.recv(2048)


def _answer(receiver: socket.socket, frame: bytes) -> None:
    """Answer the router's question for the address of the machine that the frame is for."""
    try:
        asked = parse_arp(frame)
    except PacketError:
        return
    if asked.op == ARP_REQUEST and asked.tpa == IP_B:
        receiver.send(arp_reply(MAC_B, IP_B, asked.sha, asked.spa))
