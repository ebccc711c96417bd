"""Parked frames in a snapshot: what the journal does not keep of a frame is zero there too.

So a replay, which has zeros in place of what was cut off, comes to the same state.
"""

import msgspec

from actors.messages.simulation import Hop


def cut_frame(frame: bytes, limit: int) -> bytes:
    """Return `frame` with zeros in place of all behind its first `limit` bytes."""
    return frame if len(frame) <= limit else frame[:limit] + bytes(len(frame) - limit)


def cut_hops(hops: list[Hop], limit: int) -> list[Hop]:
    """Return packets that wait, their frames cut."""
    if all(len(hop.context.frame) <= limit for hop in hops):
        return hops
    replace = msgspec.structs.replace
    return [
        Hop(replace(hop.context, frame=cut_frame(hop.context.frame, limit)), hop.port)
        for hop in hops
    ]
