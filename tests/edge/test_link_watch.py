"""The link watch in namespaces of its own, told of what really happens to interfaces there."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import pytest
from pyroute2 import IPRoute

from actors.datapath.known_links import take_links
from actors.edge.link_socket import LinkSocket
from actors.edge.link_watch import LinkWatch
from actors.edge.steady_clock import SteadyClock
from actors.lane import Lane
from actors.messages.topology import Link, LinksChanged
from actors.values import ActorName
from tests.datapath.soft.namespaces import Namespace, namespaces_are_permitted

pytestmark = pytest.mark.skipif(
    not namespaces_are_permitted(), reason="network namespaces are not permitted here"
)
PATIENCE = 20.0


class Heard:
    """A lane's end: keeps the interfaces as `datapath-ports` would."""

    def __init__(self) -> None:
        self.links: dict[str, Link] = {}
        self.told: list[LinksChanged] = []
        self._names: dict[int, str] = {}
        self._changed = threading.Condition()

    def submit(self, to: ActorName, *messages: LinksChanged) -> None:
        assert to == "datapath-ports"
        with self._changed:
            for message in messages:
                take_links(self.links, self._names, message)
                self.told.append(message)
            self._changed.notify_all()

    def until(self, holds: Callable[[dict[str, Link]], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: holds(self.links), PATIENCE), self.links

    def is_live(self, name: str, live: bool) -> None:
        """Wait until an interface is, or is not, up with carrier."""
        self.until(lambda links: name in links and (links[name].up and links[name].carrier) == live)


class Scene:
    """A namespace that is watched, and another one."""

    def __init__(self, space: Namespace, other: Namespace, heard: Heard, watch: LinkWatch) -> None:
        self.space, self.other, self.heard, self.watch = space, other, heard, watch

    def do(self, *calls: Callable[[IPRoute], object]) -> None:
        """Do things to the namespace's interfaces at one go."""

        def all_of_them() -> None:
            with IPRoute() as ip:
                for call in calls:
                    call(ip)

        self.space.run(all_of_them)

    def index(self, name: str) -> int:
        return self.heard.links[name].index


@contextmanager
def scene(
    receive_buffer: int = 8 << 20, before: Callable[[Namespace], None] = lambda _: None
) -> Iterator[Scene]:
    with Namespace() as space, Namespace() as other:
        before(space)
        heard = Heard()
        watch = LinkWatch(cast("Lane", heard), SteadyClock(), receive_buffer)
        space.run(watch.start)
        try:
            heard.until(lambda links: "lo" in links)
            yield Scene(space, other, heard, watch)
        finally:
            assert watch.stop()
            assert watch.failure is None


def pair(name: str, peer: str) -> Callable[[IPRoute], object]:
    return lambda ip: ip.link("add", ifname=name, kind="veth", peer={"ifname": peer})


def change(index: int, **settings: object) -> Callable[[IPRoute], object]:
    return lambda ip: ip.link("set", index=index, **settings)


def test_interfaces_are_told_as_they_come_and_go() -> None:
    with scene() as at:
        at.do(pair("va", "vb"))
        at.heard.until(lambda links: {"va", "vb"} <= links.keys())
        at.do(lambda ip: ip.link("del", index=at.index("va")))
        at.heard.until(lambda links: links.keys() == {"lo"})
        assert at.watch.dumps == 1


def test_the_many_notifications_of_a_new_pair_are_one_word_for_each_end() -> None:
    with Namespace() as space, Namespace() as other, space.run(LinkSocket) as links:
        space.veth("va", other, "vb")
        said, lost = links.read()
        assert [link.name for link in said if isinstance(link, Link)] == ["va"]
        assert not lost


def test_interface_has_carrier_while_both_its_ends_are_up() -> None:
    with scene() as at:
        at.space.veth("va", at.other, "vb")
        at.heard.is_live("va", live=True)
        at.other.set_link("vb", state="down")
        at.heard.is_live("va", live=False)
        assert at.heard.links["va"].up
        at.other.set_link("vb", state="up")
        at.heard.is_live("va", live=True)
        at.space.set_link("va", state="down")
        at.heard.until(lambda links: not links["va"].up)


def test_mtu_is_told() -> None:
    with scene() as at:
        at.do(pair("va", "vb"))
        at.heard.until(lambda links: {"va", "vb"} <= links.keys())
        at.space.set_link("va", mtu=1400)
        at.heard.until(lambda links: links["va"].mtu == 1400)


def test_two_interfaces_may_swap_their_names() -> None:
    with scene() as at:
        at.do(pair("va", "vb"))
        at.heard.until(lambda links: {"va", "vb"} <= links.keys())
        a, b = at.index("va"), at.index("vb")
        at.do(change(a, ifname="spare"), change(b, ifname="va"), change(a, ifname="vb"))
        swapped = {"va": b, "vb": a, "lo": at.index("lo")}
        at.heard.until(lambda links: {name: links[name].index for name in links} == swapped)


def test_interface_deleted_and_made_again_is_another_one() -> None:
    with scene() as at:
        at.do(pair("va", "vb"))
        at.heard.until(lambda links: {"va", "vb"} <= links.keys())
        old = at.index("va")
        at.do(lambda ip: ip.link("del", index=old), pair("va", "vb"))
        at.heard.until(lambda links: "va" in links and links["va"].index != old)


def test_interface_that_moves_to_another_namespace_is_gone_and_comes_back() -> None:
    with scene() as at:
        at.do(pair("va", "vb"))
        at.heard.until(lambda links: {"va", "vb"} <= links.keys())
        at.space.set_link("va", net_ns_fd=at.other.fd)
        at.heard.until(lambda links: "va" not in links)
        at.other.set_link("va", net_ns_fd=at.space.fd)
        at.heard.until(lambda links: "va" in links)


def test_interface_that_leaves_a_bridge_is_still_there() -> None:
    with scene() as at:
        at.do(pair("va", "vb"), lambda ip: ip.link("add", ifname="br", kind="bridge"))
        at.heard.until(lambda links: {"va", "br"} <= links.keys())
        index = at.index("va")
        at.do(change(index, master=at.index("br")), change(index, master=0))
        at.space.set_link("va", mtu=1300)
        at.heard.until(lambda links: "va" in links and links["va"].mtu == 1300)
        assert index not in {gone for told in at.heard.told for gone in told.removed}


def test_notification_that_changes_nothing_we_know_is_not_told() -> None:
    with scene() as at:
        at.do(pair("va", "vb"))
        at.heard.until(lambda links: {"va", "vb"} <= links.keys())
        told = len(at.heard.told)
        at.space.set_link("va", ifalias="a note for people")
        at.space.set_link("vb", mtu=1400)
        at.heard.until(lambda links: links["vb"].mtu == 1400)
        assert len(at.heard.told) == told + 1


def make_bridges(space: Namespace, first: int, count: int) -> None:
    def make() -> None:
        with IPRoute() as ip:
            for n in range(first, first + count):
                ip.link("add", ifname=f"x{n}", kind="bridge")

    space.run(make)


def test_lost_notifications_are_made_good_by_a_dump() -> None:
    with scene(receive_buffer=4096) as at:
        make_bridges(at.space, 0, 50)
        names = [f"x{n}" for n in range(50)]
        at.heard.until(lambda links: links.keys() == {"lo", *names})
        assert at.watch.dumps > 1
        at.do(*(change(at.index(name), ifname=f"y{name}") for name in names))
        at.heard.until(lambda links: links.keys() == {"lo", *(f"y{name}" for name in names)})


def test_change_among_very_many_interfaces_costs_no_dump() -> None:
    with scene(before=lambda space: make_bridges(space, 0, 300)) as at:
        assert len(at.heard.links) == 301
        at.do(pair("va", "vb"))
        at.heard.until(lambda links: {"va", "vb"} <= links.keys())
        new = {link.name for told in at.heard.told[1:] for link in told.changed}
        assert new == {"va", "vb"}
        assert at.watch.dumps == 1


def test_dump_tells_what_happened_before_it_was_read_as_what_came_since() -> None:
    with Namespace() as space, space.run(LinkSocket) as links:
        space.run(links.read)
        make_bridges(space, 0, 2)
        dump = links.dump()
        assert links.read() == ((), False)
    assert {link.name for link in dump.links.values()} == {"lo"}
    assert {link.name for link in dump.since if isinstance(link, Link)} == {"x0", "x1"}
    assert dump.sound


def test_an_interface_whose_name_is_no_text_is_told_of_too() -> None:
    with scene() as it:
        it.do(lambda ip: ip.link("add", ifname=b"odd\xff", kind="veth", peer={"ifname": "plain"}))
        it.heard.until(lambda links: {"odd\\xff", "plain"} <= links.keys())
