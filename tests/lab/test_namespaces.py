"""Namespaces without names, as root and without."""

import os
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from cli.lab import namespaces
from cli.lab.fabric import Fabric
from cli.lab.links import LinkError
from cli.lab.plan import plan
from cli.lab.wanted import NOTHING, Host, Lab, Machine, Plug

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("untouched")]

NOBODY = 65534
LAB = Lab(
    mtu=1500,
    hosts={"h1": Host("h1", ("198.18.0.1/32",))},
    machines={
        "vm1": Machine(
            "vm1", "web/vm1", Plug("h1", "vm1"), "02:00:00:00:00:01", 1450, ("10.0.1.11/24",)
        )
    },
)


def in_a_child(check: Callable[[], None]) -> None:
    """Run a check in a process of its own, for what cannot be undone in this one."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        try:
            check()
        except BaseException:  # noqa: BLE001 - the parent reports it
            os.write(writer, traceback.format_exc().encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as report:
        said = report.read()
    os.waitpid(pid, 0)
    assert said == "", said


def build() -> None:
    fabric = Fabric()
    for step in plan(NOTHING, LAB):
        fabric.do(step)
    assert fabric.actual == LAB
    with namespaces.inside(fabric.machines["vm1"].descriptor):
        assert "eth0" in Path("/proc/thread-self/net/dev").read_text()
    with namespaces.inside(fabric.hosts["h1"].descriptor):
        assert "vm1" in Path("/proc/thread-self/net/dev").read_text()
    fabric.close()


def test_a_lab_is_built_apart_from_the_machines_own_network() -> None:
    def check() -> None:
        before = namespaces.identity(namespaces.current_network())
        namespaces.leave_machine()
        assert namespaces.identity(namespaces.current_network()) != before
        build()

    in_a_child(check)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_a_lab_is_built_without_root_where_the_kernel_has_user_namespaces() -> None:
    def check() -> None:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        try:
            user = namespaces.leave_machine()
        except namespaces.IsolationRefused as refusal:
            assert "run as root" in str(refusal)  # noqa: PT017 - there is no lab to look at then
            return
        assert user is not None
        assert os.geteuid() == 0
        build()

    in_a_child(check)


def test_whoever_enters_a_namespace_for_a_moment_comes_back_from_it() -> None:
    def check() -> None:
        namespaces.leave_machine()
        home = namespaces.identity(namespaces.current_network())
        other = namespaces.new_network()
        assert namespaces.identity(namespaces.current_network()) == home
        with suppress(LookupError), namespaces.inside(other):
            assert namespaces.identity(namespaces.current_network()) == namespaces.identity(other)
            raise LookupError
        assert namespaces.identity(namespaces.current_network()) == home

    in_a_child(check)


def test_a_link_is_waited_for_until_it_sends() -> None:
    def check() -> None:
        namespaces.leave_machine()
        fabric = Fabric()
        for step in plan(NOTHING, LAB):
            fabric.do(step)
        machine = fabric.machines["vm1"]
        machine.wait_sending("eth0")
        with namespaces.inside(machine.descriptor), IPRoute() as route:
            route.link("add", ifname="idle", kind="veth", peer={"ifname": "idle-too"})
        with pytest.raises(LinkError, match="vm1: idle does not send"):
            machine.wait_sending("idle", 0.01)

    in_a_child(check)


def test_the_kernels_refusal_says_what_and_where() -> None:
    def check() -> None:
        namespaces.leave_machine()
        fabric = Fabric()
        for step in plan(NOTHING, LAB):
            fabric.do(step)
        host = fabric.hosts["h1"]
        with pytest.raises(LinkError, match="h1: there is no interface nowhere"):
            host.set_up("nowhere")
        with pytest.raises(LinkError, match="h1: cannot set the MTU of vm1 to 1000000: Invalid"):
            host.set_mtu("vm1", 1_000_000)
        with pytest.raises(LinkError, match="h1: cannot make the link vm1: File exists"):
            host.add_veth("vm1", fabric.machines["vm1"], "eth1", 1500, None)

    in_a_child(check)
