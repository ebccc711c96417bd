"""Which virtual ports ought to be plugged in here, and the steps from what is to what ought to be.

Pure: a plan is a diff that tests and logs can read; the datapath ports actor only carries it out.
"""

from typing import Literal

from msgspec import Struct

from actors.datapath.known_links import why_not_live
from actors.messages.topology import Link
from actors.state.topology import Binding
from actors.values import DatapathPort


class Plugged(Struct):
    """A link that is a port of the datapath, or is about to become or cease to be one."""

    link: str
    link_index: int
    status: Literal["adding", "plugged", "removing", "failed"]
    binding: Binding
    number: DatapathPort = DatapathPort(0)
    tunnel_key: int = 0
    retry_at: int = 0
    active: bool = False
    """Whether it is published: its link is up and has carrier."""


class Plug(Struct, frozen=True):
    """Add the binding's interface to the datapath."""

    binding: Binding
    link_index: int


class Unplug(Struct, frozen=True):
    """Remove the interface from the datapath."""

    link: str


class Rebind(Struct, frozen=True):
    """The interface stays in the datapath, but is another virtual port now."""

    link: str
    binding: Binding


class Forget(Struct, frozen=True):
    """Nothing is in the datapath by that name: stop trying."""

    link: str


class Activate(Struct, frozen=True):
    """The interface is in the datapath and something can be reached by it: publish its port."""

    link: str


class Deactivate(Struct, frozen=True):
    """The interface stays in the datapath, but nothing can be reached by it: withdraw its port."""

    link: str


Step = Plug | Unplug | Rebind | Forget | Activate | Deactivate


def by_interface(bindings: tuple[Binding, ...]) -> dict[str, Binding]:
    """Return the bindings by the name of their interface."""
    return {binding.interface: binding for binding in bindings}


def plan_for(
    names: tuple[str, ...],
    bound: dict[str, Binding],
    links: dict[str, Link],
    plugged: dict[str, Plugged],
    at: int,
) -> tuple[Step, ...]:
    """Return the steps that bring those of `plugged` with these names to what ought to be.

    What ought to be follows from `bound` and `links`, for each name by itself.
    """
    names = tuple(dict.fromkeys(names))
    wanted = {name: bound[name] for name in names if name in bound and name in links}
    steps: list[Step] = []
    for name in names:
        port = plugged.get(name)
        if port is None:
            continue
        binding = wanted.get(name)
        same_link = binding is not None and links[name].index == port.link_index
        if port.status == "failed":
            if not same_link or binding is None or port.retry_at <= at:
                steps.append(Forget(name))
        elif port.status == "plugged":
            if binding is None or not same_link:
                steps.append(Unplug(name))
            else:
                steps += _steps_of_plugged(port, binding, links[name])
    forgotten = {step.link for step in steps if isinstance(step, Forget)}
    steps += [
        Plug(binding, links[name].index)
        for name, binding in wanted.items()
        if name not in plugged or name in forgotten
    ]
    return tuple(steps)


def _steps_of_plugged(port: Plugged, binding: Binding, link: Link) -> tuple[Step, ...]:
    live = not why_not_live(link)
    if binding != port.binding:
        rebind = Rebind(port.link, binding)
        return (rebind, Activate(port.link)) if live else (rebind,)
    if live == port.active:
        return ()
    return (Activate(port.link),) if live else (Deactivate(port.link),)
