"""Starting a keeper: `lab up`'s side of it. The keeper's own side is cli/lab/keeper_main.py.

A pipe runs between them. It ends with the word `ready`, or with the reason why there is no keeper.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import cli
from cli.errors import CommandError
from cli.lab.state_folder import LabFiles

READY = "ready"
KEEPER = (sys.executable, "-m", "cli.lab.keeper_main")
"""The command that is a keeper, less its options."""


def launch(
    files: LabFiles, name: str, store_url: str, datapath: str, keeper: tuple[str, ...] = KEEPER
) -> None:
    """Start a keeper for a lab and return when it serves. Raises CommandError with its reason."""
    files.folder.mkdir(mode=0o700, exist_ok=True)
    reader, writer = os.pipe()
    environment = {key: value for key, value in os.environ.items() if key != "NOTIFY_SOCKET"}
    options = {
        "--folder": str(files.folder),
        "--name": name,
        "--store": store_url,
        "--datapath": datapath,
        "--report": str(writer),
    }
    log = os.open(files.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [*keeper, *(word for option in options.items() for word in option)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(writer,),
            # Where the packages are: `-m` finds them there, however `ayatori` itself was started.
            cwd=Path(cli.__file__).parents[1],
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        os.close(reader)
        raise CommandError(f"cannot start the lab's keeper: {error}") from error
    finally:
        os.close(log)
        os.close(writer)
    with os.fdopen(reader) as report:
        try:
            said = report.read().strip()
        except BaseException:
            # Interrupted: the keeper, in the process group of its parent, must not come up later.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            report.read()
            process.wait()
            raise
    process.wait()
    if said != READY:
        raise CommandError(said or f"the lab's keeper did not start: {_last_line(files.log)}")


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").splitlines()
    return lines[-1] if lines else f"see {path}"
