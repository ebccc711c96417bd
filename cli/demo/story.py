"""The story of the demonstration: a lab is built, packets cross it, what came of them is shown."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import NamedTuple

from actors.state.document import load_document
from actors.values import format_ip
from cli.demo.commands import Commands, Trace
from cli.demo.picture import draw, topology
from cli.demo.screen import Screen
from cli.errors import CommandError
from cli.inspection import gather
from cli.inspection.agent_socket import AgentSocket

_FIRST, _SECOND = 2, 1
"""Requests of a first ping (no flow is made of a packet that waited for ARP), and of a second."""
_TRIES = 10
"""A second ping is repeated if a machine sent something else meanwhile, such as an ARP probe."""


class Machine(NamedTuple):
    """A machine of the lab."""

    name: str
    address: str
    host: str


class Counters(NamedTuple):
    """What a host's agent has counted."""

    misses: int
    """Packets that missed all flows."""
    simulated: int
    """Of them, those whose way was worked out here."""


class Story:
    """Tells it, with the topology document `file`, on `screen`."""

    def __init__(self, file: Path, commands: Commands, screen: Screen) -> None:
        self._file = file
        self._commands = commands
        self._screen = screen
        self._document = load_document(file)
        self._machines: tuple[Machine, ...] = ()
        self._agents: dict[str, AgentSocket] = {}
        self._journals: dict[str, Path] = {}

    def tell(self) -> None:
        """Tell all of it. Raises CommandError where it cannot go on."""
        self._build()
        self._first_pings()
        self._who_simulated()
        before = self._flows()
        self._second_pings()
        self._flows_took_them(before)
        self._replay()
        self._end()

    # --- the lab ------------------------------------------------------------------------------

    def _build(self) -> None:
        screen, document = self._screen, self._document
        screen.heading("A virtual network, and a lab to run it")
        for tree in topology(document):
            for line in draw(tree):
                screen.say(f"    {line}")
        words = ("lab", "up", str(self._file))
        screen.command(("ayatori", *words))
        with screen.busy("building namespaces, starting agents"):
            screen.say(self._commands.must(*words))
        status = json.loads(self._commands.must("lab", "status", "--json"))
        addresses = {
            name: format_ip(machine.addresses[0].address)
            for name, machine in (document.lab.machines if document.lab else {}).items()
        }
        self._machines = tuple(
            Machine(name, addresses[name], told["host"])
            for name, told in status["machines"].items()
        )
        for host, told in status["hosts"].items():
            journal = Path(told["journal"])
            self._journals[host] = journal
            self._agents[host] = AgentSocket(host, journal.with_name("control"))
        pids = {told["pid"] for told in status["hosts"].values()}
        screen.check(
            f"{len(self._agents)} hosts, each with an agent of its own (pids"
            f" {', '.join(map(str, sorted(pids)))}) and a tunnel between them",
            holds=len(pids) == len(self._agents) and None not in pids,
        )
        active = sum(told["active"] for told in status["machines"].values())
        screen.check(
            f"{active} machines plugged in, each in a network namespace of its own",
            holds=active == len(self._machines) > 1,
        )

    # --- pings --------------------------------------------------------------------------------

    def _pairs(self) -> list[tuple[Machine, Machine]]:
        return list(permutations(self._machines, 2))

    def _counters(self) -> dict[str, Counters]:
        counters = {}
        for host, agent in self._agents.items():
            told = gather.workflow(agent)
            counters[host] = Counters(told.packets, told.simulated)
        return counters

    def _first_pings(self) -> None:
        screen = self._screen
        screen.heading("First pings, between all machines")
        screen.command(
            ("ayatori", "lab", "exec", "web1", "--", "ping", "-c", str(_FIRST), "10.0.2.12")
        )
        rows, lost = [], []
        with screen.busy("pinging") as status:
            for one, other in self._pairs():
                status.update(f"{one.name} pings {other.name}")
                before = self._counters()
                times = self._commands.ping(one.name, other.address, _FIRST)
                after = self._counters()
                if len(times) != _FIRST:
                    lost.append(f"{one.name} to {other.name}")
                rows.append((
                    one.name, other.name, _way(one, other), _milliseconds(times),
                    *(_more(after[host].simulated - before[host].simulated) for host in before),
                ))  # fmt: skip
        columns = ["from", "to", "", "round trips"]
        screen.table([*columns, *(f"simulated at {host}" for host in self._agents)], rows)
        screen.remark(
            "An ARP request or a ping that no flow matches goes up to the agent of the host where it"
            " entered. Requests and replies of two machines share their flows, so the way back"
            " is often known already."
        )
        pairs = len(rows)
        screen.check(
            f"{pairs - len(lost)} of {pairs} pairs answer", holds=not lost, why="; ".join(lost)
        )

    def _who_simulated(self) -> None:
        screen = self._screen
        screen.heading("Which host simulated each ping, out of the agents' journals")
        names = {machine.address: machine for machine in self._machines}
        rows: dict[tuple[str, ...], int] = Counter()
        elsewhere, computed = [], []
        for host, journal in self._journals.items():
            for trace in self._commands.packets(journal):
                if not trace.is_echo or trace.field("src") not in names:
                    continue
                source, target = names[trace.field("src")], names.get(trace.field("dst"))
                row = (host, source.name, target.name if target else trace.field("dst"))
                if trace.tunnelled:
                    computed += [row] if trace.path else []
                    rows[*row, "none: the tunnel's key names the port", _made(trace)] += 1
                else:
                    elsewhere += [row] if source.host != host else []
                    rows[*row, _path(trace), _made(trace)] += 1
        screen.table(
            ["at", "from", "to", "way through the devices", "then", "times"],
            [(*row, str(times)) for row, times in rows.items()],
        )
        screen.check(
            "every ping was simulated at the host where it entered, and nowhere else",
            holds=bool(rows) and not elsewhere,
        )
        screen.check("no host simulated what a tunnel brought", holds=not computed)

    def _second_pings(self) -> None:
        screen = self._screen
        screen.heading("Second pings: the flows are there, no agent hears of them")
        start = self._counters()
        rows, lost, heard = [], [], []
        with screen.busy("pinging again") as status:
            for one, other in self._pairs():
                status.update(f"{one.name} pings {other.name} again")
                for _ in range(_TRIES):
                    before = self._counters()
                    times = self._commands.ping(one.name, other.address, _SECOND)
                    after = self._counters()
                    if after == before:
                        break
                if len(times) != _SECOND:
                    lost.append(f"{one.name} to {other.name}")
                if after != before:
                    heard.append(f"{one.name} to {other.name}")
                rows.append((
                    one.name, other.name, _way(one, other), _milliseconds(times),
                    *(f"{before[host].simulated} → {after[host].simulated}" for host in before),
                ))  # fmt: skip
        columns = ["from", "to", "", "round trip"]
        screen.table([*columns, *(f"simulations of {host}" for host in self._agents)], rows)
        end, pairs = self._counters(), len(rows)
        screen.check(
            f"{pairs - len(lost)} of {pairs} pairs answer", holds=not lost, why="; ".join(lost)
        )
        screen.check(
            "no ping moved a counter of simulations or of missed flows", holds=not heard,
            why="; ".join(heard),
        )  # fmt: skip
        others = sum(end[host].simulated - start[host].simulated for host in end)
        if others:
            screen.remark(
                f"({others} other packets were simulated in between: ARP, IPv6 housekeeping)"
            )

    # --- flows --------------------------------------------------------------------------------

    def _flows(self) -> int:
        """Show the flows of each host; return how many packets they have carried."""
        screen = self._screen
        screen.heading("The flows that came of it")
        carried, missing = 0, []
        for host, agent in self._agents.items():
            screen.command(("ayatori", "flows", host))
            flows = [f for f in gather.flows(agent).flows if "ethertype=0x0800" in f.match]
            screen.table(
                ["kind", "expires", "packets", "match", "actions"],
                [
                    (
                        f.kind or "",
                        f"{f.expires_in:.0f} s",
                        str(f.packets),
                        _spaced(f.match),
                        _spaced(f.actions),
                    )
                    for f in flows
                ],
            )
            carried += sum(flow.packets for flow in flows)
            if not {"plain", "tunnel"} <= {flow.kind for flow in flows}:
                missing.append(host)
        screen.check(
            "both kinds on each host: of what enters there, and of what a tunnel brings",
            holds=not missing or len(self._agents) == 1,
            why="; ".join(missing),
        )
        return carried

    def _flows_took_them(self, before: int) -> None:
        after = sum(
            flow.packets
            for agent in self._agents.values()
            for flow in gather.flows(agent).flows
            if "ethertype=0x0800" in flow.match
        )
        wanted = 2 * len(self._pairs())
        self._screen.check(
            f"the flows carried them: {after - before} packets more, by {len(self._agents)} hosts",
            holds=after - before >= wanted,
            why=f"{wanted} are sent",
        )

    # --- journals, and the end ----------------------------------------------------------------

    def _replay(self) -> None:
        screen = self._screen
        screen.heading("Both journals, decided again")
        for host, journal in self._journals.items():
            screen.command(("ayatori", "replay", str(journal)))
            outcome, same = self._commands.replay(journal)
            screen.say(outcome.output)
            screen.check(
                f"{host} decides again as it did", holds=same, why=outcome.complaint.splitlines()[-1]
                if outcome.complaint else "",
            )  # fmt: skip

    def _end(self) -> None:
        self._screen.heading("The end")
        self._screen.command(("ayatori", "lab", "down"))
        with self._screen.busy("tearing down"):
            self._screen.say(self._commands.must("lab", "down"))


def _way(one: Machine, other: Machine) -> str:
    return f"in {one.host}" if one.host == other.host else f"{one.host} to {other.host}"


def _milliseconds(times: Sequence[float]) -> str:
    return ", ".join(f"{time:.2f}" for time in times) + " ms" if times else "no answer"


def _more(number: int) -> str:
    return str(number) if number else "-"


def _spaced(text: str) -> str:
    """Put spaces for the commas outside of parentheses, so that lines break there."""
    return re.sub(r",(?![^(]*\))", " ", text)


def _path(trace: Trace) -> str:
    """Shorten `bridge web (web/web1)` to `bridge web`: the port follows from the packet."""
    return " → ".join(step.partition(" (")[0] for step in trace.path)


def _made(trace: Trace) -> str:
    """Say what became of a packet."""
    if trace.flow:
        return trace.verdict.rpartition(", ")[2]
    return "waited for ARP" if trace.waited else "no flow"


def lab_file(words: Sequence[str]) -> Path:
    """Return the topology document that the command line names. Raises CommandError."""
    if len(words) != 1:
        raise CommandError("python -m cli.demo FILE: a topology document with a lab", 2)
    return Path(words[0])
