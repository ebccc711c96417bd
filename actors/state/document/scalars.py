"""The format's scalars: how each kind of name, address and number is checked, read and written.

Every scalar is described once; the reader, the renderer and the JSON Schema follow it.
"""

import ipaddress
import re
from collections.abc import Callable
from typing import Annotated, Any

from msgspec import Meta, Struct

from actors.values import (
    IpAddress,
    IpInterface,
    IpPrefix,
    Mac,
    format_ip,
    format_mac,
    parse_ip,
    parse_mac,
)


class _UnexpectedError(ValueError):
    """The text looks right, but is not; the message completes `expected …`."""


class Scalar(Struct, frozen=True):
    """One kind of scalar. `parse` raises ValueError."""

    what: str
    pattern: str
    """Regular expression of the whole text, in the dialect that JSON Schema and Python share."""
    parse: Callable[[str], object]
    write: Callable[[Any], str | int]  # any value that its own parse returned
    numeric: bool = False
    """Whether a plain number is one of the ways to write it."""
    colons: bool = False
    """Whether YAML 1.1 may take the text for a sexagesimal number."""


_OCTET = r"(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(\.{_OCTET}){{3}}"
_IPV6 = r"[0-9A-Fa-f:]*:[0-9A-Fa-f:]*(\.[0-9]+){0,3}"
_LENGTH4 = r"/(3[0-2]|[12]?[0-9])"
_LENGTH6 = r"/(12[0-8]|1[01][0-9]|[1-9]?[0-9])"
_HEX_PAIRS = r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}"
_NAME = r"(?!\.{1,2}(/|$))[A-Za-z0-9_.\-]+"
_NUMBER = r"(0x[0-9A-Fa-f]{1,4}|[0-9]{1,5})"

UNICAST_REASON = "a multicast or all-zero MAC cannot be a port's"


def _unicast_mac(text: str) -> Mac:
    mac = parse_mac(text)
    if mac[0] & 1 or not any(mac):
        raise _UnexpectedError(f"a unicast MAC address, found {text!r}: {UNICAST_REASON}")
    return mac


def _network(text: str) -> IpPrefix:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        wide = ipaddress.ip_network(text, strict=False)
        raise _UnexpectedError(
            f"a network, found {text!r} with bits beyond its prefix: {wide} is the network"
        ) from None
    return IpPrefix(IpAddress(network.network_address.packed), network.prefixlen)


def _interface(text: str) -> IpInterface:
    interface = ipaddress.ip_interface(text)
    return IpInterface(IpAddress(interface.ip.packed), interface.network.prefixlen)


def _number(text: str, highest: int) -> int:
    number = int(text, 0) if text.startswith("0x") else int(text)
    if number > highest:
        raise _UnexpectedError(f"a number up to {highest}, found {text!r}")
    return number


def _port_range(text: str) -> str:
    first, _, last = text.partition("-")
    if _number(first, 65535) > _number(last or first, 65535):
        raise _UnexpectedError(f"a range from low to high, found {text!r}")
    return text


def _named_number(highest: int) -> Callable[[str], str | int]:
    return lambda text: _number(text, highest) if text[0].isdigit() else text


def _write_prefix(prefix: IpPrefix) -> str:
    return str(prefix)


def _write_interface(interface: IpInterface) -> str:
    return str(interface)


def _as_is(value: str | int) -> str | int:
    return value


_MAC = Scalar("a MAC address", _HEX_PAIRS, parse_mac, format_mac, colons=True)
_UNICAST_MAC = Scalar("a MAC address", _HEX_PAIRS, _unicast_mac, format_mac, colons=True)
_MAC_MASK = Scalar(
    "a MAC address, with or without /mask",
    rf"{_HEX_PAIRS}(/{_HEX_PAIRS})?",
    str,
    _as_is,
    colons=True,
)
_ADDRESS = Scalar("an IP address", f"{_IPV4}|{_IPV6}", parse_ip, format_ip)
_INTERFACE = Scalar(
    "an address with its prefix length, as in 10.0.1.1/24",
    f"{_IPV4}{_LENGTH4}|{_IPV6}{_LENGTH6}",
    _interface,
    _write_interface,
)
_PREFIX = Scalar(
    "a network, as in 10.0.1.0/24",
    f"{_IPV4}({_LENGTH4})?|{_IPV6}({_LENGTH6})?",
    _network,
    _write_prefix,
)
_NAME_SCALAR = Scalar("a name of letters, digits, '_', '.' and '-'", _NAME, str, _as_is)
_PORT_NAME = Scalar("a port written device/port", f"{_NAME}/{_NAME}", str, _as_is)
_INTERFACE_NAME = Scalar(
    "an interface's name: up to 15 characters, no '/', ':' or blank",
    r"(?!\.{1,2}$)[!-.0-9;-~]{1,15}",
    str,
    _as_is,
)
_PORT_RANGE = Scalar(
    "a port number or a range, as in 80-443",
    r"[0-9]{1,5}(-[0-9]{1,5})?",
    _port_range,
    _as_is,
    numeric=True,
)
_ETHERTYPE = Scalar(
    "an ethertype's number or name",
    rf"{_NUMBER}|[a-z][a-z0-9_\-]*",
    _named_number(0xFFFF),
    _as_is,
    numeric=True,
)
_PROTOCOL = Scalar(
    "an IP protocol's number or name",
    rf"{_NUMBER}|[a-z][a-z0-9_\-]*",
    _named_number(0xFF),
    _as_is,
    numeric=True,
)


def _scalar(scalar: Scalar) -> Meta:
    return Meta(extra={"scalar": scalar})


Name = Annotated[str, _scalar(_NAME_SCALAR)]
PortName = Annotated[str, _scalar(_PORT_NAME)]
InterfaceName = Annotated[str, _scalar(_INTERFACE_NAME)]
AnyMac = Annotated[Mac, _scalar(_MAC)]
UnicastMac = Annotated[Mac, _scalar(_UNICAST_MAC)]
MacMask = Annotated[str, _scalar(_MAC_MASK)]
Address = Annotated[IpAddress, _scalar(_ADDRESS)]
AddressInNetwork = Annotated[IpInterface, _scalar(_INTERFACE)]
Network = Annotated[IpPrefix, _scalar(_PREFIX)]
PortRange = Annotated[str, _scalar(_PORT_RANGE)]
EtherType = Annotated[str | int, _scalar(_ETHERTYPE)]
Protocol = Annotated[str | int, _scalar(_PROTOCOL)]

Byte = Annotated[int, Meta(ge=0, le=255)]
Vlan = Annotated[int, Meta(ge=0, le=4095)]
TransportPort = Annotated[int, Meta(ge=1, le=65535)]
Weight = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Seconds = Annotated[int, Meta(ge=1, le=2**31 - 1)]
UnderlayMtu = Annotated[int, Meta(ge=576, le=65535)]  # RFC 791: what every host accepts
Mtu = Annotated[
    int, Meta(ge=68, le=65535)
]  # RFC 791: what every link carries, to what a veth takes


def text_of(scalar: Scalar, text: str) -> object:
    """Read a scalar's text; raise ValueError whose message completes `expected …`."""
    if re.fullmatch(scalar.pattern, text) is None:
        raise ValueError(f"{scalar.what}, found {text[:80]!r}")
    try:
        return scalar.parse(text)
    except _UnexpectedError:
        raise
    except ValueError:
        raise ValueError(f"{scalar.what}, found {text[:80]!r}") from None
