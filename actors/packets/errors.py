"""The one error of the packet parsers and builders."""


class PacketError(ValueError):
    """Bytes are no such packet, or a packet cannot be built from what was given."""
