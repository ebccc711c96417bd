"""Lanes: order, crashes, restarts, limits, and the doors by which messages come in."""

from typing import Any

import msgspec
import pykka
import pytest
from pykka import ActorDeadError

from actors.lane import (
    MOST_MESSAGES_PER_INPUT,
    PACKET_BACKLOG,
    EscalationError,
    InjectedFaultError,
    Lane,
    LaneStuckError,
)
from actors.lane_actor import LaneActor
from actors.messages.operator import FaultInjected
from actors.messages.stored import Input
from actors.messages.time import ClockTicked
from actors.supervision import Escalate, RestartLimits, RestartPolicy, Resume, StartAfresh
from actors.values import SECOND, ActorName, Nanoseconds
from tests.tape import Tape

A, B = ActorName("a"), ActorName("b")


class Say(msgspec.Struct, frozen=True):
    text: str


class Notes(msgspec.Struct):
    heard: list[str] = msgspec.field(default_factory=list)
    boots: int = 0


class Listener(LaneActor):
    """Writes down what it hears; crashes on `boom`, answers `loop` to itself for ever."""

    State = Notes
    state: Notes

    def boot(self) -> None:
        self.state.boots += 1

    def on_receive(self, message: Any) -> None:
        if isinstance(message, ClockTicked):
            self.state.heard.append(f"tick {message.at}")
            return
        if message.text == "boom":
            raise ValueError("boom")
        if message.text == "loop":
            self.send(self.name, message)
        if message.text.startswith("tell b "):
            self.send(B, Say(message.text.removeprefix("tell b ")))
        self.state.heard.append(message.text)


class Quiet:
    def perform(self, output: object) -> None:
        raise AssertionError(f"nothing is emitted here, but {output}")

    def idle(self) -> None:
        """Nothing waits."""


def lane_with(policy: RestartPolicy | None = None) -> tuple[Lane, Tape]:
    def create(lane: Lane, name: ActorName) -> LaneActor | None:
        return Listener.start_on(lane, name) if name in {A, B} else None

    tape = Tape()
    return Lane("test", create, tape, Quiet(), policy), tape


def tick(at: int = 1) -> ClockTicked:
    return ClockTicked(Nanoseconds(at * SECOND))


def say(lane: Lane, *texts: str, to: ActorName = A, at: int = 1) -> None:
    """Queue messages, then handle an input, by which they run."""
    for text in texts:
        lane.send(to, Say(text))
    lane.handle(to, tick(at))


def heard(lane: Lane, name: ActorName = A) -> list[str]:
    actor = lane.actor(name)
    assert isinstance(actor, Listener)
    return [text for text in actor.state.heard if not text.startswith("tick")]


def test_messages_are_handled_in_the_order_of_their_sending() -> None:
    lane, _ = lane_with()
    say(lane, "one", "tell b first", "two", "tell b second")
    assert heard(lane) == ["one", "tell b first", "two", "tell b second"]
    assert heard(lane, B) == ["first", "second"]


def test_an_actor_boots_before_its_first_message_and_only_once() -> None:
    lane, _ = lane_with()
    say(lane, "one")
    say(lane, "two")
    actor = lane.actor(A)
    assert isinstance(actor, Listener)
    assert actor.state.boots == 1


def test_a_crash_leaves_the_state_before_it_and_the_messages_behind_it() -> None:
    lane, tape = lane_with()
    first = lane.actor(A)
    say(lane, "one", "boom", "two")
    assert heard(lane) == ["one", "two"]
    assert lane.actor(A) is not first
    assert tape.crashes == [(A, "Say", "Resume")]


def test_a_second_crash_soon_after_starts_the_actor_afresh() -> None:
    lane, tape = lane_with()
    say(lane, "one", "boom", "two", "boom", "three")
    assert heard(lane) == ["three"]
    actor = lane.actor(A)
    assert isinstance(actor, Listener)
    assert actor.state.boots == 1, "it booted anew, with a new state"
    assert [decision for _, _, decision in tape.crashes] == ["Resume", "StartAfresh"]


def test_crashes_far_apart_each_keep_the_state() -> None:
    lane, tape = lane_with()
    say(lane, "one", "boom", at=1)
    say(lane, "two", "boom", at=30)
    assert heard(lane) == ["one", "two"]
    assert [decision for _, _, decision in tape.crashes] == ["Resume", "Resume"]


def test_messages_wait_while_an_actor_backs_off() -> None:
    lane, _ = lane_with()
    say(lane, "boom", "boom", "boom", "after", at=1)
    assert lane.actor(A) is not None
    assert heard(lane) == []
    say(lane, at=1)
    lane.handle(B, tick(2))
    assert heard(lane) == ["after"]


def test_the_limit_ends_the_lane() -> None:
    lane, _ = lane_with(RestartPolicy(RestartLimits(most_in_window=3)))
    say(lane, "boom", at=1)
    say(lane, "boom", at=2)
    say(lane, "boom", at=3)
    with pytest.raises(EscalationError, match="a crashed 4 times"):
        say(lane, "boom", at=4)


def test_one_actors_crashes_do_not_count_for_another() -> None:
    policy = RestartPolicy()
    assert policy.after_crash(A, Nanoseconds(0)) == Resume()
    assert policy.after_crash(B, Nanoseconds(0)) == Resume()
    assert isinstance(policy.after_crash(A, Nanoseconds(1)), StartAfresh)


def test_an_actor_that_crashes_at_every_restart_reaches_the_limit() -> None:
    policy, at = RestartPolicy(), Nanoseconds(0)
    for _ in range(policy.limits.most_in_window):
        decision = policy.after_crash(A, at)
        assert not isinstance(decision, Escalate)
        if isinstance(decision, StartAfresh):
            at = Nanoseconds(max(decision.until, at) + 1)
    assert isinstance(policy.after_crash(A, at), Escalate)
    assert at < policy.limits.window


def test_ask_of_a_crashing_actor_raises_and_the_policy_is_that_of_tell() -> None:
    lane, tape = lane_with()
    say(lane, "one")
    lane.inject_fault(A, 1)
    actor = lane.actor(A)
    assert actor is not None
    future = actor.actor_ref.ask(tick(), block=False)
    lane.stop()
    lane.run()
    with pytest.raises(RuntimeError, match="a crashed on ClockTicked"):
        future.get(timeout=0)
    assert tape.crashes == [(A, "ClockTicked", "Resume")]
    assert heard(lane) == ["one"]


def test_ask_waits_until_the_input_is_handled() -> None:
    lane, tape = lane_with()
    say(lane, "one")
    actor = lane.actor(A)
    assert actor is not None
    future = actor.actor_ref.ask(tick(7), block=False)
    lane.stop()
    lane.run()
    assert future.get(timeout=0) is None
    assert tape.inputs[-1][2] == tick(7)


def test_only_inputs_come_in_by_pykkas_door() -> None:
    lane, _ = lane_with()
    say(lane)
    actor = lane.actor(A)
    assert actor is not None
    with pytest.raises(TypeError, match="Say is no input"):
        actor.actor_ref.tell(Say("unjournaled"))


def test_an_old_ref_of_a_restarted_actor_reaches_its_name_or_says_that_it_is_dead() -> None:
    lane, _ = lane_with()
    say(lane)
    old = lane.actor(A)
    assert old is not None
    say(lane, "boom")
    with pytest.raises(ActorDeadError):
        old.actor_ref.tell(tick())


def test_a_name_that_nobody_has_is_counted() -> None:
    lane, _ = lane_with()
    lane.send(ActorName("nobody"), Say("lost"))
    assert lane.undeliverable == 1


def test_a_retired_actor_gets_nothing_more_and_its_name_is_free() -> None:
    lane, _ = lane_with()
    say(lane, "one")
    lane.retire(A)
    assert lane.actor(A) is None
    say(lane, "two")
    assert heard(lane) == ["two"]


def test_an_endless_cascade_is_taken_to_be_a_loop() -> None:
    lane, _ = lane_with()
    with pytest.raises(LaneStuckError, match="does not end: last at a"):
        say(lane, "loop")
    actor = lane.actor(A)
    assert isinstance(actor, Listener)
    assert len(actor.state.heard) <= MOST_MESSAGES_PER_INPUT


def test_an_injected_fault_crashes_as_often_as_asked() -> None:
    lane, tape = lane_with()
    say(lane, "one")
    assert lane.inject_fault(A, 2)
    assert not lane.inject_fault(ActorName("nobody"), 1)
    say(lane, "lost", "lost too", "heard", at=1)
    assert len(tape.crashes) == 2
    assert heard(lane)[-1] == "heard"


def test_a_restored_lane_is_the_one_that_was_snapshotted() -> None:
    lane, _ = lane_with()
    say(lane, "one", "tell b two", "boom")
    lane.inject_fault(B, 1)
    snapshot = lane.snapshot()
    other, tape = lane_with()
    other.restore(snapshot)
    assert other.snapshot() == snapshot
    assert heard(other) == ["one", "tell b two"]
    other.handle(B, tick())
    assert tape.crashes == [(B, "ClockTicked", "Resume")], "the fault was still due"


def test_inputs_are_journaled_before_they_are_handled() -> None:
    lane, tape = lane_with()
    lane.inject_fault(A, 1)
    lane.handle(A, tick(3))
    assert tape.inputs == [(1, A, tick(3))]


def test_what_other_threads_hand_in_is_handled_in_that_order() -> None:
    lane, tape = lane_with()
    inputs: list[Input] = [tick(n) for n in range(5)]
    lane.submit(A, *inputs[:2])
    lane.submit(B, inputs[2])
    assert lane.submit_packets(A, tuple(inputs[3:]))
    lane.stop()
    lane.run()
    assert [message for _, _, message in tape.inputs] == inputs
    assert [to for _, to, _ in tape.inputs] == [A, A, B, A, A]


def test_too_many_batches_of_packets_are_turned_away_at_the_door() -> None:
    lane, _ = lane_with()
    accepted = 0
    while lane.submit_packets(A, (tick(),)):
        accepted += 1
    assert accepted == PACKET_BACKLOG
    lane.submit(A, tick())  # other inputs still come in


def test_actors_are_known_to_pykka_while_they_live() -> None:
    before = len(pykka.ActorRegistry.get_all())
    lane, _ = lane_with()
    say(lane, "one", "boom", "two")
    assert len(pykka.ActorRegistry.get_all()) == before + 1
    lane.close()
    assert len(pykka.ActorRegistry.get_all()) == before


def test_a_fault_is_an_error_of_its_own() -> None:
    lane, _ = lane_with()
    seen: list[BaseException] = []
    lane.on_crash = lambda _name, error, _trace: seen.append(error)
    say(lane)
    lane.inject_fault(A, 1)
    lane.handle(A, FaultInjected(Nanoseconds(1), A, 1))
    assert isinstance(seen[0], InjectedFaultError)
