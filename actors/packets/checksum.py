"""The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

A ones' complement sum of 16-bit words is the number that the bytes spell, modulo 0xffff; so
one big-integer remainder does the whole buffer in C.
"""

_ONES = 0xFFFF


def internet_checksum(data: bytes | bytearray | memoryview, initial: int = 0) -> int:
    """Return the 16-bit checksum of `data`, as RFC 1071 says.

    `initial` is added to the sum: any number of even byte width, such as the pseudo header's
    bytes read as one integer. Over data that contains its right checksum the result is 0.
    """
    value = int.from_bytes(data)
    if len(data) & 1:
        value <<= 8
    total = value + initial
    if not total:
        return _ONES
    # A sum of non-zero words folds to 1..0xffff, never to 0.
    return _ONES - (total % _ONES or _ONES)


def checksum_after_change(checksum: int, old: int, new: int) -> int:
    """Return the checksum after the words `old` of the data became `new` (RFC 1624, eqn. 3).

    `old` and `new` are one or several whole 16-bit words each, read as one big-endian integer
    (a 32-bit address goes in as it is).
    """
    total = (_ONES - checksum) + (_ONES - old % _ONES) + new % _ONES
    return _ONES - (total % _ONES or _ONES)
