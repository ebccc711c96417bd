"""Follower: a host's records one after the other as they are complete, each once."""

from cli.inspection import trace_records
from cli.inspection.agent_socket import AgentSocket
from cli.inspection.trace_records import Record


class Follower:
    """See the module. Begins with what is there already."""

    def __init__(self, agent: AgentSocket) -> None:
        self._agent = agent
        self._after = 0
        """No record up to this number is of interest any more."""
        self._shown: set[int] = set()
        """Numbers above `_after` of records that were shown while an earlier one waited."""

    def look(self) -> tuple[Record, ...]:
        """Return the records that have become complete since the last look. Raises CommandError."""
        found = trace_records.records(self._agent, self._after)
        new = tuple(r for r in found if r.complete and r.number not in self._shown)
        waiting = [record.number for record in found if not record.complete]
        if found:
            self._after = min(waiting, default=found[-1].number + 1) - 1
        self._shown |= {record.number for record in new}
        self._shown = {number for number in self._shown if number > self._after}
        return new
