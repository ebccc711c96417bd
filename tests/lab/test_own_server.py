"""A lab's own ZooKeeper server is started again, later each time that it does not last."""

from pathlib import Path
from typing import cast

import pytest

from cli.lab.lab_store import OwnServer
from cli.lab.state_folder import LabFiles


class FadingServer:
    """Stands for the process: it ends when told to, and counts its starts."""

    def __init__(self, *_: object) -> None:
        self.ended = False
        self.starts = 0

    def start(self) -> None:
        self.starts += 1
        self.ended = False

    def stop(self) -> None:
        self.ended = True

    def last_words(self) -> str:
        return "it ended"


def pause_before_the_next(store: OwnServer, server: FadingServer, now: float) -> float:
    server.ended = True
    store.look_after(now)
    starts, at = server.starts, store.start_at
    assert at is not None
    store.look_after(at - 0.01)
    assert server.starts == starts
    store.look_after(at)
    assert server.starts == starts + 1
    return at - now


def test_pauses_grow_and_begin_again_after_a_server_that_lasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.lab.lab_store.ZookeeperServer", FadingServer)
    store = OwnServer(LabFiles(tmp_path))
    server = cast("FadingServer", store._server)
    try:
        now, pauses = 1000.0, []
        for lasts in (0.0, 0.5, 0.5, 0.5, 0.5, 60.0, 0.5):
            now += lasts
            pauses.append(round(pause_before_the_next(store, server, now), 3))
            now += pauses[-1]
        assert pauses == [0.3, 0.6, 1.2, 2.4, 4.8, 0.3, 0.6]
    finally:
        store._listener.close()
