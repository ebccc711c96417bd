"""Runs tests, or any command, on a kernel that has the openvswitch module.

Natively where the running kernel has it (its generic netlink families are there, after modprobe),
in network, mount and pid namespaces of its own; else in User Mode Linux (Debian's user-mode-linux),
booted with this machine's files as its read-only root, on one CPU. Same folder, same virtual
environment, same variables; output comes as it is written, the exit status is the command's.
Nothing is left running or lying about, however it ends.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from tests.kernel import cpus, families, modules, native, uml

EXAMPLES = """\
examples:
  python -m tests.kernel                                      all tests marked `kernel`
  python -m tests.kernel -- pytest -x tests/datapath/conformance -k vlan
  python -m tests.kernel --run -- python -m benchmarks.kernel
  python -m tests.kernel --run -- sh -c 'uname -r; ip -br link'

exit status: the command's; 124 timed out, 125 could not run it to its end, 127 no such command,
128 + N ended by signal N
"""


def main() -> None:
    """Run what the command line says, and exit with its status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    options = _parse(sys.argv[1:])
    if options.missing:
        needed = [] if families.have_openvswitch() else uml.missing()
        sys.stdout.write("".join(f"{package}\n" for package in needed))
        return
    words = options.words
    if not options.run:
        words = [sys.executable, "-m", "pytest", "--kernel", *words[words[:1] == ["pytest"] :]]
    try:
        status = _run(options, words)
    except uml.BootError as error:
        status = _complain(error, error.status)
    except (OSError, modules.ModulesError) as error:
        status = _complain(error, 125)
    sys.exit(status)


def _complain(error: Exception, status: int) -> int:
    sys.stderr.write(f"tests.kernel: {error}\n")
    return status


def _run(options: argparse.Namespace, words: Sequence[str]) -> int:
    boot: str = options.boot
    if boot == "auto":
        boot = "native" if families.have_openvswitch() else "uml"
    environment = _environment()
    if boot == "native":
        return native.run(words, environment, cpu=options.cpu, timeout=options.timeout)
    machine = uml.Machine(
        cpu=cpus.least_busy() if options.cpu is None else options.cpu,
        timeout=options.timeout,
        memory=options.memory,
        show_console=options.console,
    )
    return uml.run(machine, words, environment)


def _environment() -> dict[str, str]:
    """Return ours, with the virtual environment's programs first and nothing written to a cache."""
    environment = dict(os.environ)
    environment.pop("XDG_RUNTIME_DIR", None)  # a folder of the host's /run
    programs = str(Path(sys.executable).parent)
    environment["PATH"] = os.pathsep.join(
        [programs, environment.get("PATH", os.defpath), "/usr/sbin", "/sbin"]
    )
    added = environment.get("PYTEST_ADDOPTS", "")
    environment["PYTEST_ADDOPTS"] = f"{added} -p no:cacheprovider".strip()
    if sys.stdout.isatty() and "NO_COLOR" not in environment:
        environment.setdefault("PY_COLORS", "1")  # what runs inside sees a pipe
        environment.setdefault("COLUMNS", str(os.get_terminal_size(1).columns or 80))
    return environment


def _parse(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.kernel",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--boot", choices=("auto", "native", "uml"), default="auto")
    parser.add_argument(
        "--missing", action="store_true", help="only print the Debian packages that this lacks here"
    )
    parser.add_argument("--run", action="store_true", help="run a command instead of pytest")
    parser.add_argument(
        "--timeout", type=_seconds, default=1200.0, metavar="SECONDS", help="for all of it: 1200"
    )
    parser.add_argument(
        "--cpu",
        type=_cpu,
        metavar="N",
        help="run on this CPU only (UML: the least busy one; native: all)",
    )
    parser.add_argument("--memory", default="1G", metavar="SIZE", help="of UML: 1G")
    parser.add_argument("--console", action="store_true", help="show what UML's kernel says")
    parser.add_argument("words", nargs="*", metavar="-- ARGUMENT", help="of pytest; or the command")
    options = parser.parse_args(words)
    if options.run and not options.words:
        parser.error("--run wants a command")
    return options


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise ValueError(text)
    return value


def _cpu(text: str) -> int:
    value = int(text)
    if value not in os.sched_getaffinity(0):
        raise argparse.ArgumentTypeError(f"{value} is none of {sorted(os.sched_getaffinity(0))}")
    return value


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    """End by way of every `finally`; a second signal does not interrupt those."""
    for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
