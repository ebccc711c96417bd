"""A real keeper with real namespaces; its agents are a few lines that only say that they run."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cli.lab import control
from cli.lab.launch import launch
from cli.lab.state_folder import lab_files
from cli.lab.wanted import Host, Lab, Machine, Plug, Route, UnderlayRoute
from tests.lab.runner import LabRunner

HERE = Path(__file__).parent
AGENT = """
import os, signal, socket
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
    notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
print("running", flush=True)
signal.pause()
"""


class KeptLab(LabRunner):
    """A lab that the test gives to the keeper itself, without a document or a store."""

    def launch(self, agent: str = AGENT) -> None:
        """Start the keeper."""
        script = str(HERE / "keeper_with_agent.py")
        store = f"sqlite:///{self.state_dir}/store.db"
        launch(self.files, "default", store, "soft", (sys.executable, script, agent))

    @property
    def files(self) -> Any:
        return lab_files("default", make=True)

    def ask(self, **request: Any) -> control.Message:
        return control.call(self.files.control, request, 30.0)[0]

    def change(self, lab: Lab) -> control.Message:
        return self.ask(op="change", lab=msgspec.to_builtins(lab))

    def change_raw(self, lab: object) -> control.Message:
        return self.ask(op="change", lab=lab)

    def agents(self) -> dict[str, Any]:
        hosts: dict[str, Any] = self.ask(op="status")["hosts"]
        return hosts

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition; the test's own timeout bounds it."""
        while not condition():
            time.sleep(0.01)

    def namespace(self, place: str) -> str:
        return self.exec(place, "readlink", "/proc/self/ns/net", check=True).stdout


@contextmanager
def keeping() -> Iterator[KeptLab]:
    runner = KeptLab()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AYATORI_STATE_DIR", str(runner.state_dir))
        try:
            yield runner
        finally:
            runner.close()


def host(number: int, of: int = 2) -> Host:
    own = f"198.18.0.{number}"
    others = [f"198.18.0.{other}/32" for other in range(1, of + 1) if other != number]
    routes = tuple(UnderlayRoute(other, own) for other in others)
    return Host(f"h{number}", (f"{own}/32",), routes)


def machine(name: str, plug: Plug, **changes: Any) -> Machine:
    fields = {
        "mac": f"02:00:00:00:00:0{name[-1]}",
        "mtu": 1450,
        "addresses": (f"10.0.1.1{name[-1]}/24",),
        **changes,
    }
    return Machine(name=name, port=f"web/{name}", plug=plug, **fields)


def two_hosts(*machines: Machine, mtu: int = 1500) -> Lab:
    return Lab(
        mtu=mtu,
        hosts={each.name: each for each in (host(1), host(2))},
        machines={each.name: each for each in machines},
    )


SMALL = two_hosts(
    machine("vm1", Plug("h1", "vm1"), routes=(Route("0.0.0.0/0", "10.0.1.1"),)),
    machine("vm2", Plug("h2", "vm2"), addresses=("10.0.1.12/24", "2001:db8::12/64")),
)


def start(kept: KeptLab) -> KeptLab:
    kept.launch()
    assert kept.change(SMALL)["ok"]
    kept.until(lambda: all(agent["ready"] for agent in kept.agents().values()))
    return kept


def show(kept: KeptLab, place: str) -> str:
    """Read what a machine's network looks like, by a library and not by the machine's tools."""
    code = (
        "from pyroute2 import IPRoute\n"
        "with IPRoute() as r:\n"
        "  for m in sorted(r.get_links(), key=lambda m: m.get('IFLA_IFNAME')):\n"
        "    print('link', m.get('IFLA_IFNAME'), m.get('state'), m.get('IFLA_MTU'),"
        " m.get('IFLA_ADDRESS'))\n"
        "  for m in r.get_addr():\n"
        "    print('address', f\"{m.get('IFA_ADDRESS')}/{m['prefixlen']}\")\n"
        "  for f in (2, 10):\n"
        "    for m in r.get_routes(family=f, table=254):\n"
        "      print('route', m.get('RTA_DST'), m.get('RTA_GATEWAY'))\n"
    )
    return kept.exec(place, sys.executable, "-c", code, check=True).stdout
