"""The `ayatori` command: finds the subcommand by name and imports only that one.

Start-up time matters (`ayatori lab exec` stands in other people's loops), so nothing of the
agent, the store or the lab is imported before its command runs. Here alone failures become a
line on standard error and an exit status.
"""

import importlib
import os
import sys
import traceback
from importlib import metadata
from typing import NamedTuple, NoReturn

from cli.errors import CommandError, ExitStatus


class _Command(NamedTuple):
    module: str
    attribute: str
    """A typer app, or the function that is the command."""
    help: str


_COMMANDS = {
    "lab": _Command("cli.lab.commands", "app", "Build a virtual network on this machine."),
    "topology": _Command("cli.topology", "app", "Apply, export or compare a topology document."),
    "flows": _Command("cli.inspect", "flows", "Show the flows that a host's agent installed."),
    "tables": _Command("cli.inspect", "tables", "Show a host's MAC, ARP and port tables."),
    "devices": _Command("cli.inspect", "devices", "Show the virtual devices that a host holds."),
    "stats": _Command("cli.inspect", "stats", "Show a host's counters."),
    "trace": _Command("cli.trace", "app", "Follow packets through the devices and tunnels."),
    "replay": _Command("cli.replay", "replay", "Re-decide a journal and compare."),
    "fault": _Command("cli.inspect", "fault", "Make an actor of a host crash, to see it mend."),
    "agent": _Command("cli.agent", "agent", "Run the agent of one host."),
}

_INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""


def run() -> NoReturn:
    """Run the command line of this process and exit; the `ayatori` script calls it."""
    status = _guarded(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has left. Python would complain once more at shutdown, so give it a sink.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def _guarded(arguments: list[str]) -> int:
    try:
        return _dispatch(arguments)
    except CommandError as error:
        _complain(str(error))
        return error.status
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        return ExitStatus.FAILED
    except Exception as error:  # noqa: BLE001 - the last resort: a bug becomes a line, not a traceback
        if os.environ.get("AYATORI_TRACEBACK") == "1":
            traceback.print_exc()
        else:
            name = type(error).__name__
            _complain(f"internal error: {name}: {error} (AYATORI_TRACEBACK=1 shows where)")
        return ExitStatus.FAILED


def _dispatch(arguments: list[str]) -> int:
    if arguments[:1] == ["--version"]:
        print(f"ayatori {_version()}")  # noqa: T201 - this is its output
        return ExitStatus.OK
    import typer  # noqa: PLC0415
    from typer.main import get_command  # noqa: PLC0415

    name = arguments[0] if arguments else ""
    if name in _COMMANDS:
        found = getattr(importlib.import_module(_COMMANDS[name].module), _COMMANDS[name].attribute)
        if isinstance(found, typer.Typer):
            command = get_command(found)
        else:
            single = typer.Typer(add_completion=False, rich_markup_mode=None)
            single.command(name)(found)
            command = get_command(single)
        words, program = arguments[1:], f"ayatori {name}"
    else:
        command, words, program = get_command(_overview()), arguments or ["--help"], "ayatori"
    try:
        command(words, prog_name=program)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ExitStatus.FAILED
    return ExitStatus.OK


def _version() -> str:
    try:
        return metadata.version("ayatori")
    except metadata.PackageNotFoundError:
        return "(from its sources, not installed)"


def _overview() -> "typer.Typer":  # type: ignore[name-defined]  # noqa: F821
    """Return an app that knows every command's name and help, for `--help` and misspellings."""
    import typer  # noqa: PLC0415

    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    @app.callback(help="A distributed virtual network for Linux hosts.")
    def ayatori(
        version: bool = typer.Option(False, "--version", help="Show the version."),
    ) -> None:
        pass

    for name, command in _COMMANDS.items():
        app.command(name, help=command.help)(lambda: None)
    return app


def _complain(message: str) -> None:
    print(f"ayatori: {message}", file=sys.stderr)  # noqa: T201 - this is its output


if __name__ == "__main__":
    run()
