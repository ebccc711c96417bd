"""The one error of the ODP codec."""


class OdpError(ValueError):
    """Bytes are no well-formed ODP message, or a message cannot be expressed in it."""
