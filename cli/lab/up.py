"""`lab up`: builds a lab from a document, or changes the running one to it, and waits for it.

Everything that can be refused is refused before the store or the lab is touched.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import NamedTuple, NoReturn

import msgspec

from actors.edge.datapath_choice import NO_KERNEL_DATAPATH, kernel_offers_datapath
from actors.state.document import (
    Document,
    DocumentError,
    DocumentUnreadable,
    apply_document,
    load_document,
)
from actors.state.store.interface import Conflict, Store, StoreError
from actors.state.store.open import check_store
from cli.errors import CommandError, ExitStatus
from cli.lab import control
from cli.lab.down import alone, tear_down
from cli.lab.from_document import wanted_lab
from cli.lab.lab_store import OWN_SERVER, is_networked
from cli.lab.launch import KEEPER, launch
from cli.lab.registry import RunningLab, find_lab
from cli.lab.state_folder import DEFAULT_NAME, LabFiles, check_socket_paths, lab_files
from cli.lab.store_network import check_underlay
from cli.lab.view import LabView, latest_claim, open_lab_store, with_links
from cli.lab.wait import Change, announce, wait
from cli.lab.wanted import Lab
from cli.lab.zookeeper_server import installed

_BUILD_PATIENCE = 120.0
"""Seconds that the keeper may take to build or change a lab, agents' stopping included."""
_TERMINATED = 128 + signal.SIGTERM


class Request(NamedTuple):
    """What `lab up` was asked for; `store` and `datapath` None mean: as the running lab has them."""

    file: Path
    name: str | None = None
    store: str | None = None
    datapath: str | None = None
    timeout: float = 60.0
    """Seconds to wait for agents and ports."""


class Report(NamedTuple):
    """What `lab up` did."""

    lab: RunningLab
    view: LabView
    first: bool
    seconds: float


def up(
    request: Request,
    progress: Callable[[str], None],
    keeper: tuple[str, ...] = KEEPER,
) -> Report:
    """Do `lab up`; `progress` is told what is being waited for. Raises CommandError.

    A first `up` that cannot build its lab, or is interrupted, leaves nothing. One whose agents
    do not come up leaves the lab, so that one can look why.
    """
    began = time.monotonic()
    datapath = _datapath(request.datapath)
    store = None if request.store is None else _absolute(request.store)
    document = _load(request.file)
    name = DEFAULT_NAME if request.name is None else request.name
    files = lab_files(name, make=True)
    order = _Order(files, document, wanted_lab(document), store, datapath)
    check_socket_paths(files, tuple(order.wanted.hosts))
    with _terminable():
        made = _make(order, progress, keeper)
        try:
            view = wait(made.lab, made.change, request.timeout, progress)
            announce(made.lab, made.change.moved)
        except (KeyboardInterrupt, SystemExit):
            if made.first:
                with _undisturbed(), alone(files):
                    tear_down(files)
            raise
    view = with_links(made.lab, view)
    return Report(made.lab, view, made.first, time.monotonic() - began)


class _Order(NamedTuple):
    """What is to be built where, once everything about it has been checked."""

    files: LabFiles
    document: Document
    wanted: Lab
    store: str | None
    datapath: str | None


class _Made(NamedTuple):
    lab: RunningLab
    change: Change
    first: bool


def _make(order: _Order, progress: Callable[[str], None], keeper: tuple[str, ...]) -> _Made:
    """Build or change the lab."""
    files = order.files
    with alone(files):
        running = find_lab(files.folder.name)
        if running is not None:
            _refuse_other_settings(running, order.store, order.datapath)
        if is_networked(order.store or "" if running is None else running.store_asked):
            check_underlay(order.wanted)
        if running is not None:
            change = _build(running, order, progress)
            return _Made(_started(files), change, first=False)
        try:
            tear_down(files)  # what a killed keeper may have left
            progress("starting the keeper")
            store = order.store or f"sqlite:///{files.store}"
            launch(files, files.folder.name, store, order.datapath or _best_datapath(), keeper)
            change = _build(_started(files), order, progress)
            return _Made(_started(files), change, first=True)
        except BaseException:
            with _undisturbed():
                tear_down(files)
            raise


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM unwind the stack, as Ctrl-C does."""

    def unwind(_number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(_TERMINATED)

    before = signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Finish what a first Ctrl-C began, whatever comes after it."""
    # Not by a mask: the progress display has a thread, and the kernel would choose that one.
    before = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _datapath(told: str | None) -> str | None:
    match told:
        case None | "soft":
            return told
        case "auto":
            return _best_datapath()
        case "kernel":
            if not kernel_offers_datapath():
                raise CommandError(NO_KERNEL_DATAPATH)
            return told
        case _:
            raise CommandError(
                f"no datapath is called {told!r}: soft, kernel or auto", ExitStatus.USAGE
            )


def _best_datapath() -> str:
    return "kernel" if kernel_offers_datapath() else "soft"


def _load(path: Path) -> Document:
    try:
        return load_document(path)
    except DocumentUnreadable as error:
        raise CommandError(str(error), ExitStatus.NOT_FOUND) from error
    except DocumentError as error:
        raise CommandError(str(error), ExitStatus.USAGE) from error


def _absolute(url: str) -> str:
    """Return the URL with an absolute path: the agents' working directory is another."""
    if not url:
        raise CommandError(
            "--store: the URL is missing (without the option, the store is a file of the lab's)",
            ExitStatus.USAGE,
        )
    if url.startswith("memory:"):
        raise CommandError(
            f"{url}: a store in memory is one process's, a lab has several", ExitStatus.USAGE
        )
    if url == OWN_SERVER:
        missing = installed()
        if missing is not None:
            raise CommandError(
                f"no ZooKeeper server on this machine, {missing} is missing: as root,"
                " apt-get install zookeeper default-jre-headless"
            )
        return url
    if url.startswith("zookeeper:"):
        try:
            check_store(url)
        except StoreError as error:
            raise CommandError(str(error), ExitStatus.USAGE) from error
        return url
    prefix = "sqlite:///"
    if url.startswith(prefix) and url != prefix:
        return prefix + str(Path(url.removeprefix(prefix)).absolute())
    return url


def _refuse_other_settings(running: RunningLab, store: str | None, datapath: str | None) -> None:
    for what, has, told in (
        ("store", (running.store_url, running.store_asked), store),
        ("datapath", (running.datapath,), datapath),
    ):
        if told is not None and told not in has:
            raise CommandError(
                f"lab {running.name} runs with the {what} {has[0]}, not {told}:"
                " `ayatori lab down` first",
                ExitStatus.CONFLICT,
            )


def _started(files: LabFiles) -> RunningLab:
    running = find_lab(files.folder.name)
    if running is None:
        raise CommandError(f"the lab {files.folder.name} is gone", ExitStatus.NOT_FOUND)
    return running


def _apply(store: Store, document: Document) -> None:
    try:
        apply_document(store, document)
    except Conflict as error:
        raise CommandError(str(error), ExitStatus.CONFLICT) from error
    except StoreError as error:
        raise CommandError(str(error), ExitStatus.NOT_FOUND) from error


def _build(running: RunningLab, order: _Order, progress: Callable[[str], None]) -> Change:
    progress("applying the topology")
    with closing(open_lab_store(running.store_url)) as store:
        before = latest_claim(store)
        _apply(store, order.document)
    progress("building namespaces")
    request = {"op": "change", "lab": msgspec.to_builtins(order.wanted)}
    reply, _ = control.call(running.files.control, request, _BUILD_PATIENCE)
    if not reply["ok"]:
        raise CommandError(f"{reply['error']} (see {running.files.log})")
    return Change(before, frozenset(reply["plugged"]), frozenset(reply["moved"]))
