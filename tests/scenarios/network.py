"""A running lab as scenarios see it: machines, flows, counters, journals that must replay."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cli.inspection import gather
from cli.inspection.agent_socket import AgentSocket
from cli.lab import leftovers
from tests.lab.machine import snapshot
from tests.lab.runner import COMMAND_SECONDS, ROOT, LabRunner
from tests.scenarios.machine import Machine
from tests.scenarios.waiting import PATIENCE, eventually

_DATAPATH_SAYS = " soft datapath: "
"""What the soft datapath's own lines hold: they say what became of devices, not errors."""


class Network(LabRunner):
    """A lab whose machines hand out sockets, and that is held to its journals in the end."""

    def __init__(self) -> None:
        super().__init__()
        self._machines: dict[str, Machine] = {}
        self._expected: set[str] = set()

    def run_by(self, *command: str) -> None:
        """Run every command of this lab by another, which becomes what follows it."""
        self._ayatori = (*command, *self._ayatori)

    def machine(self, name: str) -> Machine:
        """Return a machine of the lab; one stays the same however it moves."""
        if name not in self._machines:
            self._machines[name] = Machine(self, name)
        return self._machines[name]

    def flows(self, host: str) -> list[dict[str, Any]]:
        """Return the flows of `ayatori flows HOST --json`."""
        flows: list[dict[str, Any]] = self._read("flows", host)["flows"]
        return flows

    def stats(self, host: str) -> dict[str, Any]:
        """Return `ayatori stats HOST --json`."""
        return self._read("stats", host)

    def tables(self, host: str) -> dict[str, Any]:
        """Return `ayatori tables HOST --json`."""
        return self._read("tables", host)

    def unheard(self, talk: Callable[[], None], *hosts: str) -> bool:
        """Tell whether machines can `talk` while their hosts' agents simulate nothing.

        Tried a few times: the machines' kernels also speak unasked (ARP, IPv6 housekeeping). So
        the agents are asked at once, and not by commands, which take their time to start.
        """
        for _ in range(10):
            before = [self.simulated(host) for host in hosts]
            talk()
            if [self.simulated(host) for host in hosts] == before:
                return True
        return False

    def simulated(self, host: str) -> int:
        """Return how many packets' ways a host has worked out since its agent began."""
        (control,) = self.state_dir.glob(f"labs/*/hosts/{host}/control")
        return gather.workflow(AgentSocket(host, control)).simulated

    def _read(self, what: str, host: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run(what, host, "--json").stdout)
        return found

    def expect_log(self, event: str) -> None:
        """Let agents log an error with this event; any other fails the test."""
        self._expected.add(event)

    def journals(self) -> list[Path]:
        """Return the journals of all hosts of all labs."""
        return sorted(self.state_dir.glob("labs/*/hosts/*/journal"))

    def check_journals(self) -> None:
        """Replay the journals of all hosts; fail the test if any output differs."""
        assert self.journals()
        replays = [
            subprocess.Popen(
                [*self._ayatori, "replay", str(journal)],
                cwd=ROOT,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for journal in self.journals()
        ]
        for journal, replay in zip(self.journals(), replays, strict=True):
            out, err = replay.communicate(timeout=COMMAND_SECONDS)
            assert replay.returncode == 0, f"{journal}: {out}{err}"
            assert out.rstrip().endswith("differences 0"), f"{journal}: {out}{err}"

    def check_logs(self) -> None:
        """Fail the test if an agent logged an error that no scenario asked for."""
        for log in sorted(self.state_dir.glob("labs/*/hosts/*/agent.log")):
            for line in log.read_text(errors="replace").splitlines():
                if _DATAPATH_SAYS in line:
                    continue
                assert line.startswith("{"), f"{log}: {line}"
                entry = json.loads(line)
                wrong = entry["level"] in {"error", "critical"}
                assert not wrong or entry["event"] in self._expected, f"{log}: {line}"

    def stop_agents(self) -> None:
        """Stop all agents as systemd would, so that their journals end with their whole state."""
        pids = [host["pid"] for host in self.status()["hosts"].values() if host["pid"]]
        handles = [os.pidfd_open(pid) for pid in pids]
        for handle in handles:
            signal.pidfd_send_signal(handle, signal.SIGTERM)
        assert leftovers.wait_for_end(handles, PATIENCE)
        for handle in handles:
            os.close(handle)

    def settle(self) -> None:
        """Wait until every host's agent runs and is ready."""
        eventually(lambda: all(self._ready(host) for host in self.status()["hosts"]), "ready")

    def _ready(self, host: str) -> bool:
        done = self.run("stats", host, "--json", check=False)
        return done.returncode == 0 and json.loads(done.stdout)["agent"]["ready"] is True

    def end(self) -> None:
        """Hold what is left of the lab to its journals and logs."""
        self.check_logs()
        if self.journals():
            self.stop_agents()
            self.check_journals()

    def close(self) -> None:
        """End everything, and fail the test if anything of the lab is left."""
        try:
            for machine in self._machines.values():
                machine.close()
        finally:
            super().close()


@contextmanager
def network_of(document: str | None = None, *, datapath: str = "soft") -> Iterator[Network]:
    """Run a lab of `document` (none yet, if left out); check in the end that all held."""
    before = snapshot()
    network = Network()
    network.datapath = datapath
    try:
        if document is not None:
            network.up(document)
        yield network
        network.end()
    finally:
        network.close()
    assert snapshot() == before
