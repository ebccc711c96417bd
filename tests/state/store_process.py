"""What the contract suite runs in other processes: `python -m tests.state.store_process …`."""

import sys
from contextlib import suppress

from actors.state.store.interface import Conflict, ObjectKey, SessionLost, Update
from actors.state.store.open import open_store

COUNTER = ObjectKey("counter", "shared")


def count(url: str, times: int) -> None:
    """Add 1 to the shared counter so often, racing with others."""
    store = open_store(url)
    done = 0
    while done < times:
        found = store.read(COUNTER)
        assert found is not None
        try:
            store.transact((Update(COUNTER, found.version, b"%d" % (int(found.data) + 1)),))
        except Conflict:
            continue
        done += 1
    store.close()


def put(url: str, owner: str, times: int) -> None:
    """Put so many values under a few keys, remove some, then wait to be told to go."""
    store = open_store(url)
    session = store.open_session(owner, ttl=60.0)
    for number in range(times):
        key = b"%d" % (number % 7)
        session.put("load", key, b"%d" % number)
        if number % 5 == 0:
            session.remove("load", key)
    tell_ready()
    sys.stdin.readline()
    store.close()


def hold(url: str, owner: str, ttl: float) -> None:
    """Own one entry, say so, and keep it until killed or the standard input ends."""
    store = open_store(url)
    while True:
        session = store.open_session(owner, ttl)
        with suppress(SessionLost):  # its lease may be shorter than a busy machine's pause
            session.put("held", b"key", b"value")
            break
    tell_ready()
    sys.stdin.readline()
    store.close()


def tell_ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["count", url, times]:
            count(url, int(times))
        case ["put", url, owner, times]:
            put(url, owner, int(times))
        case ["hold", url, owner, ttl]:
            hold(url, owner, float(ttl))
        case other:
            raise SystemExit(f"unknown role: {other}")
