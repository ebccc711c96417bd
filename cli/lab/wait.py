"""When a lab is up: every agent ready, every machine's port active where its machine is."""

import time
from collections.abc import Callable
from contextlib import closing
from typing import NamedTuple

from cli.errors import CommandError, ExitStatus
from cli.lab import control
from cli.lab.logs import last_lines
from cli.lab.registry import RunningLab
from cli.lab.view import LabView, MachineView, look, open_lab_store

_INTERVAL = 0.03
"""Seconds between looks at a lab that comes up."""
_TOO_MANY_ENDS = 3
"""An agent that ended so often without having been ready will not come up by waiting."""
_QUOTED_LINES = 5
_PATIENCE = 10.0


class Change(NamedTuple):
    """What was just done to a lab.

    A port that was active and whose machine was replugged counts as active when the agent has
    said so anew, by an entry later than `before`.
    """

    before: int
    plugged: frozenset[str]
    """New machines."""
    moved: frozenset[str]
    """Machines whose cable went to another interface."""


def announce(running: RunningLab, moved: frozenset[str]) -> None:
    """Have the machines that moved say where they are now. Raises CommandError."""
    if not moved:
        return
    request = {"op": "announce", "names": sorted(moved)}
    reply, _ = control.call(running.files.control, request, _PATIENCE)
    if not reply["ok"]:
        raise CommandError(str(reply["error"]))


def wait(
    running: RunningLab, change: Change, timeout: float, progress: Callable[[str], None]
) -> LabView:
    """Wait until nothing is missing, `timeout` seconds at most; tell `progress` what is.

    Raises CommandError: TIMED_OUT naming what is missing, FAILED if an agent keeps ending.
    """
    deadline = time.monotonic() + timeout
    with closing(open_lab_store(running.store_url)) as store:
        while True:
            view = look(running, store)
            missing = still_missing(view, change)
            if not missing:
                return view
            progress("waiting: " + "; ".join(missing))
            _refuse_crash_loops(running, view)
            if time.monotonic() > deadline:
                raise CommandError(
                    f"after {timeout:g} s still missing: {'; '.join(missing)}"
                    + _quote_logs(running, view, change),
                    ExitStatus.TIMED_OUT,
                )
            time.sleep(_INTERVAL)


def still_missing(view: LabView, change: Change) -> list[str]:
    """Name the agents that are not ready and the machines' ports that are not active. Pure."""
    late = [f"the agent of {name}" for name, state in view.agents.items() if not state.ready]
    late += [
        f"port {machine.port} of {name} on {machine.host}"
        for name, machine in view.machines.items()
        if not _is_active(name, machine, change)
    ]
    return late


def _is_active(name: str, machine: MachineView, change: Change) -> bool:
    replugged = name in change.plugged or name in change.moved
    return machine.active is True and (machine.since > change.before or not replugged)


def _refuse_crash_loops(running: RunningLab, view: LabView) -> None:
    for name, state in view.agents.items():
        if state.ends >= _TOO_MANY_ENDS:
            log = running.hosts[name].log
            said = last_lines(log, 1)
            raise CommandError(
                f"the agent of {name} keeps ending ({state.last_end}):"
                f" {said[0] if said else 'it says nothing'} (all of it: {log})"
            )


def _quote_logs(running: RunningLab, view: LabView, change: Change) -> str:
    """Return the ends of the logs of the hosts where something is missing."""
    hosts = {name for name, state in view.agents.items() if not state.ready}
    hosts |= {
        machine.host
        for name, machine in view.machines.items()
        if machine.host and not _is_active(name, machine, change)
    }
    quoted = []
    for name in sorted(hosts & running.hosts.keys()):
        log = running.hosts[name].log
        quoted.append(f"\n{log}:")
        quoted += [f"\n  {line}" for line in last_lines(log, _QUOTED_LINES) or ["(empty)"]]
    return "".join(quoted)
