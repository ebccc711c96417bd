"""JournalReader: a journal's records as typed values, in order, from all its segments.

Total and bounded: damage in a segment ends that segment where it begins, and is told.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from actors.datapath.odp.messages import requests_of
from actors.lane_boundary import Snapshot
from actors.messages.kinds import AnyInput, AnyOutput
from actors.state.journal import CrashRecord, CutRecord, Run, SegmentEnd
from actors.state.journal_format import (
    HEADER,
    KIND_BEGIN,
    KIND_CRASH,
    KIND_CUT,
    KIND_END,
    KIND_INPUT,
    KIND_NETLINK,
    KIND_OUTPUT,
    KIND_RUN,
    KIND_SNAPSHOT,
    JournalUnreadable,
    check_header,
    records,
    segments,
)
from actors.values import ActorName


class SegmentBegun(msgspec.Struct, frozen=True):
    """A segment begins in this state."""

    path: Path
    run: Run
    snapshot: Snapshot


class InputRead(msgspec.Struct, frozen=True, array_like=True):
    """An input and whom it was for."""

    number: int
    to: ActorName
    message: AnyInput


class OutputRead(msgspec.Struct, frozen=True):
    """An output as it was recorded: msgpack."""

    body: bytes


class NetlinkRead(msgspec.Struct, frozen=True):
    """A netlink request as it was recorded; `cut` bytes at its end were not kept."""

    message: bytes
    cut: int = 0


class SegmentDamaged(msgspec.Struct, frozen=True):
    """The segment ends here without having been closed; `why` says how that shows."""

    path: Path
    why: str


JournalEntry = (
    SegmentBegun | InputRead | OutputRead | NetlinkRead | CrashRecord | SegmentEnd | SegmentDamaged
)

_input_decoder = msgspec.msgpack.Decoder(InputRead)
_output_decoder: msgspec.msgpack.Decoder[AnyOutput] = msgspec.msgpack.Decoder(AnyOutput)
_head_decoder = msgspec.msgpack.Decoder(tuple[int, bytes, dict[ActorName, int]])
_part_decoder = msgspec.msgpack.Decoder(tuple[ActorName, bytes])


def decode_output(body: bytes) -> AnyOutput:
    """Read an output's record. Raises msgspec.DecodeError."""
    return _output_decoder.decode(body)


def read_journal(path: Path) -> Iterator[JournalEntry]:
    """Yield the entries of a journal folder, or of one segment. Raises JournalError."""
    for segment in segments(path):
        yield from _read_segment(segment, part_of_journal=path.is_dir())


def _read_segment(path: Path, *, part_of_journal: bool) -> Iterator[JournalEntry]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise JournalUnreadable(f"{path}: cannot be read: {error.strerror}") from error
    if part_of_journal and (len(data) < HEADER.size or not any(data[: HEADER.size])):
        # Space is reserved before the header is written: an agent may be killed in between.
        yield SegmentDamaged(path, "it ends before its first record")
        return
    check_header(data, str(path))
    closed = False
    try:
        for entry in _entries(path, data):
            closed = isinstance(entry, SegmentEnd)
            yield entry
    except msgspec.DecodeError as error:
        yield SegmentDamaged(path, f"a record of unknown kind or shape: {error}")
        return
    if not closed:
        yield SegmentDamaged(
            path,
            "not closed (its agent runs or was killed, or it was cut): read to its last record",
        )


def _single_records(data: bytes) -> Iterator[tuple[int, bytes | memoryview]]:
    """Yield the records; netlink requests that were recorded together, one by one."""
    for kind, body in records(data):
        if kind == KIND_NETLINK:
            for request in requests_of(body):
                yield kind, request
        else:
            yield kind, body


def _entries(path: Path, data: bytes) -> Iterator[JournalEntry]:
    run: Run | None = None
    head: tuple[int, bytes, dict[ActorName, int]] | None = None
    parts: list[tuple[ActorName, bytes]] = []
    held: NetlinkRead | None = None
    for kind, body in _single_records(data):
        if held is not None:
            if kind == KIND_CUT:
                cut = msgspec.msgpack.decode(body, type=CutRecord)
                held = msgspec.structs.replace(held, cut=cut.length)
            yield held
            held = None
            if kind == KIND_CUT:
                continue
        if kind == KIND_INPUT:
            yield _input_decoder.decode(body)
        elif kind == KIND_NETLINK:
            held = NetlinkRead(bytes(body))
        elif kind == KIND_OUTPUT:
            yield OutputRead(bytes(body))
        elif kind == KIND_CRASH:
            yield msgspec.msgpack.decode(body, type=CrashRecord)
        elif kind == KIND_RUN:
            run = msgspec.msgpack.decode(body, type=Run)
        elif kind == KIND_SNAPSHOT:
            if head is None:
                head = _head_decoder.decode(body)
            else:
                parts.append(_part_decoder.decode(body))
        elif kind == KIND_BEGIN:
            if run is None or head is None:
                raise msgspec.DecodeError("a segment begins without its snapshot")
            yield SegmentBegun(path, run, Snapshot(head[0], head[1], head[2], tuple(parts)))
        elif kind == KIND_END:
            yield msgspec.msgpack.decode(body, type=SegmentEnd)
        else:
            raise msgspec.DecodeError(f"record kind {kind}")
    if held is not None:
        yield held
