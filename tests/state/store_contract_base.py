"""What the parts of the store's contract share: fixtures, values, other threads and processes."""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actors.state.store.holder import Holder
from actors.state.store.interface import ObjectKey, Session, SessionLost, Store
from actors.state.store.open import open_store
from tests.state.store_recorder import PATIENCE

BRIDGE = ObjectKey("bridge", "b1")
OTHER_BRIDGE = ObjectKey("bridge", "b2")
ROUTER = ObjectKey("router", "r1")
LONG = 60.0
SHORT = 0.3
"""Seconds of a lease that is meant to run out."""

Opener = Callable[[], Store]


class StoreFixtures:
    tells_every_version = True
    """Whether a watch tells each version of an object that is updated faster than it is read."""

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError("a backend's test class says where its store is")

    @pytest.fixture
    def reports(self) -> list[str]:
        """What the stores reported from their own threads."""
        return []

    @pytest.fixture
    def opener(self, url: str, reports: list[str]) -> Iterator[Opener]:
        """Open the same store once more, as another part of the system would."""
        with contextlib.ExitStack() as stack:

            def open_another() -> Store:
                store = open_store(url, report=lambda message, _: reports.append(message))
                stack.callback(store.close)
                return store

            yield open_another

    @pytest.fixture
    def store(self, opener: Opener) -> Store:
        return opener()


def with_brief_lease(
    store: Store, owner: str, table: str, holder: Holder | None = None
) -> tuple[Session, int]:
    """Return a session that put (`key`, `value`) into a table, and is left to its SHORT lease.

    On a busy machine the lease may run out before the entry is there: then it is begun again.
    """
    while True:
        session = store.open_session(owner, SHORT, holder)
        with contextlib.suppress(SessionLost):
            return session, session.put(table, b"key", b"value")


def run_in_threads(*functions: Callable[[], None]) -> None:
    failures: list[BaseException] = []

    def run(function: Callable[[], None]) -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001 - handed to the test below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert failures == []


@contextlib.contextmanager
def child_process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.state.store_process", *arguments]
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
            assert process.stdin is not None
            process.stdin.close()
            process.wait(PATIENCE)
        finally:
            process.kill()


def await_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
