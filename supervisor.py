"""The agent process: the supervision tree of one host, and what keeps it alive.

    agent
    ├── lane            actors, each restarted by the lane's policy (actors/supervision.py)
    ├── datapath        the channel to the kernel's datapath, or to a soft one in a process
    │                   of its own; the readers of its sockets
    ├── store           the store's connection and this host's session
    ├── link-watch      the host's interfaces
    ├── ticker          time
    └── control         operators' requests

A part of the edge that fails is restarted, later each time; one that fails too often, an actor
past its limits, a lane that ends or stands still: each ends the process with a status of its own,
so that systemd sees it and starts it afresh.
"""

import faulthandler
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import msgspec
import structlog

from actors.composition import actor_factory
from actors.datapath.dialogue import DatapathUnavailableError
from actors.edge.agent_edge import AgentEdge
from actors.edge.config import AgentConfig
from actors.edge.control import ControlServer, check_control
from actors.edge.datapath_choice import DatapathChoice
from actors.edge.datapath_link import DatapathLink
from actors.edge.link_watch import LinkWatch
from actors.edge.service import Service
from actors.edge.steady_clock import SteadyClock
from actors.edge.store_driver import StoreDriver, report_trouble
from actors.edge.systemd import Notifier
from actors.edge.ticker import Ticker
from actors.lane import EscalationError, Lane
from actors.messages.flow_state import FlowStateRestored
from actors.messages.operator import AgentStarted, StopRequested
from actors.state.flow_state_recovery import known_flow_state
from actors.state.journal import JournalWriter, Run
from actors.state.journal_format import JournalError
from actors.state.store.holder import this_process
from actors.state.store.open import check_store, open_store
from actors.values import ActorName

OPERATOR = ActorName("operator")
REPLICATOR = ActorName("flow-state-replicator")

EXIT_FAILED = 1
EXIT_CONFLICT = 5
"""Another agent has this host's id."""
EXIT_ESCALATED = 70
"""An actor or a part of the edge failed more often than its limit allows."""
EXIT_STUCK = 71
"""The lane stood still; its stack is in the log."""

RESTART_WINDOW = 60.0
MOST_RESTARTS = 10
FIRST_DELAY = 0.1
MOST_DELAY = 5.0
SUPERVISION_INTERVAL = 0.05
STOP_TIMEOUT = 5.0
STORE_TIMEOUT = 3.0
"""Seconds that the session may take to end, after which its lease does."""

log = structlog.get_logger("supervisor")


class RestartsExhaustedError(Exception):
    """A part of the edge failed more often than its limit allows."""


class Restarts:
    """When a part of the edge may be started again. Times in seconds, monotonic."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.times: list[float] = []

    def next_start(self, now: float) -> float:
        """Note a failure; return when to start again. Raises RestartsExhaustedError."""
        self.times = [t for t in self.times if now - t < RESTART_WINDOW]
        self.times.append(now)
        if len(self.times) > MOST_RESTARTS:
            raise RestartsExhaustedError(f"{self.name} failed {len(self.times)} times in a minute")
        return now + min(FIRST_DELAY * (1 << len(self.times) - 1), MOST_DELAY)


class LaneThread(Service):
    """The thread of a lane. It is not restarted: its state is what the process is for."""

    name = "lane"

    def __init__(self, lane: Lane) -> None:
        super().__init__()
        self._lane = lane

    def run(self) -> None:
        """Run the lane until it is stopped."""
        self._lane.run()

    def interrupt(self) -> None:
        """Let the lane end after what it has."""
        self._lane.stop()


class Agent:
    """One host's agent. `run` blocks until it is stopped and returns the exit status."""

    def __init__(self, config: AgentConfig) -> None:
        self.config = config
        # The journal holds the seed, so that what follows from it replays.
        self.host = msgspec.structs.replace(
            config.host_settings(), seed=int.from_bytes(os.urandom(4))
        )
        self.clock = SteadyClock()
        self.started = self.clock()
        self.notifier = Notifier(os.environ.get("NOTIFY_SOCKET"))
        self._stop = threading.Event()
        self._stop_signal = ""
        self._stopped = threading.Event()
        self.ready = threading.Event()

        run = Run(
            program_version(), config.host, self.started, config.journal.frame_limit,
            msgspec.Raw(msgspec.msgpack.encode(self.host)),
        )  # fmt: skip
        self.journal = JournalWriter(config.journal_settings(), run)
        self.datapath = DatapathChoice(config.datapath)
        self.link = DatapathLink(
            self.clock, self.datapath.open, self.datapath.fall_back,
            upcalls_by_cpu=config.upcalls == "cpu",
        )  # fmt: skip
        self.edge = AgentEdge(self.link, self._settled, self._stopped.set)
        factory = actor_factory(self.host, self.link.requests)
        self.lane = Lane("main", factory, self.journal, self.edge)
        self.lane.on_crash = self._log_crash
        self.link.attach(self.lane)
        self.store = StoreDriver(
            self.lane,
            self.clock,
            lambda: open_store(config.store_url(), report=report_trouble),
            self.host.host,
            config.session.ttl,
        )
        self._began_datapath = False
        self.control = ControlServer(self.lane, self.clock, config.control, self.status)
        self.edge.store, self.edge.control = self.store, self.control
        self.lane_thread = LaneThread(self.lane)
        self._services: tuple[Service, ...] = (
            self.store,
            LinkWatch(self.lane, self.clock),
            Ticker(self.lane, self.clock),
            self.control,
        )
        self._restarts: dict[str, Restarts] = {}
        self._starts_at: dict[str, float] = {}
        self._progress: tuple[int, float] = (0, time.monotonic())

    # --- life ---------------------------------------------------------------------------------

    def run(self) -> int:
        """Run until SIGTERM or SIGINT, or until something gives up."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        share_interpreter()
        self.lane.submit(OPERATOR, AgentStarted(self.started))
        self._restore_flow_state()
        self.lane_thread.start()
        for service in self._services:
            service.start()
        log.info("started", host=self.config.host, pid=os.getpid(), store=self.config.store)
        status = self._supervise()
        return self._wind_up(status)

    def _restore_flow_state(self) -> None:
        """Give the lane what an earlier run knew; without a readable journal it starts without."""
        try:
            keys = known_flow_state(self.config.journal.directory)
        except JournalError as error:
            log.info("no flow state restored", reason=str(error))
            return
        if keys:
            self.lane.submit(REPLICATOR, FlowStateRestored(self.clock(), keys))
            log.info("flow state restored", keys=len(keys))

    def _supervise(self) -> int:
        watchdog = _watchdog_interval()
        ping_at = time.monotonic()
        while not self._stop.wait(SUPERVISION_INTERVAL):
            now = time.monotonic()
            if self.store.refused is not None:
                log.critical("the host id is another's", reason=str(self.store.refused))
                return EXIT_CONFLICT
            if self.link.lacking is not None:
                return EXIT_FAILED
            try:
                self._check_lane(now)
                self._check_datapath(now)
                for service in self._services:
                    self._check_service(service, now)
            except RestartsExhaustedError as error:
                log.critical("giving up", reason=str(error))
                return EXIT_ESCALATED
            except EscalationError as error:
                log.critical("giving up", reason=str(error))
                return EXIT_ESCALATED
            if watchdog and now >= ping_at and self._progress[1] > now - watchdog:
                self.notifier.send("WATCHDOG=1")
                ping_at = now + watchdog / 2
        log.info("stopping", signal=self._stop_signal)
        return 0

    def _wind_up(self, status: int) -> int:
        self.notifier.send("STOPPING=1")
        in_order = status in {0, EXIT_CONFLICT, EXIT_FAILED}
        keep = self._keeps_flows()
        if in_order and self.lane_thread.alive:
            self.lane.submit(OPERATOR, StopRequested(self.clock(), keep))
            self._stopped.wait(STOP_TIMEOUT)
        ended = self.lane_thread.stop(STOP_TIMEOUT)
        for service in self._services:
            service.stopping.set()
        for service in reversed(self._services):
            if service is self.store:
                continue
            if not service.stop():
                log.error("does not end", part=service.name)
        self.store.leave_session = keep  # the flows that stay need the rows of both ends
        if not self.store.stop(STORE_TIMEOUT):
            log.warning("leaves the session to its lease: the store does not answer")
        self.link.disconnect(tell=False, remove=in_order and not keep)
        if ended:
            self.journal.close(self.lane.snapshot() if in_order else None)
            self.lane.close()
        log.info("stopped", status=status)
        return status

    def _keeps_flows(self) -> bool:
        """Whether the datapath stays: because it shall, or because the one who took over has it."""
        taken = self.store.refused
        if taken is None:
            return self.config.keep_flows
        return taken.lease.holder.boot == this_process().boot

    def _on_signal(self, number: int, _frame: object) -> None:
        self._stop_signal = signal.Signals(number).name
        self._stop.set()

    def _settled(self) -> None:
        """All that is bound to this host is plugged in (called on the lane)."""
        self.ready.set()
        self.notifier.send("READY=1", f"STATUS=host {self.config.host} is ready")

    # --- the tree -----------------------------------------------------------------------------

    def _check_lane(self, now: float) -> None:
        thread, lane = self.lane_thread, self.lane
        if not thread.alive:
            failure = thread.failure
            log.critical("the lane ended", error=repr(failure), inputs=lane.inputs)
            raise EscalationError(f"the lane ended: {failure!r}") from failure
        if not lane.busy or lane.inputs != self._progress[0]:
            self._progress = (lane.inputs, now)
        elif now - self._progress[1] > self.config.lane_timeout:
            log.critical(
                "the lane stands still", inputs=lane.inputs, seconds=now - self._progress[1]
            )
            faulthandler.dump_traceback(all_threads=True)
            sys.stderr.flush()
            os._exit(EXIT_STUCK)

    def _check_service(self, service: Service, now: float) -> None:
        if service.alive:
            return
        start_at = self._starts_at.get(service.name)
        if start_at is None:
            log.error("failed", part=service.name, error=repr(service.failure))
            self._starts_at[service.name] = self._restart(service.name).next_start(now)
        elif now >= start_at:
            del self._starts_at[service.name]
            service.start()

    def _check_datapath(self, now: float) -> None:
        if not self._began_datapath:
            # Not before the host's id is ours: the datapath may be another agent's.
            if self.store.had_session:
                self._began_datapath = True
                self._connect_datapath()
            return
        if self.link.alive:
            return
        start_at = self._starts_at.get("datapath")
        if start_at is None:
            log.error("failed", part="datapath", error=repr(self.link.failure))
            self.link.disconnect(tell=True)
            self._starts_at["datapath"] = self._restart("datapath").next_start(now)
        elif now >= start_at:
            del self._starts_at["datapath"]
            self._connect_datapath()

    def _connect_datapath(self) -> None:
        try:
            self.link.connect()
        except (OSError, DatapathUnavailableError) as error:
            log.warning("no datapath", error=str(error))

    def _restart(self, name: str) -> Restarts:
        return self._restarts.setdefault(name, Restarts(name))

    def _log_crash(self, actor: ActorName, error: BaseException, trace: str) -> None:
        log.error("actor crashed", actor=actor, error=repr(error), trace=trace)

    def status(self) -> dict[str, object]:
        """Return what the supervisor knows, for operators."""
        return {
            "pid": os.getpid(),
            "host": self.config.host,
            "version": program_version(),
            "ready": self.ready.is_set(),
            "datapath": self.datapath.kind,
            "datapath_features": self.link.features,
            "store": self.config.store,
            "store_link": self.store.status(),
            "uptime": round((self.clock() - self.started) / 1e9, 3),
            "inputs": self.lane.inputs,
            "actors": len(self.lane.names),
            "journal_records": self.journal.records,
            "undeliverable": self.lane.undeliverable,
            "restarts": {name: len(r.times) for name, r in self._restarts.items()},
            "crashes": {name: len(times) for name, times in self.lane.policy.crashes.items()},
            **self.link.counters(),
        }


def share_interpreter() -> None:
    """Set this process up for a busy lane beside threads that read."""
    sys.setswitchinterval(0.0005)  # a reader thread waits no longer than this for the lane
    gc.set_threshold(50_000, 20, 100)


def program_version() -> str:
    """Return the installed version, or "0" in a bare checkout."""
    try:
        return version("ayatori")
    except PackageNotFoundError:
        return "0"


def _watchdog_interval() -> float:
    """Return systemd's watchdog time in seconds, 0 if it does not watch (sd_watchdog_enabled(3))."""
    usec = os.environ.get("WATCHDOG_USEC", "")
    return int(usec) / 1e6 if usec.isdigit() else 0.0


def configure_logging(level: str, style: str, stream: Callable[[], bool]) -> None:
    """Send the agent's log to standard error: JSON lines, or text where a person reads."""
    text = style == "text" or (style == "auto" and stream())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if text else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def run_agent(config: AgentConfig) -> int:
    """Run an agent with this configuration; return its exit status.

    Raises StoreError if the store's URL is wrong or its file is no store (servers are waited for),
    OwnerTaken if another agent has the host's id, MissingFeatureError if the datapath lacks what
    agents need, ControlTakenError, NoPlaceForControlError, JournalError.
    """
    check_store(config.store_url())
    check_control(config.control)
    configure_logging(config.log.level, config.log.format, sys.stderr.isatty)
    agent = Agent(config)
    status = agent.run()
    refused = agent.store.refused or agent.link.lacking
    if refused is not None:
        raise refused
    return status
