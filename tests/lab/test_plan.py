"""The plan's steps lead from any lab to any other, in an order in which each can be done."""

from hypothesis import given
from hypothesis import strategies as st

from cli.lab.plan import (
    AddMachine,
    PlugMachine,
    RemoveHost,
    SetMachineAddresses,
    SetMachineLink,
    Step,
    UnplugMachine,
    after,
    plan,
)
from cli.lab.wanted import NOTHING, Host, Lab, Machine, Plug, Route, UnderlayRoute

HOSTS = ("h1", "h2", "h3")
NAMES = ("vm1", "vm2", "vm3", "vm4")


def machine(name: str, host: str, interface: str, **changes: object) -> Machine:
    fields = {"mac": "02:00:00:00:00:01", "mtu": 1450, "addresses": ("10.0.0.1/24",), **changes}
    return Machine(name=name, port=f"web/{interface}", plug=Plug(host, interface), **fields)  # type: ignore[arg-type]


def lab(*machines: Machine, hosts: tuple[str, ...] = ("h1", "h2"), mtu: int = 1500) -> Lab:
    return Lab(
        mtu=mtu,
        hosts={name: Host(name, (f"198.18.0.{name[1]}/32",)) for name in hosts},
        machines={each.name: each for each in machines},
    )


@st.composite
def labs(draw: st.DrawFn) -> Lab:
    hosts = draw(st.lists(st.sampled_from(HOSTS), min_size=1, unique=True))
    names = draw(st.lists(st.sampled_from(NAMES), unique=True))
    places = draw(
        st.lists(
            st.tuples(st.sampled_from(hosts), st.sampled_from(("a", "b", "c"))),
            min_size=len(names),
            max_size=len(names),
            unique=True,
        )
        if len(names) <= len(hosts) * 3
        else st.nothing()
    )
    machines = [
        machine(
            name,
            host,
            interface,
            mtu=draw(st.sampled_from((1400, 1450))),
            mac=draw(st.sampled_from(("02:00:00:00:00:01", "02:00:00:00:00:02"))),
            addresses=draw(st.sampled_from(((), ("10.0.0.1/24",), ("10.0.0.2/24", "10.1.0.2/16")))),
            routes=draw(st.sampled_from(((), (Route("0.0.0.0/0", "10.0.0.254"),)))),
        )
        for name, (host, interface) in zip(names, places, strict=True)
    ]
    return lab(*machines, hosts=tuple(hosts), mtu=draw(st.sampled_from((1400, 1500, 9000))))


def follow(start: Lab, steps: tuple[Step, ...]) -> Lab:
    """Do the steps, as the kernel would: no interface twice in a host, no machine in no host."""
    state = start
    for step in steps:
        state = after(state, step)
        plugs = [each.plug for each in state.machines.values() if each.plug is not None]
        assert len(set(plugs)) == len(plugs)
        assert all(plug.host in state.hosts for plug in plugs)
    return state


@given(labs(), labs())
def test_the_steps_turn_any_lab_into_any_other_and_each_can_be_done(old: Lab, new: Lab) -> None:
    assert follow(old, plan(old, new)) == new


@given(labs(), labs(), st.integers(0, 20))
def test_a_change_that_failed_halfway_can_be_planned_from_where_it_stopped(
    old: Lab, new: Lab, done: int
) -> None:
    halfway = follow(old, plan(old, new)[:done])
    assert follow(halfway, plan(halfway, new)) == new
    assert follow(halfway, plan(halfway, old)) == old


@given(labs())
def test_a_lab_that_is_as_wanted_needs_no_step(wanted: Lab) -> None:
    assert plan(wanted, wanted) == ()


def test_a_machine_that_moves_is_replugged_and_nothing_else() -> None:
    here, there = machine("vm1", "h1", "a"), machine("vm1", "h2", "b")
    assert plan(lab(here), lab(there)) == (
        UnplugMachine("vm1"),
        PlugMachine("vm1", "web/b", Plug("h2", "b")),
    )


def test_two_machines_that_swap_ports_are_both_unplugged_first() -> None:
    old = lab(machine("vm1", "h1", "a"), machine("vm2", "h1", "b"))
    new = lab(machine("vm1", "h1", "b"), machine("vm2", "h1", "a"))
    kinds = [type(step) for step in plan(old, new)]
    assert kinds == [UnplugMachine, UnplugMachine, PlugMachine, PlugMachine]


def test_a_machine_leaves_a_host_before_the_host_is_removed() -> None:
    old, new = lab(machine("vm1", "h2", "a")), lab(machine("vm1", "h1", "a"), hosts=("h1",))
    kinds = [type(step) for step in plan(old, new)]
    assert kinds == [UnplugMachine, RemoveHost, PlugMachine]


def test_new_addresses_and_a_new_mac_are_set_in_place() -> None:
    old = lab(machine("vm1", "h1", "a"))
    new = lab(machine("vm1", "h1", "a", mac="02:00:00:00:00:09", addresses=("10.0.0.9/24",)))
    assert plan(old, new) == (
        SetMachineLink("vm1", "02:00:00:00:00:09", 1450),
        SetMachineAddresses("vm1", ("10.0.0.9/24",), ()),
    )


def test_a_first_plan_adds_hosts_before_machines() -> None:
    steps = plan(NOTHING, lab(machine("vm1", "h1", "a")))
    assert isinstance(steps[-1], AddMachine)
    assert [str(step) for step in steps] == ["add host h1", "add host h2", "add machine vm1"]


def test_a_port_that_is_renamed_moves_nothing() -> None:
    old = lab(machine("vm1", "h1", "a"))
    new = Lab(
        old.mtu,
        old.hosts,
        {
            "vm1": Machine(
                "vm1", "lan/x", Plug("h1", "a"), "02:00:00:00:00:01", 1450, ("10.0.0.1/24",)
            )
        },
    )
    assert plan(old, new) == (PlugMachine("vm1", "lan/x", Plug("h1", "a")),)


def test_a_host_whose_underlay_address_changes_is_changed_in_place() -> None:
    old = lab()
    moved = Host("h1", ("198.18.0.9/32",), (UnderlayRoute("198.18.0.2/32", "198.18.0.9"),))
    steps = plan(old, Lab(old.mtu, {**old.hosts, "h1": moved}, {}))
    assert [str(step) for step in steps] == ["change host h1"]
