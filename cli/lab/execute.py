"""`lab exec`: becomes a command inside a machine (or host) of a lab.

The process enters the namespaces and then is the command, so streams, terminal, signals and
exit status need no passing on. Imports little: its start-up is part of other people's loops.
"""

import os
import signal
from typing import NoReturn

from cli.errors import CommandError, ExitStatus
from cli.lab import control, namespaces
from cli.lab.leftovers import TOKEN
from cli.lab.registry import require_lab

_PATIENCE = 10.0
_CANNOT_RUN = 126
_NO_SUCH_COMMAND = 127


def execute(name: str | None, place: str, command: list[str]) -> NoReturn:
    """Become `command` in a machine or host of a lab. Raises CommandError.

    NOT_FOUND without such a lab or machine, 127 without such a command, 126 if it cannot run.
    """
    lab = require_lab(name)
    reply, descriptors = control.call(lab.files.control, {"op": "enter", "name": place}, _PATIENCE)
    if not reply["ok"]:
        machines, hosts = ", ".join(reply["machines"]), ", ".join(reply["hosts"])
        raise CommandError(
            f"lab {lab.name} has no machine or host {place!r}"
            f" (machines: {machines or 'none'}; hosts: {hosts or 'none'})",
            ExitStatus.NOT_FOUND,
        )
    network, *user = descriptors
    try:
        for descriptor in user:
            namespaces.enter_user(descriptor)
        namespaces.enter_network(network)
    except OSError as error:
        raise CommandError(f"cannot enter {place}: {error.strerror}") from error
    os.environ[TOKEN] = reply["token"]
    # Python ignores these; a command expects them as a shell would leave them.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)  # noqa: S606 - running the user's command is its purpose
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CommandError(f"{command[0]}: command not found", _NO_SUCH_COMMAND) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CommandError(f"{command[0]}: {reason}", _CANNOT_RUN) from error
