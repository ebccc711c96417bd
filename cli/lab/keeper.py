"""The lab keeper: the one process that owns a lab, its namespaces and its agents.

`lab up` starts it detached (`python -m cli.lab.keeper`); the other commands talk to it over its
control socket. All it holds, it holds by descriptors and as children that die with it: even
SIGKILL of the keeper leaves no namespace, link or agent. It reads no topology and no store. One
thread: pyroute2 and the death signal of children are bound to it.
"""

import json
import logging
import os
import selectors
import signal
import socket
import time
from contextlib import suppress

import msgspec

from cli.lab import control, leftovers, namespaces
from cli.lab.agents import Agent, stop
from cli.lab.fabric import Fabric
from cli.lab.lab_store import LabStore
from cli.lab.links import LinkError
from cli.lab.plan import AddMachine, PlugMachine, RemoveHost, RemoveMachine, Step, plan
from cli.lab.registry import HostEntry, RunningLab, write_entry
from cli.lab.state_folder import LabFiles
from cli.lab.wanted import Lab

_TUNNEL_PORT = 6677
_SESSION_TTL = 4.0
"""Seconds: shorter than elsewhere, so that faults soon show."""
_REQUEST_PATIENCE = 2.0
"""Seconds that a client has to send its request: it is local, and the keeper has one thread."""
_FILE_CHECK = 2.0
"""Seconds between looks at the size of the agents' logs, and whether the lab's folder is there."""

_log = logging.getLogger("ayatori.lab")


class Keeper:
    """Builds, keeps and ends one lab. Made and run by one thread, in namespaces of its own."""

    def __init__(
        self,
        files: LabFiles,
        about: RunningLab,
        agent: tuple[str, ...],
        user: int | None,
        store: LabStore,
    ) -> None:
        """Take the calling process's network namespace as the underlay.

        `about` says what the lab is called and where its store is; `agent` is the command that
        runs an agent, less its `--config FILE`; `user` is a descriptor of the user namespace,
        if there is one. Raises LinkError, OSError, ZookeeperFailed.
        """
        self._files = files
        self._about = about
        self._agent_command = agent
        self._user = user
        self._store = store
        self._fabric = Fabric(store_network=store.networked)
        store.begin()
        self._agents: dict[str, Agent] = {}
        self._leaving = False
        self._file_check = 0.0
        self._selector = selectors.DefaultSelector()
        self._listener = control.listen(files.control)
        self._selector.register(self._listener, selectors.EVENT_READ, self._serve)
        self._wakeup = self._hear_signals()
        self._selector.register(self._wakeup, selectors.EVENT_READ, self._woken)
        self._publish()

    def _hear_signals(self) -> socket.socket:
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        return reader

    def run(self) -> None:
        """Serve until told to end, then end everything. Raises whatever is a bug."""
        try:
            while not self._leaving:
                for key, _ in self._selector.select(self._pause()):
                    key.data()
                self._look_after_agents()
                self._store.look_after(time.monotonic())
        finally:
            self._end()

    def _pause(self) -> float:
        times = [agent.start_at for agent in self._agents.values() if agent.start_at is not None]
        if self._store.start_at is not None:
            times.append(self._store.start_at)
        return max(0.0, min([*times, self._file_check]) - time.monotonic())

    def _woken(self) -> None:
        with suppress(BlockingIOError):
            received = self._wakeup.recv(4096)
            self._leaving |= signal.SIGTERM in received or signal.SIGINT in received

    def _look_after_agents(self) -> None:
        now = time.monotonic()
        for name, agent in self._agents.items():
            if (how := agent.reap(now)) is not None:
                _log.warning("the agent of %s ended: %s", name, how)
            if agent.start_at is not None and agent.start_at <= now:
                agent.start(now)
        if now >= self._file_check:
            self._file_check = now + _FILE_CHECK
            self._check_files()

    def _check_files(self) -> None:
        for agent in self._agents.values():
            agent.trim_log()
        if not self._files.entry.exists():
            _log.error("the lab's folder was removed: nobody could find or end the lab any more")
            self._leaving = True

    def _serve(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError as error:
            _log.warning("a client could not be served: %s", error)
            return
        with connection:
            connection.settimeout(_REQUEST_PATIENCE)
            try:
                if control.is_ours(connection):
                    request, _ = control.receive(connection)
                    reply, descriptors = self._answer(request)
                    control.send(connection, reply, descriptors)
            except (OSError, control.Disconnected) as error:
                _log.warning("a client went away: %s", error)

    def _answer(self, request: control.Message) -> tuple[control.Message, tuple[int, ...]]:
        match request.get("op"):
            case "status":
                return self._status(), ()
            case "change":
                return self._change(request.get("lab")), ()
            case "enter":
                return self._enter(request.get("name"))
            case "announce":
                return self._announce(request.get("names")), ()
            case "down":
                self._leaving = True
                return {"ok": True}, ()
            case other:
                return {"ok": False, "error": f"unknown request {other!r}"}, ()

    def _status(self) -> control.Message:
        actual = self._fabric.actual
        return {
            "ok": True,
            "store_pid": self._store.pid,
            "hosts": {name: agent.state._asdict() for name, agent in self._agents.items()},
            "machines": {
                machine.name: {
                    "host": machine.plug.host if machine.plug else None,
                    "port": machine.port,
                }
                for machine in actual.machines.values()
            },
        }

    def _enter(self, name: object) -> tuple[control.Message, tuple[int, ...]]:
        machines, hosts = self._fabric.machines, self._fabric.hosts
        if not isinstance(name, str) or (name not in machines and name not in hosts):
            return {"ok": False, "machines": [*machines], "hosts": [*hosts]}, ()
        place = machines.get(name) or hosts[name]
        descriptors = (place.descriptor,) if self._user is None else (place.descriptor, self._user)
        return {"ok": True, "token": self._about.token}, descriptors

    def _change(self, raw: object) -> control.Message:
        try:
            wanted = msgspec.convert(raw, Lab)
        except msgspec.ValidationError as error:
            return {"ok": False, "error": f"malformed lab: {error}"}
        steps = plan(self._fabric.actual, wanted)
        problem = self._do(steps)
        try:
            self._match_agents()
            self._publish()
        except OSError as error:
            _log.exception("the agents do not match the hosts")
            problem = problem or str(error)
        while self._fabric.remarks:
            _log.warning("not allowed here: %s", self._fabric.remarks.pop())
        if problem is not None:
            return {"ok": False, "error": problem}
        return {
            "ok": True,
            "plugged": [step.machine.name for step in steps if isinstance(step, AddMachine)],
            "moved": [step.name for step in steps if isinstance(step, PlugMachine)],
        }

    def _announce(self, names: object) -> control.Message:
        for name in names if isinstance(names, list) else ():
            if name in self._fabric.machines:
                try:
                    self._fabric.announce(name)
                except LinkError as error:
                    return {"ok": False, "error": str(error)}
        return {"ok": True}

    def _do(self, steps: tuple[Step, ...]) -> str | None:
        """Do the steps up to the first that fails; return what was wrong with it."""
        try:
            self._clear_the_way(steps)
            for step in steps:
                _log.info("%s", step)
                self._fabric.do(step)
        except (LinkError, OSError) as error:
            _log.exception("the change failed")
            return str(error)
        return None

    def _clear_the_way(self, steps: tuple[Step, ...]) -> None:
        """End what runs in the hosts and machines that will go, all at once."""
        hosts = [step.name for step in steps if isinstance(step, RemoveHost)]
        machines = [step.name for step in steps if isinstance(step, RemoveMachine)]
        self._stop_agents(hosts)
        places = [self._fabric.hosts[name] for name in hosts]
        places += [self._fabric.machines[name] for name in machines]
        leftovers.end_all_in(frozenset(namespaces.identity(each.descriptor) for each in places))

    def _match_agents(self) -> None:
        """Have an agent run in each host that there is now. Raises OSError."""
        for name in self._fabric.hosts:
            if name not in self._agents:
                self._add_agent(name)
        for agent in self._agents.values():
            agent.start_anew(time.monotonic())

    def _add_agent(self, name: str) -> None:
        files = self._files.host(name)
        files.journal.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings = {
            "host": name,
            "store": self._store.agents_url,
            "session": {"ttl": _SESSION_TTL},
            "datapath": self._about.datapath,
            "journal": {"directory": str(files.journal)},
            "control": str(files.control),
            "tunnel": {"port": _TUNNEL_PORT},
            "log": {"level": "info", "format": "json"},
        }
        files.config.write_text(json.dumps(settings, indent=2) + "\n")  # JSON is YAML, too
        agent = Agent(
            name,
            self._fabric.hosts[name].descriptor,
            (*self._agent_command, "--config", str(files.config)),
            files,
            {**os.environ, leftovers.TOKEN: self._about.token},
        )
        agent.start_at = time.monotonic()
        self._agents[name] = agent
        self._selector.register(agent.notify, selectors.EVENT_READ, agent.hear)

    def _stop_agents(self, names: list[str]) -> None:
        stopped = [self._agents.pop(name) for name in names if name in self._agents]
        for agent in stopped:
            self._selector.unregister(agent.notify)
        stop(stopped)

    def _publish(self) -> None:
        hosts = {name: self._files.host(name) for name in self._agents}
        entries = {
            name: HostEntry(of.control, of.journal, of.config, of.log) for name, of in hosts.items()
        }
        machines = tuple(self._fabric.machines)
        write_entry(self._files, self._about._replace(hosts=entries, machines=machines))

    def _end(self) -> None:
        self._files.control.unlink(missing_ok=True)
        self._stop_agents([*self._agents])
        places = [*self._fabric.machines.values(), *self._fabric.hosts.values()]
        leftovers.end_all_in(frozenset(namespaces.identity(each.descriptor) for each in places))
        self._store.close()
        self._fabric.close()
