"""The JSON Schema and the parser say the same about what a document looks like."""

import json
import re
from typing import cast

import pytest

from actors.state.document import DocumentError, json_schema, parse_document, to_plain
from tests.state.document_good import GOOD
from tests.state.test_document_errors import INSIDE_REFUSED, SHAPES

_SCHEMA = json_schema()
_TYPES = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
_KNOWN = {
    *("$schema", "$ref", "$defs", "title", "description", "default", "type", "properties"),
    *("required", "additionalProperties", "propertyNames", "items", "enum", "anyOf", "pattern"),
    *("minimum", "maximum"),
}


def _valid(value: object, schema: dict[str, object]) -> bool:
    """Validate by the keywords of the specification that the schema uses; no others may occur."""
    assert set(schema) <= _KNOWN
    if "$ref" in schema:
        name = str(schema["$ref"]).removeprefix("#/$defs/")
        return _valid(value, cast("dict[str, dict[str, object]]", _SCHEMA["$defs"])[name])
    if "anyOf" in schema:
        return any(_valid(value, each) for each in cast("list[dict[str, object]]", schema["anyOf"]))
    if "enum" in schema:
        return any(
            value == each and type(value) is type(each)
            for each in cast("list[object]", schema["enum"])
        )
    wanted = _TYPES[str(schema["type"])]
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        return False
    match value:
        case dict():
            return _valid_object(value, schema)
        case list():
            return all(_valid(each, cast("dict[str, object]", schema["items"])) for each in value)
        case str():
            return re.search(str(schema["pattern"]), value) is not None
        case bool():
            return True
        case int():
            return cast("int", schema["minimum"]) <= value <= cast("int", schema["maximum"])
    return False


def _valid_object(value: dict[str, object], schema: dict[str, object]) -> bool:
    properties = cast("dict[str, dict[str, object]]", schema.get("properties", {}))
    others = schema["additionalProperties"]
    names = cast("dict[str, object]", schema.get("propertyNames", {}))
    if any(name not in value for name in cast("list[str]", schema.get("required", []))):
        return False
    for name, each in value.items():
        if names and not _valid(name, names):
            return False
        if name in properties:
            if not _valid(each, properties[name]):
                return False
        elif not isinstance(others, dict) or not _valid(each, others):
            return False
    return True


def _json(text: str) -> object:
    """Return what other YAML readers would hand to a validator."""
    from ruamel.yaml import YAML  # noqa: PLC0415

    return json.loads(json.dumps(YAML(typ="safe", pure=True).load(text)))


_WHOLE = """\
ayatori: 1
tunnel_zones: {dc: {type: gre, members: {h1: 198.18.0.1}}}
bridges:
  web:
    ports: {vm1: {host: h1, interface: vm1, inbound: a, outbound: b}, gw: {peer: edge/web}}
    inbound: web-in
    outbound: web-in
    admin_up: true
    dhcp:
      - subnet: 10.0.1.0/24
        gateway: 10.0.1.1
        server: 10.0.1.2
        lease: 86400
        mtu: 1450
        dns: [10.0.1.2]
        routes: [{to: 10.9.0.0/16, via: 10.0.1.9}]
        hosts: {"02:00:00:00:00:01": {address: 10.0.1.11, name: vm1}}
routers:
  edge:
    ports: {web: {address: 10.0.1.1/24, mac: "02:00:00:00:01:01", inbound: a}}
    routes: [{from: 10.0.1.0/24, to: 10.9.0.0/16, action: reject, weight: 5}]
    load_balancer: lb1
port_groups: {uplinks: {stateful: true, ports: [edge/web]}}
ip_groups: {admins: [10.0.1.5, 10.0.8.0/28]}
chains:
  web-in:
    - {match: {flow: return}, action: accept}
    - {match: {ethertype: arp}, action: accept}
    - {match: {ethertype: 0x0800, vlan: 5, tos: 3, fragment: later, passed: web}, action: drop}
    - {match: {proto: tcp, dst_port: 80-443, src_group: admins}, action: accept}
    - {match: {proto: 17, src_port: 53, src_mac: "02:00:00:00:00:00/ff:00:00:00:00:00"}, action: drop}
    - {match: {not: {src: 10.0.0.0/8}, any: [{icmp_type: 8}, {icmp_code: 0}]}, action: jump, chain: x}
    - {action: reject}
  nat:
    - {match: {out_port: edge/up1}, snat: {to: 203.0.113.2, ports: 1024-65535}, action: accept}
    - {match: {dst: 203.0.113.10}, dnat: {to: 10.0.1.12, ports: 80}, action: accept}
    - {match: {in_port: edge/up1}, unnat: snat, action: accept}
load_balancers:
  lb1:
    vips:
      - {address: 203.0.113.20, port: 80, proto: tcp, pool: web, sticky: source_ip, sticky_timeout: 60}
    pools:
      web:
        health: {interval: 1, timeout: 1, fall: 2, rise: 1}
        members: [{address: 10.0.1.11, port: 8080, weight: 2}, {address: 10.0.1.12, port: 8080}]
lab:
  mtu: 1500
  hosts: {h1: {}, h2: {}}
  machines:
    vm1: {port: web/vm1, address: 10.0.1.11/24, gateway: 10.0.1.1, mac: "02:00:00:00:00:01"}
    vm2: {port: web/vm2, address: [10.0.1.12/24, "2001:db8::12/64"], mtu: 1450}
    vm3: {port: web/vm3, dhcp: true}
"""


@pytest.mark.parametrize("text", [GOOD, _WHOLE], ids=["good", "whole format"])
def test_schema_takes_what_the_format_has(text: str) -> None:
    assert _valid(_json(text), _SCHEMA)


def test_parser_knows_the_whole_format_and_refuses_by_name_what_it_lacks() -> None:
    with pytest.raises(DocumentError) as caught:
        parse_document(_WHOLE, "net.yaml")
    refused = [each.message for each in caught.value.problems if "this version" in each.message]
    assert [each.partition(":")[0] for each in refused] == [
        *("inbound", "outbound", "inbound", "outbound", "dhcp", "inbound"),
        *("load_balancer", "ip_groups", "chains", "load_balancers", "dhcp"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "fragment"),
    [
        case
        for case in (*SHAPES, *INSIDE_REFUSED)
        # What a pattern cannot say, or other readers of YAML see differently:
        if not any(
            word in f"{case[1]} {case[2]}"
            for word in (
                *("duplicate", "a key", "is the network", "multicast", "low to high"),
                *("2001:::", "the number 7: quote", "as a number"),
            )
        )
    ],
)
def test_schema_refuses_what_the_reader_refuses(old: str, new: str, fragment: str) -> None:
    text = GOOD.replace(old, new.replace("^", "", 1), 1)
    with pytest.raises(DocumentError):
        parse_document(text, "net.yaml")
    assert not _valid(_json(text), _SCHEMA), fragment


def test_schema_takes_what_is_exported() -> None:
    assert _valid(to_plain(parse_document(GOOD, "net.yaml")), _SCHEMA)
