"""What a journal holds: inputs and outputs, each kind with a name and a version of its own.

A kind's tag, such as `packet-in.1`, is its identity on disk. A change of fields that an old
record would not fit takes the next version and leaves the old class, with an upcaster, behind.
"""

from msgspec import Struct


class Input(Struct, frozen=True, array_like=True, gc=False):
    """Something that entered a lane from outside; journaled before it is handled.

    Every input carries `at`, the edge's clock in nanoseconds since 1970: actors have no other.
    """


class Output(Struct, frozen=True, array_like=True, gc=False):
    """Something that leaves a lane; recorded, then performed at the edge."""
