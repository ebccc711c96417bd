"""What encoding and decoding cost."""

from collections.abc import Callable

from actors.datapath.odp.key import decode_key, encode_key
from actors.datapath.odp.mask import mask_for, masked
from actors.datapath.odp.messages import Families
from actors.datapath.odp.upcalls import decode_upcall, encode_upcall
from actors.datapath.request_buffer import RequestBuffer
from actors.datapath.request_writer import RequestWriter
from actors.packets.extract import flow_key_of
from benchmarks.measure import Figure, per_operation
from benchmarks.network import IP_C, MAC_LEFT, udp_frame

COUNT = 50_000


def figures() -> list[Figure]:
    """Measure."""
    frame = udp_frame(MAC_LEFT, b"\x0a\x01\x01\x01", IP_C)
    key = flow_key_of(frame, 2)
    raw = encode_key(key)
    mask = mask_for(raw, 0b11111111)
    actions = bytes(96)
    requests = RequestBuffer(lambda _: 0, lambda _error, _sequences: None)
    writer = RequestWriter(requests, Families(20, 21, 22, 23), 1, 1)
    upcall = encode_upcall(1, 1, 1, raw, frame)

    def create() -> None:
        writer.flow_creates((1,), (raw,), mask, actions)

    def execute() -> None:
        writer.packet_executes(1, (raw,), (actions,), (frame,))

    return [
        _each("decode an upcall", lambda: decode_upcall(upcall)),
        _each("decode a flow key", lambda: decode_key(raw)),
        _each("make a mask (cached) and the flow's identity", lambda: masked(raw, mask)),
        _each("encode a flow create", create),
        _each("encode a packet execute", execute),
        _each("encode a flow delete", lambda: writer.flow_deletes((1,))),
        _each("read a frame's flow key", lambda: flow_key_of(frame, 2)),
    ]


def _each(name: str, operation: Callable[[], object]) -> Figure:
    def prepare() -> tuple[Callable[[], None], int]:
        def run() -> None:
            for _ in range(COUNT):
                operation()

        return run, COUNT

    return per_operation(name, prepare)
