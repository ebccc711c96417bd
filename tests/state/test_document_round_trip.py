"""An export says the same as the document that was applied, whatever that was."""

import itertools
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.state.document import (
    Document,
    ObjectError,
    compile_document,
    decode_object,
    decompile,
    encode_object,
    parse_document,
    render,
    to_plain,
)
from actors.state.document.model import (
    Bridge,
    BridgePort,
    Lab,
    LabHost,
    PortGroup,
    Route,
    Router,
    RouterPort,
    TunnelZone,
)
from actors.state.topology import TopologyObject
from actors.values import IpAddress, IpInterface, Mac, prefix_of
from tests.state.document_good import GOOD

_NAMES = st.one_of(
    st.sampled_from(["web", "vm2", "vm10", "1", "1.5", "-", "---", "null", "yes", "0x1f", "1e3"]),
    st.from_regex(r"[A-Za-z0-9_.\-]{1,8}", fullmatch=True).filter(lambda name: name.strip(".")),
)
_INTERFACES = st.from_regex(r"[!-.0-9;-~]{1,12}", fullmatch=True)
_MACS = st.binary(min_size=5, max_size=5).map(lambda rest: Mac(b"\x02" + rest))
_SOURCES = st.tuples(st.binary(min_size=4, max_size=4), st.integers(0, 32)).map(
    lambda pair: prefix_of(IpAddress(pair[0]), pair[1])
)


@st.composite
def _documents(draw: st.DrawFn) -> Document:
    devices = draw(st.lists(_NAMES, unique=True, max_size=5))
    hosts = draw(st.lists(_NAMES, unique=True, min_size=1, max_size=3))
    split = draw(st.integers(0, len(devices)))
    free: list[str] = []
    prefix, numbers = draw(_INTERFACES), itertools.count(10)

    def placed(name: str, port: str) -> dict[str, str]:
        match draw(st.integers(0, 2)):
            case 0:
                interface = f"{prefix}{next(numbers)}"
                return {"host": draw(st.sampled_from(hosts)), "interface": interface}
            case 1 if free:
                return {"peer": free.pop(draw(st.integers(0, len(free) - 1)))}
            case _:
                free.append(f"{name}/{port}")
                return {}

    bridges = {
        name: Bridge(
            ports={
                port: msgspec.convert(
                    placed(name, port) | {"admin_up": draw(st.booleans())}, BridgePort
                )
                for port in draw(st.lists(_NAMES, unique=True, max_size=4))
            },
            admin_up=draw(st.booleans()),
        )
        for name in devices[:split]
    }
    routers = {name: _router(draw, name, placed) for name in devices[split:]}
    every = [f"{name}/{port}" for name, each in (bridges | routers).items() for port in each.ports]
    addresses = st.integers(1, 250).map(lambda last: IpAddress(bytes([198, 18, 0, last])))
    members = draw(st.lists(addresses, unique=True, min_size=len(hosts), max_size=len(hosts)))
    return Document(
        ayatori=1,
        tunnel_zones={"dc": TunnelZone("vxlan", dict(zip(hosts, members, strict=True)))}
        if draw(st.booleans())
        else {},
        bridges=bridges,
        routers=routers,
        port_groups={"all": PortGroup(ports=tuple(every), stateful=draw(st.booleans()))}
        if draw(st.booleans())
        else {},
        lab=Lab(hosts={host: LabHost() for host in [*hosts, "stray"]})
        if draw(st.booleans())
        else None,
    )


def _router(draw: st.DrawFn, name: str, placed: Callable[[str, str], dict[str, str]]) -> Router:
    ports: dict[str, RouterPort] = {}
    for number, port in enumerate(draw(st.lists(_NAMES, unique=True, max_size=4))):
        address = IpInterface(IpAddress(bytes([10, 0, number, 1])), draw(st.integers(24, 32)))
        where = placed(name, port)
        mac = draw(st.none() | _MACS)
        ports[port] = RouterPort(address=address, mac=mac, admin_up=draw(st.booleans()), **where)
    routes = []
    for _ in range(draw(st.integers(0, 4))):
        to, source = draw(_SOURCES), draw(st.none() | _SOURCES)
        leaves_by: str | None = draw(st.sampled_from([None, *ports]))
        weight = draw(st.integers(0, 200))
        if leaves_by is None:
            routes.append(Route(to=to, source=source, action="reject", weight=weight))
            continue
        near = IpAddress(bytes([10, 0, list(ports).index(leaves_by), 2]))
        far = IpAddress(bytes([192, 0, 2, 1]))
        via = draw(st.sampled_from([None, near, far]))
        routes.append(Route(to=to, source=source, port=leaves_by, via=via, weight=weight))
    return Router(ports=ports, routes=tuple(routes), admin_up=draw(st.booleans()))


@given(_documents())
@settings(max_examples=60, deadline=None)
def test_export_of_a_document_compiles_to_the_same_objects(document: Document) -> None:
    parsed = parse_document(render(document), "net.yaml")
    things = compile_document(parsed)
    text = render(decompile(things))
    assert compile_document(parse_document(text, "export.yaml")) == things
    assert render(decompile(compile_document(parse_document(text, "export.yaml")))) == text


@given(_documents())
@settings(max_examples=40, deadline=None)
def test_rendered_document_reads_as_itself_in_yaml_and_json(document: Document) -> None:
    assert to_plain(parse_document(render(document), "net.yaml")) == to_plain(document)
    text = msgspec.json.encode(to_plain(document)).decode()
    assert to_plain(parse_document(text, "net.json")) == to_plain(document)


@given(_documents())
@settings(max_examples=15, deadline=None)
def test_objects_decode_to_what_was_encoded(document: Document) -> None:
    for thing in compile_document(parse_document(render(document), "net.yaml")):
        data = encode_object(thing)
        assert decode_object(data) == thing
        for end in range(0, len(data), 7):
            with pytest.raises(ObjectError):
                decode_object(data[:end])


@given(st.binary(max_size=60))
def test_garbage_is_no_object(data: bytes) -> None:
    with pytest.raises(ObjectError):
        decode_object(data)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_object_is_an_object_or_refused(data: st.DataObject) -> None:
    things = compile_document(parse_document(GOOD, "net.yaml"))
    encoded = bytearray(encode_object(data.draw(st.sampled_from(things))))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    try:
        thing: TopologyObject = decode_object(bytes(encoded))
    except ObjectError:
        return
    assert decode_object(encode_object(thing)) == thing


def test_order_of_names_in_the_document_makes_no_difference() -> None:
    one = (
        "ayatori: 1\nbridges:\n"
        "  a: {ports: {x: {host: h, interface: i}, y: {}}}\n  b: {ports: {x: {peer: a/y}}}\n"
    )
    other = (
        "ayatori: 1\nbridges:\n"
        "  b: {ports: {x: {}}}\n  a: {ports: {y: {peer: b/x}, x: {interface: i, host: h}}}\n"
    )
    objects = [compile_document(parse_document(text, "net.yaml")) for text in (one, other)]
    assert objects[0] == objects[1]


def test_export_reads_like_a_document_of_a_person() -> None:
    things = compile_document(parse_document(GOOD, "net.yaml"))
    assert (
        render(decompile(things))
        == """\
ayatori: 1

tunnel_zones:
  dc:
    type: vxlan
    members: {h1: 198.18.0.1, h2: 198.18.0.2}

bridges:
  db:
    ports:
      gw: {peer: edge/db}
      vm3: {host: h1, interface: vm3}
  web:
    ports:
      gw: {peer: edge/web}
      spare: {}
      vm1: {host: h1, interface: vm1}
      vm2: {host: h2, interface: vm2, admin_up: false}
    admin_up: false

routers:
  edge:
    ports:
      db: {address: 10.0.2.1/24}
      up1: {address: 203.0.113.2/30, host: h1, interface: up1}
      web: {address: 10.0.1.1/24, mac: "02:00:00:00:01:01"}
    routes:
      - {to: 0.0.0.0/0, via: 203.0.113.1, weight: 10}
      - {to: 10.8.0.0/16, port: db}
      - {to: 10.9.0.0/16, from: 10.0.1.0/24, action: blackhole}

port_groups:
  uplinks: {ports: [edge/up1], stateful: true}
"""
    )


def test_ports_are_exported_in_the_order_that_people_count() -> None:
    ports = ", ".join(f"vm{number}: {{}}" for number in (10, 9, 1, 2))
    text = f"ayatori: 1\nbridges: {{web: {{ports: {{{ports}}}}}}}\n"
    exported = decompile(compile_document(parse_document(text, "net.yaml")))
    assert list(exported.bridges["web"].ports) == ["vm1", "vm2", "vm9", "vm10"]


def test_host_that_only_the_lab_names_survives_the_export() -> None:
    text = "ayatori: 1\nlab: {hosts: {h1: {}}}\n"
    things = compile_document(parse_document(text, "net.yaml"))
    assert render(decompile(things)) == "ayatori: 1\n\nlab:\n  hosts: {h1: {}}\n"


@pytest.mark.parametrize("file", sorted(Path("examples").glob("*.yaml")), ids=str)
def test_examples_are_documents_with_a_lab(file: Path) -> None:
    document = parse_document(file.read_text(), str(file))
    assert document.lab is not None
    assert document.lab.machines
