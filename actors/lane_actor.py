"""LaneActor: a pykka actor that shares a lane's thread.

It implements the hooks that pykka has for new actor types: its inbox hands in to the lane, and
its loop is the lane's. All that it knows is in `state`.
"""

from typing import TYPE_CHECKING, Any, NoReturn, Self

import msgspec
import pykka
from pykka._envelope import Envelope

from actors.values import ActorName

if TYPE_CHECKING:
    from actors.lane import Lane


class _Inbox:
    """pykka's door to a lane actor: only inputs may come through it, as nothing else is journaled."""

    __slots__ = ("_actor",)

    def __init__(self) -> None:
        self._actor: LaneActor | None = None

    def attach(self, actor: "LaneActor") -> None:
        self._actor = actor

    def put(self, envelope: Envelope[Any], /) -> None:
        actor = self._actor
        if actor is None:
            raise RuntimeError("this actor was not started on a lane")
        actor.lane.submit_envelope(actor.name, envelope)

    def get(self) -> NoReturn:
        raise NotImplementedError("a lane hands its actors their messages")

    def empty(self) -> bool:
        return True


class LaneActor(pykka.Actor):
    """An actor that shares a lane's thread. Subclasses define `State` and `on_receive`.

    All that an actor knows is in `state`: that is what snapshots hold and restarts keep.
    """

    State: type[msgspec.Struct]

    can_begin_afresh = True
    """Whether `boot` brings back all that it must know. One that was told things once, by the edge
    or by others that will not repeat them, keeps its state at every crash, up to the limits."""

    def __init__(self, name: ActorName, lane: "Lane") -> None:
        super().__init__()
        self.name = name
        self.lane = lane
        self.send = lane.send
        self.emit = lane.emit
        self.state: Any = self.State()

    @staticmethod
    def _create_actor_inbox() -> _Inbox:
        return _Inbox()

    @staticmethod
    def _create_future() -> pykka.Future[Any]:
        return pykka.ThreadingFuture()

    def _start_actor_loop(self) -> None:
        inbox = self.actor_inbox
        assert isinstance(inbox, _Inbox)  # noqa: S101 - set by _create_actor_inbox
        inbox.attach(self)
        self.lane.newest = self

    def boot(self) -> None:
        """Say what there is to say when beginning from nothing (not after a resume or restore)."""

    def on_receive(self, message: Any) -> Any:
        """Handle one message; an exception is a crash."""
        raise NotImplementedError

    def snapshot_state(self) -> msgspec.Struct:
        """Return the state as a snapshot keeps it: parked frames no longer than the journal's."""
        state: msgspec.Struct = self.state
        return state

    def adopt_snapshot(self, data: bytes) -> None:
        """Take over what `snapshot_state` returned, in msgpack. Raises msgspec.DecodeError."""
        self.adopt_state(msgspec.msgpack.decode(data, type=self.State))

    def restored(self) -> None:
        """Rebuild what follows from `state` but is not part of it; called after it was set."""

    def adopt_state(self, state: Any) -> None:
        """Take over a state: that of a crashed predecessor, or one from a snapshot."""
        self.state = state
        self.restored()

    @classmethod
    def start_on(cls, lane: "Lane", name: ActorName, **arguments: Any) -> Self:
        """Start an actor on `lane` under `name`; return it. See pykka.Actor.start."""
        cls.start(name, lane, **arguments)
        actor = lane.newest
        assert isinstance(actor, cls)  # noqa: S101 - start() runs _start_actor_loop
        return actor
