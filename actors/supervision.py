"""RestartPolicy: what becomes of an actor that crashed. Pure, so that a journal replays crashes.

Its clock is the `at` of inputs. The ladder: resume with the state held before the message; when
it crashes again soon, start afresh; when that happens often, wait longer each time; when the
limit in the window is passed, give up and let the process end.
"""

from msgspec import Struct, field

from actors.values import SECOND, ActorName, Nanoseconds


class Resume(Struct, frozen=True):
    """A new actor takes over the state that was whole before the crashing message."""


class StartAfresh(Struct, frozen=True):
    """A new actor starts from nothing, once `until` has come; its messages wait meanwhile."""

    until: Nanoseconds


class Escalate(Struct, frozen=True):
    """The limit is passed: the process must end, so that something larger restarts it."""

    crashes: int


class RestartLimits(Struct, frozen=True):
    """How much is tolerated. Times in nanoseconds."""

    window: int = 60 * SECOND
    most_in_window: int = 10
    soon: int = 5 * SECOND
    """A crash this long after the last one is a crash again."""
    backoff_first: int = SECOND // 10
    backoff_most: int = 2 * SECOND
    """Below `soon`, so that an actor that crashes each time reaches the limit."""


class RestartPolicy(Struct):
    """The recent crashes of a lane's actors, and what follows from the next one."""

    limits: RestartLimits = field(default_factory=RestartLimits)
    crashes: dict[ActorName, list[Nanoseconds]] = field(default_factory=dict)

    def after_crash(self, actor: ActorName, at: Nanoseconds) -> Resume | StartAfresh | Escalate:
        """Note a crash of `actor` at `at` and decide."""
        limits = self.limits
        recent = [t for t in self.crashes.get(actor, []) if at - t < limits.window]
        before = len(recent)
        soon = before > 0 and at - recent[-1] < limits.soon
        recent.append(at)
        self.crashes[actor] = recent
        if before >= limits.most_in_window:
            return Escalate(before + 1)
        if not soon:
            return Resume()
        if before == 1:
            return StartAfresh(until=at)
        delay = min(limits.backoff_first << (before - 2), limits.backoff_most)
        return StartAfresh(until=Nanoseconds(at + delay))
