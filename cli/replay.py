"""`ayatori replay`: decide a journal again, compare, and look at any step of it."""

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.messages import Families
from actors.datapath.odp.read_requests import decode_request
from actors.messages.simulation import Hop
from actors.state.document import (
    DocumentError,
    DocumentUnreadable,
    compile_document,
    load_document,
)
from actors.state.journal_format import JournalError, JournalUnreadable
from actors.state.journal_reader import InputRead, decode_output
from actors.state.replay import Difference, Emitted, Replay, ReplayResult
from actors.state.replay_trace import PacketTraces, device_name, plain
from actors.state.what_if import what_if as ask_what_if
from actors.values import ActorName
from cli.errors import CommandError, ExitStatus
from cli.options import AsJson


def replay(
    journal: Annotated[
        Path, typer.Argument(metavar="JOURNAL", help="A journal folder, or one of its segments.")
    ],
    until: Annotated[
        int | None, typer.Option(help="Stop after the input of this number.", min=0)
    ] = None,
    start: Annotated[
        int | None,
        typer.Option("--from", help="With --step: show from the input of this number.", min=1),
    ] = None,
    step: Annotated[
        bool,
        typer.Option("--step", help="Show each message as it is delivered, and the actor's state."),
    ] = False,
    packets: Annotated[
        bool,
        typer.Option("--packets", help="Show each packet-in: its path, its verdict, its flow."),
    ] = False,
    what_if: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Ask how the packets would have fared under this topology document.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Re-decide all that a journal holds and compare: exit status 0 if nothing differs.

    Prints `inputs N, outputs N, differences 0`, or the first difference and exits 1.
    """
    if start is not None and not step:
        raise CommandError("--from goes with --step", ExitStatus.USAGE)
    if step and (packets or as_json):
        raise CommandError("--step goes without --packets and --json", ExitStatus.USAGE)
    if what_if is not None and (step or packets or until is not None):
        raise CommandError("--what-if goes without --step, --packets and --until", ExitStatus.USAGE)
    if what_if is not None:
        _ask_what_if(journal, what_if, as_json=as_json)
        return
    again = Replay(journal)
    if step:
        _Stepper(again, start or 1).attach()
    elif packets:
        _PacketPrinter(again, as_json=as_json).attach()
    try:
        result = again.run(until)
    except JournalUnreadable as error:
        raise CommandError(str(error), ExitStatus.NOT_FOUND) from error
    except JournalError as error:
        raise CommandError(str(error)) from error
    _report(again, result, as_json=as_json)
    if result.differences:
        raise typer.Exit(ExitStatus.FAILED)


def _ask_what_if(journal: Path, document: Path, *, as_json: bool) -> None:
    try:
        objects = compile_document(load_document(document))
        answer = ask_what_if(journal, objects)
    except DocumentUnreadable as error:
        raise CommandError(str(error), ExitStatus.NOT_FOUND) from error
    except DocumentError as error:
        raise CommandError(str(error), ExitStatus.USAGE) from error
    except JournalUnreadable as error:
        raise CommandError(str(error), ExitStatus.NOT_FOUND) from error
    except JournalError as error:
        raise CommandError(str(error)) from error
    if as_json:
        typer.echo(msgspec.json.encode(answer).decode())
        return
    for changed in answer.changed:
        was, would_be = changed.was, changed.would_be
        typer.echo(f"packet {was.number}: {was.match}")
        typer.echo(f"  was      {' > '.join(was.path)}: {was.verdict}")
        if would_be is not None:
            typer.echo(f"  would be {' > '.join(would_be.path)}: {would_be.verdict}")
        else:
            typer.echo("  would be waiting still")
    typer.echo(f"packets {answer.packets}, different {len(answer.changed)}")


def _report(again: Replay, result: ReplayResult, *, as_json: bool) -> None:
    families = _families(again)
    if as_json:
        body = {
            "inputs": result.inputs,
            "outputs": result.outputs,
            "differences": [
                {
                    "input": difference.input,
                    "what": difference.what,
                    "recorded": _describe(difference.recorded, families),
                    "replayed": _describe(difference.replayed, families),
                }
                for difference in result.differences
            ],
            "crashes": result.crashes,
            "unclosed": [{"segment": str(d.path), "why": d.why} for d in result.damage],
        }
        typer.echo(msgspec.json.encode(body).decode())
        return
    for damage in result.damage:
        typer.echo(f"note: {damage.path}: {damage.why}", err=True)
    if result.crashes:
        typer.echo(f"note: {result.crashes} recorded crash(es) of actors", err=True)
    for difference in result.differences:
        _show_difference(difference, families)
    typer.echo(
        f"inputs {result.inputs}, outputs {result.outputs}, differences {len(result.differences)}"
    )


def _show_difference(difference: Difference, families: Families) -> None:
    typer.echo(f"input {difference.input}: {difference.what}")
    if difference.recorded is not None:
        typer.echo(f"  recorded: {_describe(difference.recorded, families)}")
    if difference.replayed is not None:
        typer.echo(f"  replayed: {_describe(difference.replayed, families)}")


def _families(again: Replay) -> Families:
    """Return the netlink families that the replayed broker knows, for describing requests."""
    broker = again.actor(ActorName("netlink-broker"))
    families = None if broker is None else broker.state.families
    return families if isinstance(families, Families) else Families()


def _describe(emitted: Emitted | None, families: Families) -> str | None:
    if emitted is None:
        return None
    netlink, body = emitted
    try:
        if not netlink:
            output = decode_output(body)
            return f"{type(output).__name__} {msgspec.json.encode(plain(output)).decode()}"
        requests = decode_request(body, families)
        return "; ".join(
            f"{type(r.body).__name__} {msgspec.json.encode(plain(r.body)).decode()}"
            for r in requests
        )
    except (OdpError, msgspec.DecodeError):
        return body.hex()


class _PacketPrinter:
    """Prints each packet when its simulation is complete."""

    def __init__(self, again: Replay, *, as_json: bool) -> None:
        self._again = again
        self._json = as_json
        self._traces = PacketTraces()

    def attach(self) -> None:
        """Begin to watch."""
        self._again.observer = self._delivered
        self._again.after_input = self._after_input

    def _delivered(self, actor: ActorName, message: object) -> None:
        if self._again.lane is not None:
            self._traces.delivered(self._again.lane, actor, message)

    def _after_input(self, _: InputRead) -> None:
        if self._again.lane is not None and self._again.lane.more:
            return  # flows are told of when all is handled that came in together
        for trace in self._traces.finished:
            if self._json:
                typer.echo(msgspec.json.encode(trace).decode())
                continue
            typer.echo(f"packet {trace.number}: {trace.match}")
            typer.echo(f"  path    {' > '.join(trace.path) or 'none'}")
            typer.echo(f"  verdict {trace.verdict}{', after waiting' if trace.waited else ''}")
            if trace.flow:
                typer.echo(f"  flow    {trace.flow}")
        self._traces.finished.clear()


class _Stepper:
    """Shows each delivery; on a terminal it waits for Enter, `c` runs on, `q` leaves."""

    def __init__(self, again: Replay, start: int) -> None:
        self._again = again
        self._start = start
        self._number = 0
        self._interactive = sys.stdin.isatty()
        self._showing: ActorName | None = None

    def attach(self) -> None:
        """Begin to watch."""
        self._again.on_input = self._before_input
        self._again.after_input = self._after_input
        self._again.observer = self._delivered

    def _before_input(self, entry: InputRead) -> None:
        self._number = entry.number
        if entry.number >= self._start:
            kind = type(entry.message).__name__
            typer.echo(f"input {entry.number}: {kind} -> {entry.to}")

    def _after_input(self, _: InputRead) -> None:
        self._show_state()

    def _delivered(self, actor: ActorName, message: object) -> None:
        lane = self._again.lane
        if self._number < self._start or lane is None:
            return
        self._show_state()
        self._showing = actor
        name = device_name(lane, actor)
        detail = ""
        if isinstance(message, Hop):
            detail = f" {msgspec.json.encode(plain(message.context.headers)).decode()}"
        typer.echo(f"  {type(message).__name__} -> {name}{detail}")
        if self._interactive:
            self._wait()

    def _show_state(self) -> None:
        """Show the state that the last delivery left its actor in."""
        actor, self._showing = self._showing, None
        found = None if actor is None else self._again.actor(actor)
        if found is not None:
            typer.echo(f"    state {msgspec.json.encode(plain(found.state)).decode()}")

    def _wait(self) -> None:
        answer = input("    [Enter] next, c run on, q quit: ").strip()
        if answer == "c":
            self._interactive = False
        elif answer == "q":
            raise typer.Exit(ExitStatus.OK)
