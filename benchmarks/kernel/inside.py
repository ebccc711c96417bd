"""What runs on the kernel with the module: measures, and prints the report as one line of JSON.

`python -m benchmarks.kernel.inside SECTION ...`; benchmarks/kernel/__main__.py starts it.
"""

import platform
import sys
from contextlib import closing

import msgspec

from benchmarks.kernel import breakdown, contest, peers, upcall_sockets
from benchmarks.kernel.c_program import CProgram
from benchmarks.kernel.outcome import Report
from benchmarks.kernel.stage import Stage


def main() -> None:
    """Measure the sections that are named."""
    sections = frozenset(sys.argv[1:])
    report = Report(platform.release())
    with closing(CProgram()) as program:
        if sections & {"requests", "parts"}:
            with closing(Stage()) as stage:
                if "requests" in sections:
                    report = msgspec.structs.replace(report, rows=contest.hold(stage, program))
                if "parts" in sections:
                    report = msgspec.structs.replace(report, parts=breakdown.parts(stage))
        if "peers" in sections:
            report = msgspec.structs.replace(report, rates=peers.rates(program))
    if "upcalls" in sections:
        report = msgspec.structs.replace(report, sockets=upcall_sockets.rows())
    print(msgspec.json.encode(report).decode())


if __name__ == "__main__":
    main()
