"""Sequence numbers of netlink requests: 2 bits say what was asked, 30 which flow or request.

So a reply to a flow create or delete finds its flow without a table of requests in flight, and a
number comes back only after 2^30 others of its kind: no late reply meets a newer request.
"""

from typing import Final

KIND_REQUEST: Final = 0
KIND_CREATE: Final = 1
KIND_DELETE: Final = 2
KIND_EXECUTE: Final = 3
NUMBER_MASK: Final = (1 << 30) - 1

CREATE_BITS: Final = KIND_CREATE << 30
DELETE_BITS: Final = KIND_DELETE << 30
EXECUTE_BITS: Final = KIND_EXECUTE << 30


def kind_of(sequence: int) -> int:
    """Return the KIND_* of a sequence number."""
    return sequence >> 30


def flow_of(sequence: int, next_flow: int) -> int:
    """Return the number of the flow meant: the latest below `next_flow` with these 30 bits."""
    low = sequence & NUMBER_MASK
    number = (next_flow & ~NUMBER_MASK) | low
    return number if number < next_flow else number - NUMBER_MASK - 1
