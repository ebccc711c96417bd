"""open_store: the one way to a store, by its URL; and what can be said of a URL before that."""

import logging
from pathlib import Path
from urllib.parse import quote

from actors.state.store.interface import Store, StoreError
from actors.state.store.sqlite.changes import LogBounds
from actors.state.store.sqlite.delivery import Report
from actors.state.store.sqlite.place import FilePlace, MemoryPlace
from actors.state.store.sqlite.store import SqliteStore

_KNOWN = (
    "sqlite:///relative/path, sqlite:////absolute/path, memory:NAME"
    " or zookeeper://host:port,host:port/root"
)

_log = logging.getLogger("ayatori.store")


def _log_failure(message: str, cause: Exception) -> None:
    _log.error(message, exc_info=cause)


def open_store(
    url: str, *, report: Report = _log_failure, log_bounds: LogBounds | None = None
) -> Store:
    """Open the store at `url`, making it if there is none. The caller closes it.

    `report(message, cause)` is called on the store's thread when a listener raised or the store
    could not be read there (which is tried again); by default it goes to the log `ayatori.store`.
    `log_bounds` says how many changes SQLite keeps for watchers that lag.
    Raises StoreError.
    """
    bounds = log_bounds or LogBounds()
    scheme, colon, rest = url.partition(":")
    if colon and scheme == "sqlite":
        if not rest.startswith("///") or not rest[3:]:
            raise StoreError(f"{url}: a path is missing, as in sqlite:////var/lib/ayatori/store.db")
        path = Path(rest[3:]).absolute()
        return SqliteStore(url, FilePlace(url, path), report, bounds)
    if colon and scheme == "memory":
        if not rest:
            raise StoreError(f"{url}: a name is missing, as in memory:test")
        return SqliteStore(url, MemoryPlace(url, rest), report, bounds)
    if colon and scheme == "zookeeper":
        return _open_zookeeper(url, report)
    raise StoreError(f"{url}: unknown kind of store; use {_KNOWN}")


def check_store(url: str) -> None:
    """Refuse a store that waiting will not mend: a wrong URL, a file that is no store.

    Whether servers answer is not looked at. Raises StoreError.
    """
    if not url.startswith("zookeeper:"):
        open_store(url).close()
        return
    from actors.state.store.zookeeper.address import parse_address  # noqa: PLC0415 - as below

    parse_address(url)


def with_credential(url: str, file: Path | None) -> str:
    """Return the URL with the file that holds `user:password`, if one is given. Raises StoreError."""
    if file is None:
        return url
    if not url.startswith("zookeeper:"):
        raise StoreError(f"{url}: a store of this kind takes no credential")
    if "?" in url:
        raise StoreError(f"{url}: names a credential itself; give one")
    return f"{url}?auth=digest:{quote(str(file.absolute()))}"


def _open_zookeeper(url: str, report: Report) -> Store:
    # A machine whose store is SQLite pays nothing for the client: commands start quickly.
    from actors.state.store.zookeeper.address import parse_address  # noqa: PLC0415
    from actors.state.store.zookeeper.store import ZookeeperStore  # noqa: PLC0415

    return ZookeeperStore(parse_address(url), report)
