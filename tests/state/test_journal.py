"""The journal on disk: what it holds, how it ends, rotates, and fails."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.lane_boundary import Snapshot
from actors.messages.packet_in import PacketIn
from actors.messages.time import ClockTicked
from actors.state.journal import (
    CrashRecord,
    JournalSettings,
    JournalWriter,
    Run,
    SegmentEnd,
    state_checksum,
)
from actors.state.journal_format import JournalError, segments
from actors.state.journal_reader import (
    InputRead,
    NetlinkRead,
    SegmentBegun,
    SegmentDamaged,
    read_journal,
)
from actors.values import SECOND, ActorName, Nanoseconds

CLOCK = ActorName("clock")
EMPTY = Snapshot(0, b"\x80", {}, ())
START = Nanoseconds(1_700_000_000 * SECOND)


def writer(folder: Path, **changed: Any) -> JournalWriter:
    run = Run("test", "h1", START, changed.get("frame_limit", 2048), msgspec.Raw(b"\xc0"))
    made = JournalWriter(JournalSettings(folder, **changed), run)
    made.begin_segment_if_due(START, lambda: EMPTY)
    return made


def ticks(journal: JournalWriter, *numbers: int) -> None:
    for number in numbers:
        journal.append_input(number, CLOCK, ClockTicked(Nanoseconds(START + number)))


def numbers_in(path: Path) -> list[int]:
    return [entry.number for entry in read_journal(path) if isinstance(entry, InputRead)]


def test_what_was_appended_is_read_back_in_order(tmp_path: Path) -> None:
    journal = writer(tmp_path)
    ticks(journal, 1, 2)
    journal.append_netlink(memoryview(b"request!"), 0)
    journal.append_crash(CLOCK, "Tick", "Resume", "Traceback …")
    ticks(journal, 3)
    journal.close(EMPTY)
    kinds = [type(entry) for entry in read_journal(tmp_path)]
    assert kinds == [
        SegmentBegun, InputRead, InputRead, NetlinkRead, CrashRecord, InputRead, SegmentEnd
    ]  # fmt: skip
    end = list(read_journal(tmp_path))[-1]
    assert end == SegmentEnd(3, state_checksum(EMPTY))


def test_a_killed_writer_leaves_all_that_it_had_appended(tmp_path: Path) -> None:
    journal = writer(tmp_path)
    ticks(journal, *range(1, 100))
    # Not closed, as after SIGKILL: the mapping is in the page cache all the same.
    assert numbers_in(tmp_path) == list(range(1, 100))
    assert isinstance(list(read_journal(tmp_path))[-1], SegmentDamaged)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a segment of 20 inputs."""
    folder = tmp_path_factory.mktemp("closed")
    journal = writer(folder)
    ticks(journal, *range(1, 21))
    journal.close(EMPTY)
    return segments(folder)[0].read_bytes()


@settings(deadline=None)
@given(cut=st.integers(min_value=16))
def test_a_segment_cut_anywhere_reads_up_to_its_last_whole_record(
    closed: bytes, tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.journal"
    path.write_bytes(closed[: cut % len(closed) if cut >= len(closed) else cut])
    if path.stat().st_size < 16:
        with pytest.raises(JournalError, match="too short"):
            list(read_journal(path))
        return
    found = numbers_in(path)
    assert found == list(range(1, len(found) + 1))
    assert isinstance(list(read_journal(path))[-1], SegmentDamaged)


@settings(deadline=None)
@given(at=st.integers(min_value=16), flip=st.integers(1, 255))
def test_a_changed_byte_ends_the_segment_at_its_record(
    closed: bytes, tmp_path_factory: pytest.TempPathFactory, at: int, flip: int
) -> None:
    at = 16 + at % (len(closed) - 16)
    path = tmp_path_factory.getbasetemp() / "flipped.journal"
    path.write_bytes(closed[:at] + bytes([closed[at] ^ flip]) + closed[at + 1 :])
    found = numbers_in(path)
    assert found == list(range(1, len(found) + 1))
    assert not isinstance(list(read_journal(path))[-1], SegmentEnd)


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.journal"
    path.write_bytes(data)
    with pytest.raises(JournalError):
        list(read_journal(path))


def test_segments_rotate_by_size_and_the_oldest_go(tmp_path: Path) -> None:
    journal = writer(tmp_path, segment_size=256 * 1024, keep_segments=3)
    frame = bytes(1500)
    for number in range(1, 1001):
        at = Nanoseconds(START + number)
        journal.begin_segment_if_due(at, lambda: EMPTY)
        journal.append_input(number, CLOCK, PacketIn(at, b"", frame))
    journal.close(EMPTY)
    paths = segments(tmp_path)
    assert len(paths) == 3
    assert paths[0].stem != "00000001"
    assert all(path.stat().st_size <= 256 * 1024 for path in paths)
    assert numbers_in(tmp_path)[-1] == 1000


def test_segments_rotate_by_age(tmp_path: Path) -> None:
    journal = writer(tmp_path, segment_age=10.0)
    for second in range(25):
        journal.begin_segment_if_due(Nanoseconds(START + second * SECOND), lambda: EMPTY)
        ticks(journal, second + 1)
    journal.close(EMPTY)
    assert len(segments(tmp_path)) == 3
    assert numbers_in(tmp_path) == list(range(1, 26))


def test_only_the_owner_can_read_a_journal(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    writer(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(segments(folder)[0].stat().st_mode) == 0o600


def test_a_long_frame_is_cut_to_length_and_checksum(tmp_path: Path) -> None:
    journal = writer(tmp_path, frame_limit=640)
    frame = bytes(range(256)) * 8
    journal.append_input(1, CLOCK, PacketIn(START, b"key", frame))
    message = b"head" + frame
    journal.append_netlink(memoryview(message), len(frame))
    journal.close(EMPTY)
    _, entry, request, _ = read_journal(tmp_path)
    assert isinstance(entry, InputRead)
    assert isinstance(entry.message, PacketIn)
    assert entry.message.frame == frame[:640]
    assert entry.message.whole_length == len(frame)
    assert entry.message.rest_checksum
    assert request == NetlinkRead(b"head" + frame[:640], len(frame) - 640)


def test_a_state_larger_than_a_segment_makes_the_segment_larger(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    large = Snapshot(7, b"\x80", {}, ((CLOCK, os.urandom(1_000_000)),))
    run = Run("test", "h1", START, 2048, msgspec.Raw(b"\xc0"))
    journal = JournalWriter(JournalSettings(folder, segment_size=256 * 1024), run)
    journal.begin_segment_if_due(START, lambda: large)
    ticks(journal, 8)
    journal.close(large)
    begun = next(iter(read_journal(folder)))
    assert isinstance(begun, SegmentBegun)
    assert begun.snapshot == large


def test_one_inputs_many_records_make_the_segment_grow(tmp_path: Path) -> None:
    journal = writer(tmp_path, segment_size=256 * 1024)
    ticks(journal, 1)
    request = os.urandom(60_000)
    for _ in range(20):
        journal.append_netlink(memoryview(request), 0)
    journal.close(EMPTY)
    read = [entry for entry in read_journal(tmp_path) if isinstance(entry, NetlinkRead)]
    assert [entry.message for entry in read] == [request] * 20


def failing(error: int, times: int) -> Callable[[int, int, int], None]:
    """Return a posix_fallocate that fails `times` times."""
    real, left = os.posix_fallocate, times

    def fallocate(handle: int, offset: int, length: int) -> None:
        nonlocal left
        left -= 1
        if left >= 0:
            raise OSError(error, os.strerror(error))
        real(handle, offset, length)

    return fallocate


def test_on_a_full_disk_the_oldest_segment_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = writer(tmp_path)
    ticks(first, 1)
    first.close(EMPTY)
    monkeypatch.setattr(os, "posix_fallocate", failing(errno.ENOSPC, 1))
    second = writer(tmp_path)
    ticks(second, 2)
    second.close(EMPTY)
    assert numbers_in(tmp_path) == [2]


def test_a_disk_that_stays_full_is_an_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "posix_fallocate", failing(errno.ENOSPC, 100))
    with pytest.raises(JournalError, match=r"00000001\.journal: No space left"):
        writer(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_later_run_goes_on_in_a_segment_of_its_own(tmp_path: Path) -> None:
    ticks(writer(tmp_path), 1)
    ticks(writer(tmp_path), 1)
    assert [path.name for path in segments(tmp_path)] == ["00000001.journal", "00000002.journal"]


def test_a_folder_that_cannot_be_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(JournalError, match="file"):
        writer(tmp_path / "file")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"frame_limit": 100}, "frame_limit"),
        ({"segment_size": 10}, "segment_size"),
        ({"keep_segments": 1}, "keep_segments"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    tmp_path: Path, changed: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        JournalSettings(tmp_path, **changed)
