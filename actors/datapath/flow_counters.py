"""What the flow controller counts, for operators."""

from msgspec import Struct


class FlowCounters(Struct):
    """What became of verdicts and flows since the agent started."""

    installed: int = 0
    executed: int = 0
    expired: int = 0
    invalidated: int = 0
    evicted: int = 0
    duplicates: int = 0
    """A verdict for a match that was installed already, or the datapath said so (EEXIST)."""
    refused: int = 0
    stale: int = 0
    """Not installed, as what they depended on changed while their packet waited."""
    unreachable: int = 0
    """Outputs to ports that are plugged in nowhere, or on a host without a tunnel."""
    malformed_rows: int = 0
    """Rows of the active table that could not be read."""
    in_pieces: int = 0
    """Packets that left by more ports than one flow's actions have room for."""
    lost: int = 0
    """Flows that the datapath did not have when it was asked."""
    packets: int = 0
    octets: int = 0
