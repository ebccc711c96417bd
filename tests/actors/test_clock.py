"""The clock wakes whom it was asked to wake, when the time has come."""

from actors.clock import ClockActor, ClockState
from actors.lane import Lane
from actors.lane_actor import LaneActor
from actors.messages.time import ClockTicked, Tick, WakeMe
from actors.values import ActorName, Nanoseconds
from tests.network import Network
from tests.network_host import HostEnd
from tests.tape import Tape

CLOCK, ME, YOU = ActorName("clock"), ActorName("me"), ActorName("you")


class Sleeper(LaneActor):
    """Notes when it is woken."""

    State = ClockState

    def on_receive(self, message: Tick) -> None:
        self.state.wishes[ActorName(f"woken {len(self.state.wishes)}")] = message.at


def lane() -> Lane:
    def create(on: Lane, name: ActorName) -> LaneActor:
        return (ClockActor if name == CLOCK else Sleeper).start_on(on, name)

    return Lane("test", create, Tape(), HostEnd(Network("ayatori: 1\n"), "h", frozenset()))


def woken(on: Lane, name: ActorName) -> list[int]:
    actor = on.actor(name)
    return [] if actor is None else list(actor.state.wishes.values())


def wish(on: Lane, name: ActorName, at: int) -> None:
    on.start_actor(name)
    on.send(CLOCK, WakeMe(name, Nanoseconds(at)))


def tick(on: Lane, at: int) -> None:
    on.handle(CLOCK, ClockTicked(Nanoseconds(at)))


def test_actor_is_woken_once_at_the_first_tick_at_or_after_its_time() -> None:
    on = lane()
    wish(on, ME, 10)
    tick(on, 9)
    assert woken(on, ME) == []
    tick(on, 11)
    tick(on, 20)
    assert woken(on, ME) == [11]


def test_later_wish_replaces_the_earlier_one() -> None:
    on = lane()
    wish(on, ME, 10)
    wish(on, ME, 30)
    tick(on, 20)
    assert woken(on, ME) == []
    tick(on, 30)
    assert woken(on, ME) == [30]


def test_actors_do_not_disturb_each_others_wishes() -> None:
    on = lane()
    wish(on, ME, 30)
    wish(on, YOU, 10)
    tick(on, 10)
    assert (woken(on, ME), woken(on, YOU)) == ([], [10])
    tick(on, 40)
    assert (woken(on, ME), woken(on, YOU)) == ([40], [10])


def test_wish_made_when_being_woken_is_kept() -> None:
    on = lane()
    wish(on, ME, 10)
    tick(on, 10)
    wish(on, ME, 15)
    tick(on, 15)
    assert woken(on, ME) == [10, 15]
