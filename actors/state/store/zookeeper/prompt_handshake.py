"""Prompt handshake: a server that does not open the session soon is asked again, by another connection.

A server that is just starting accepts connections that it then never answers (seen with 3.8). kazoo
waits for the answer as long as the session may be silent; the server counts from its start, so the
session has ended by then, although both were there all the time.
"""

from typing import Any, Final

from kazoo.client import KazooClient
from kazoo.protocol.serialization import Connect

_FIRST_SECONDS: Final = 0.5
"""For the first answer; twice as long after each failure, for a server that is only slow."""


def shake_hands_promptly(client: KazooClient) -> None:
    """Have kazoo wait shorter for the answer that opens or resumes a session."""
    connection = client._connection  # noqa: SLF001 - kazoo has no hook
    invoke = connection._invoke  # noqa: SLF001
    patience = _FIRST_SECONDS

    def invoke_promptly(timeout: float, request: object, xid: int | None = None) -> Any:
        nonlocal patience
        if not isinstance(request, Connect):
            return invoke(timeout, request, xid)
        timeout = min(timeout, patience)
        patience *= 2
        answer = invoke(timeout, request, xid)
        patience = _FIRST_SECONDS
        return answer

    connection._invoke = invoke_promptly  # noqa: SLF001
