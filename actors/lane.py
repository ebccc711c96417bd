"""Lane: one thread that runs many actors, one message at a time, in arrival order.

Owns the actors, by name, and the order of everything that happens to them. Receives inputs from
any thread (`submit`). One input is journaled and handled together with all messages that follow
from it, before the next is taken: so the journal alone decides what happens, and no thread's
timing does. Emits outputs, recorded and then handed to the edge. Never blocks, reads no clock.
"""

import functools
import queue
import sys
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec
from pykka import ActorRegistry
from pykka._envelope import Envelope

from actors.lane_actor import LaneActor
from actors.lane_boundary import Edge, Journal, Snapshot
from actors.lifetimes import LIFE_ERROR
from actors.messages.flows import TagHeld, TagReleased
from actors.messages.operator import Inspect
from actors.messages.packet_in import PacketIn
from actors.messages.simulation import Hop, PacketContext, Verdict
from actors.messages.stored import Input, Output
from actors.messages.tables import RowsChanged
from actors.messages.time import Tick, TurnEnded
from actors.messages.topology import Configured
from actors.packets.flow_key import SEEN_ALL
from actors.supervision import Escalate, RestartPolicy, Resume, StartAfresh
from actors.values import ActorName, Nanoseconds

MOST_HELD = 1_000
"""Messages that wait for an actor that is being restarted; more are dropped and counted."""

MOST_MESSAGES_PER_INPUT = 200_000
"""One input may not keep a lane busy for ever: past this the lane is taken to be looping."""

_MAKES_NO_ACTOR = frozenset({Configured, Inspect, RowsChanged, TagHeld, TagReleased, Tick})
"""Answers to what an actor asked for: if it is gone meanwhile, nobody wants to know."""

PACKET_BACKLOG = 32
"""Batches of packets that may wait at the lane's door, up to 64 of each port in one; more wait
where each port has its own queue."""


class LaneStuckError(Exception):
    """Messages went on following from one input without an end."""


class EscalationError(Exception):
    """An actor crashed more often than the restart limits allow; the process must end."""


class InjectedFaultError(Exception):
    """An operator asked for this crash."""


class _Slot:
    """A name on a lane: the actor that has it now, and its messages while it is being restarted."""

    __slots__ = ("actor", "faults", "held", "name", "receive", "resume_at")

    def __init__(self, name: ActorName, actor: LaneActor) -> None:
        self.name = name
        self.held: deque[Any] | None = None
        self.resume_at = 0
        self.faults = 0
        self.occupy(actor)

    def occupy(self, actor: LaneActor) -> None:
        self.actor = actor
        self.receive = self.crash if self.faults else actor.on_receive

    def crash(self, message: Any) -> NoReturn:
        """Stand in for the actor's on_receive while an operator wants it to crash."""
        self.faults -= 1
        raise InjectedFaultError(f"on request, at {type(message).__name__}")


class Lane:
    """See the module. `create` makes the actor that a name stands for, when it is first needed."""

    def __init__(
        self,
        name: str,
        create: Callable[["Lane", ActorName], LaneActor | None],
        journal: Journal,
        edge: Edge,
        policy: RestartPolicy | None = None,
    ) -> None:
        self.name = name
        self.inputs = 0
        """Inputs so far: the place of the current one in the lane's order."""
        self.now = Nanoseconds(0)
        """`at` of the current input; for the lane's own use, actors read it off messages."""
        self.more = False
        """Whether others that came with the current input follow at once, in the same turn."""
        self.journal = journal
        self.edge = edge
        self.policy = policy if policy is not None else RestartPolicy()
        self.observer: Callable[[ActorName, Any], None] | None = None
        """Told of every delivery; for replay's eyes, None in a running agent."""
        self.on_crash: Callable[[ActorName, BaseException, str], None] | None = None
        self.undeliverable = 0
        self.dropped_while_restarting = 0
        self.too_late = 0
        """Answers to actors that were let go before they came."""
        self.newest: LaneActor | None = None
        """The actor that pykka started last on this lane."""
        self._create = create
        self._slots: dict[ActorName, _Slot] = {}
        self._queue: deque[tuple[_Slot, Any]] = deque()
        self._waiting: list[_Slot] = []
        self._gathering: list[ActorName] = []
        self._incoming: queue.SimpleQueue[tuple[ActorName, tuple[Any, ...]] | None] = (
            queue.SimpleQueue()
        )
        self.busy = False
        """Whether the lane's thread is at work, for the watchdog."""

    # --- from other threads -------------------------------------------------------------------

    def submit(self, to: ActorName, *messages: Input) -> None:
        """Hand in inputs; any thread may. They are handled in the order of arrival."""
        self._incoming.put((to, messages))

    def submit_packets(self, to: ActorName, messages: tuple[Input, ...]) -> bool:
        """Hand in packets, unless too many wait already: then return False."""
        if self._incoming.qsize() >= PACKET_BACKLOG:
            return False
        self._incoming.put((to, messages))
        return True

    def submit_envelope(self, to: ActorName, envelope: Envelope[Any]) -> None:
        """Take what came through a pykka ActorRef; only inputs may come that way."""
        if not isinstance(envelope.message, Input):
            raise TypeError(f"{type(envelope.message).__name__} is no input: {to} takes no other")
        self._incoming.put((to, (envelope,)))

    def stop(self) -> None:
        """Let `run` return once what was handed in before is done."""
        self._incoming.put(None)

    # --- on the lane's thread -----------------------------------------------------------------

    def run(self) -> None:
        """Handle inputs until `stop`. Raises EscalationError, LaneStuckError."""
        incoming = self._incoming
        while True:
            if incoming.empty():
                self.edge.idle()
                self.busy = False
            item = incoming.get()
            self.busy = True
            if item is None:
                self.edge.idle()
                self.busy = False
                return
            to, messages = item
            for message in messages:
                if type(message) is Envelope:
                    self._answer(to, message)
                else:
                    self.handle(to, message)

    def handle(self, to: ActorName, message: Input) -> None:
        """Journal one input, then handle it and all that follows from it."""
        self.now = message.at  # type: ignore[attr-defined]  # every input has it
        if not self._waiting and not self._gathering:
            self.journal.begin_segment_if_due(self.now, self.snapshot)
        self.inputs += 1
        self.more = type(message) is PacketIn and message.more
        self.journal.append_input(self.inputs, to, message)
        if self._waiting:
            self._end_waits()
        self.send(to, message)
        self._drain()
        if self._gathering and not self.more:
            gathering, self._gathering = self._gathering, []
            for name in gathering:
                self.send(name, TurnEnded())
            self._drain()

    def at_end_of_turn(self, name: ActorName) -> None:
        """Send an actor TurnEnded once all is handled that came in together with this input."""
        if name not in self._gathering:
            self._gathering.append(name)

    def send(self, to: ActorName, message: Any) -> None:
        """Queue a message for the actor of that name on this lane, creating it if it can be."""
        slot = self._slots.get(to)
        if slot is None:
            if type(message) in _MAKES_NO_ACTOR:
                self.too_late += 1
                return
            slot = self._new_slot(to)
            if slot is None:
                return
        self._queue.append((slot, message))

    def emit(self, output: Output) -> None:
        """Record an output and let the edge perform it."""
        self.journal.append_output(output)
        self.edge.perform(output)

    def actor(self, name: ActorName) -> LaneActor | None:
        """Return the actor that has the name now; for tests, replay and inspection."""
        slot = self._slots.get(name)
        return None if slot is None else slot.actor

    @property
    def names(self) -> tuple[ActorName, ...]:
        """All actors' names in the order of their creation."""
        return tuple(self._slots)

    def start_actor(self, name: ActorName) -> None:
        """Create the actor of that name if it does not exist; it boots as a message of its own."""
        if name not in self._slots:
            self._new_slot(name)

    def retire(self, name: ActorName) -> None:
        """Let an actor go; it may do so itself.

        Of what is still queued for it, answers to what it had asked for are dropped, and anything
        else makes it afresh.
        """
        slot = self._slots.pop(name, None)
        if slot is not None:
            ActorRegistry.unregister(slot.actor.actor_ref)
            slot.actor.actor_stopped.set()
            slot.receive = functools.partial(self.send, name)
            self.policy.crashes.pop(name, None)

    def snapshot(self) -> Snapshot:
        """Return the state of all actors; only between two inputs."""
        encode = msgspec.msgpack.encode
        return Snapshot(
            self.inputs,
            encode(self.policy),
            {slot.name: slot.faults for slot in self._slots.values() if slot.faults},
            tuple(
                (name, encode(slot.actor.snapshot_state())) for name, slot in self._slots.items()
            ),
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Become what the snapshot says. Raises msgspec.DecodeError if it does not fit the code."""
        self.inputs = snapshot.inputs
        self.policy = msgspec.msgpack.decode(snapshot.policy, type=RestartPolicy)
        for slot in self._slots.values():
            ActorRegistry.unregister(slot.actor.actor_ref)
        self._slots.clear()
        for name, state in snapshot.actors:
            actor = self._create(self, name)
            if actor is None:
                raise msgspec.DecodeError(f"the snapshot holds an unknown actor, {name}")
            actor.adopt_snapshot(state)
            slot = self._slots[name] = _Slot(name, actor)
            slot.faults = snapshot.faults.get(name, 0)
            slot.occupy(actor)

    def inject_fault(self, name: ActorName, times: int) -> bool:
        """Make an actor crash on its next `times` messages; return False if there is none such."""
        slot = self._slots.get(name)
        if slot is None:
            return False
        slot.faults = times
        slot.occupy(slot.actor)
        return True

    def close(self) -> None:
        """Unregister all actors; the lane must have stopped."""
        for slot in self._slots.values():
            ActorRegistry.unregister(slot.actor.actor_ref)

    # --- inner workings -----------------------------------------------------------------------

    def _new_slot(self, name: ActorName) -> _Slot | None:
        actor = self._create(self, name)
        if actor is None:
            self.undeliverable += 1
            return None
        slot = self._slots[name] = _Slot(name, actor)
        self._queue.append((slot, _BOOT))
        return slot

    def _drain(self) -> None:
        pending = self._queue
        take = pending.popleft
        observer = self.observer
        left = MOST_MESSAGES_PER_INPUT
        while pending:
            slot, message = take()
            if slot.held is not None:
                self._hold(slot, message)
                continue
            left -= 1
            if not left:
                pending.clear()
                raise LaneStuckError(f"input {self.inputs} does not end: last at {slot.name}")
            if observer is not None:
                observer(slot.name, message)
            try:
                if message is _BOOT:
                    slot.actor.boot()
                else:
                    slot.receive(message)
            except Exception as error:  # noqa: BLE001 - a lane is where crashes end
                self._crashed(slot, message, error)

    def _answer(self, to: ActorName, envelope: Envelope[Any]) -> None:
        """Handle an input for which somebody outside waits (pykka's ask)."""
        crashes = self.policy.crashes.get(to)
        self.handle(to, envelope.message)
        if envelope.reply_to is None:
            return
        if self.policy.crashes.get(to) is not crashes:  # after_crash makes a new list each time
            error = RuntimeError(f"{to} crashed on {type(envelope.message).__name__}")
            envelope.reply_to.set_exception((RuntimeError, error, None))
        else:
            envelope.reply_to.set(None)

    def _hold(self, slot: _Slot, message: Any) -> None:
        if slot.held is not None and len(slot.held) < MOST_HELD:
            slot.held.append(message)
        else:
            self.dropped_while_restarting += 1

    def _crashed(self, slot: _Slot, message: Any, error: Exception) -> None:
        trace = "".join(traceback.format_exception(error))
        decision = self.policy.after_crash(slot.name, self.now)
        if isinstance(decision, StartAfresh) and not slot.actor.can_begin_afresh:
            decision = Resume()
        kind = "boot" if message is _BOOT else type(message).__name__
        self.journal.append_crash(slot.name, kind, type(decision).__name__, trace)
        if self.on_crash is not None:
            self.on_crash(slot.name, error, trace)
        old = slot.actor
        ActorRegistry.unregister(old.actor_ref)
        old.actor_stopped.set()
        old.on_failure(*sys.exc_info())
        if isinstance(decision, Escalate):
            raise EscalationError(
                f"{slot.name} crashed {decision.crashes} times in a minute, last: {error!r}"
            ) from error
        self._drop_packet(message)
        actor = self._create(self, slot.name)
        assert actor is not None  # noqa: S101 - it could be created before
        slot.occupy(actor)
        if isinstance(decision, Resume) and message is not _BOOT:
            actor.adopt_state(old.state)
        else:
            slot.resume_at = decision.until if not isinstance(decision, Resume) else self.now
            slot.held = deque()
            self._waiting.append(slot)
            self._end_waits()

    def _end_waits(self) -> None:
        """Start those afresh whose time has come."""
        still = []
        for slot in self._waiting:
            if slot.resume_at > self.now:
                still.append(slot)
                continue
            # In front: what is queued for the actor already must not find it before it has booted.
            held, slot.held = slot.held, None
            self._queue.extendleft((slot, message) for message in reversed(held or ()))
            self._queue.appendleft((slot, _BOOT))
        self._waiting = still

    def _drop_packet(self, message: Any) -> None:
        """Give the packet whose simulation crashed a short drop flow."""
        if isinstance(message, Hop):
            self.send(_FLOW_CONTROLLER, Verdict(_crashed_context(message.context)))


def _crashed_context(context: PacketContext) -> PacketContext:
    """Return a drop of just this packet: nobody knows which of its fields the crash was about."""
    return msgspec.structs.replace(
        context, seen=SEEN_ALL, outputs=(), pending=(), lifetime=LIFE_ERROR, reason="crash"
    )


class _Boot:
    """What a new actor is told first."""


_BOOT = _Boot()
_FLOW_CONTROLLER = ActorName("flow-controller")
