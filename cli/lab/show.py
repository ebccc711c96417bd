"""How a lab is shown: JSON of a fixed shape, tables for people, progress while it comes up."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.lab.registry import RunningLab
from cli.lab.up import Report
from cli.lab.view import LabView


def as_json(lab: RunningLab, view: LabView) -> dict[str, object]:
    """Return the shape of `lab status --json`; only a server of the lab's own has a pid there."""
    return {
        "hosts": {
            name: {
                "pid": state.pid,
                "journal": str(lab.files.host(name).journal),
                "datapath": lab.datapath,
                "store": dict(view.links).get(name),
            }
            for name, state in view.agents.items()
        },
        "machines": {
            name: {"host": machine.host, "port": machine.port, "active": machine.active}
            for name, machine in view.machines.items()
        },
        "store": {"url": lab.store_url, "pid": view.store_pid},
    }


def tables(lab: RunningLab, view: LabView) -> None:
    """Print a lab's hosts and machines for people."""
    console = Console()
    hosts = Table("host", "agent", "store", "datapath", title=f"lab {lab.name}")
    for name, state in view.agents.items():
        hosts.add_row(
            Text(name),
            Text(_agent(state.pid, ready=state.ready, last_end=state.last_end)),
            Text(dict(view.links).get(name, "-")),
            lab.datapath,
        )
    machines = Table("machine", "port", "host", "active")
    for name, machine in view.machines.items():
        machines.add_row(
            Text(name),
            Text(machine.port),
            Text(machine.host or "-"),
            "?" if machine.active is None else "yes" if machine.active else "no",
        )
    console.print(hosts, machines)
    # Beside the tables and never folded: these are for copying.
    for name in view.agents:
        journal = lab.files.host(name).journal
        console.print(Text(f"journal of {name}: {journal}"), soft_wrap=True)
    console.print(Text(f"store: {lab.store_url}"), soft_wrap=True)


def _agent(pid: int | None, *, ready: bool, last_end: str) -> str:
    if pid is None:
        return f"ended ({last_end}), will restart"
    return f"ready, pid {pid}" if ready else f"starting, pid {pid}"


def report(done: Report) -> None:
    """Print what `lab up` did, in a line."""
    hosts, machines = len(done.view.agents), len(done.view.machines)
    Console().print(
        Text(
            f"lab {done.lab.name} is {'up' if done.first else 'changed'}: {_count(hosts, 'host')},"
            f" {_count(machines, 'machine')} ({done.seconds:.1f} s)"
        ),
        soft_wrap=True,
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Give a function that says what is being done, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    console = Console(stderr=True)
    with console.status("") as line:
        yield lambda text: line.update(Text(text))
