"""What is wrong in a document is said with its line and column.

Each case replaces a piece of the good document by one with a mistake in it; a ^ before a
character marks where the message has to point.
"""

from pathlib import Path

import pytest

from actors.state.document import DocumentError, DocumentUnreadable, load_document, parse_document
from tests.state.document_good import GOOD

Case = tuple[str, str, str]
"""The piece of GOOD, what stands there instead, a part of the message."""

SHAPES: list[Case] = [
    ("ayatori: 1", "ayatori: ^2", "expected the version of the format, 1, found the number 2"),
    ("ayatori: 1", "ayatori: ^'1'", "found '1'"),
    ("ayatori: 1\n", "^x: 1\n", "unknown key 'x'"),
    ("bridges:", "^bridge:", "unknown key 'bridge', the nearest known is 'bridges'"),
    ("interface: vm1}", "^interfce: vm1}", "unknown key 'interfce', the nearest known is 'interf"),
    ("    routes:\n      - {to", "    routes:\n      - {^too", "the nearest known is 'to'"),
    ("vm1: {port: web/vm1, addr", "vm1: {port: web/vm1, ^adr", "the nearest known is 'address'"),
    ("  mtu: 1600", "  hosts: {h1: {^a: 1}, h2: {}}", "unknown key 'a': nothing can be set here"),
    ("    type: vxlan\n", "    ^typ: vxlan\n", "unknown key 'typ'"),
    ("type: vxlan", "type: ^stt", "expected geneve or gre or vxlan, found 'stt'"),
    ("ports: [edge/up1]", "ports: ^edge/up1", "expected a list, found 'edge/up1'"),
    ("  web:\n    admin", "  web: ^[]\n  x:\n    admin", "expected a mapping, found a list"),
    ("spare: {}", "^spare:", "expected a mapping, found nothing"),
    ("spare: {}", "spare: {host: ^[h1]}", "found a list"),
    ("spare: {}", "spare: {host: ^7}", "found the number 7: quote it"),
    ("spare: {}", "spare: {host: ^true}", "found the truth value true: quote it"),
    ("spare: {}", "spare: {host: ^{}}", "found a mapping"),
    ("spare: {}", "^7: {}", "found the number 7: quote it"),
    ("spare: {}", "^a/b: {}", "expected a name"),
    ("spare: {}", "^..: {}", "expected a name"),
    ("spare: {}", '^"": {}', "expected a name"),
    ("spare: {}", "^vm1: {}", "duplicate key 'vm1', first on line 12"),
    ("spare: {}", "? ^[a]\n      : {}", "expected a key, found a list"),
    ("admin_up: false\n", "admin_up: ^no\n", "expected true or false, found 'no'"),
    ("admin_up: false\n", "admin_up: ^0\n", "expected true or false, found the number 0"),
    ("weight: 10}", "weight: ^-1}", "expected a number from 0 to"),
    ("weight: 10}", "weight: ^1.5}", "expected a whole number, found the number 1.5"),
    ("weight: 10}", "weight: ^99999999999999999999}", "expected a whole number"),
    ("mtu: 1600", "mtu: ^16", "expected a number from 576 to 65535, found 16"),
    ('"02:00:00:00:01:01"', "^12:34:56:01:02:03", "as a number: quote it"),
    ('"02:00:00:00:01:01"', "^020000000101", "as a number: quote it"),
    ('"02:00:00:00:01:01"', '^"02-00-00-00-01-01"', "expected a MAC address, found"),
    ('"02:00:00:00:01:01"', '^"03:00:00:00:01:01"', "a multicast or all-zero MAC"),
    ('"02:00:00:00:00:01"', '^"ff:ff:ff:ff:ff:ff"', "a multicast or all-zero MAC"),
    ('"02:00:00:00:00:01"', '^"00:00:00:00:00:00"', "a multicast or all-zero MAC"),
    ("interface: vm1}", "interface: ^sixteen-letters-}", "up to 15 characters"),
    ("interface: vm1}", "interface: ^a/b}", "expected an interface's name"),
    ("198.18.0.2}", "^198.18.0.256}", "expected an IP address, found '198.18.0.256'"),
    ("198.18.0.2}", "^198.18}", "expected an IP address"),
    ("10.0.2.1/24,", "^10.0.2.1,", "with its prefix length"),
    ("10.0.2.1/24,", "^10.0.2.1/33,", "with its prefix length"),
    ("10.0.2.1/24,", "^10.0.2.1/255.255.255.0,", "with its prefix length"),
    ("to: 10.8.0.0/16", "to: ^10.8.0.1/16", "10.8.0.0/16 is the network"),
    ('"2001:db8::12/64"', '^"2001:::12/64"', "expected an address with its prefix length"),
    ("peer: edge/web", "peer: ^edge", "expected a port written device/port"),
    ("up1: {address: 203.0.113.2/30, ", "^up1: {", "the key 'address' is missing"),
    ("{to: 10.8.0.0/16, port: db}", "^{port: db}", "the key 'to' is missing"),
    ("type: vxlan\n    members", "members", "the key 'type' is missing"),
]

MEANINGS: list[Case] = [
    ("peer: edge/web", "peer: ^edg/web", "no device 'edg' has ports, the nearest known is 'edge'"),
    ("peer: edge/web", "peer: ^edge/wb", "no port 'edge/wb', the nearest known is 'edge/web'"),
    ("peer: edge/web", "peer: ^web/gw", "names itself as its peer"),
    ("peer: edge/web", "peer: ^edge/db", "edge/db names db/gw as its peer, not web/gw"),
    ("peer: edge/web", "peer: ^edge/up1", "edge/up1 is bound to a host's interface"),
    ("gw: {peer: edge/web}", "gw: {peer: ^edge/web, host: h1, interface: x}", "both a peer and"),
    ("spare: {}", "spare: {peer: edge/web}", "edge/web is the peer of web/spare already"),
    ("spare: {}", "spare: {host: ^h1}", "has a host, but no interface"),
    ("spare: {}", "spare: {interface: ^x}", "has an interface, but no host"),
    ("spare: {}", "spare: {host: h1, interface: ^vm1}", "of host 'h1' is port web/vm1 already"),
    ("vm3: {host: h1", "vm3: {host: ^h9", "there is no host 'h9' in tunnel_zones or lab, the"),
    ("members: {h1: 198.18.0.1,", "members: {h1: ^'::1',", "no IPv6 underlays yet"),
    ("h2: 198.18.0.2}", "h2: ^198.18.0.1}", "host 'h1' has this address already"),
    ("h2: 198.18.0.2}", "h2: ^224.0.0.1}", "an underlay address cannot be a multicast address"),
    ("  edge:\n", "  web: ^{}\n  edge:\n", "'web' is already the name of a bridge"),
    ("10.0.2.1/24,", "^10.0.1.9/25,", "10.0.1.9/25 overlaps 10.0.1.1/24 of port 'web'"),
    ("10.0.2.1/24,", "^10.1.2.1/8,", "10.1.2.1/8 overlaps 10.0.1.1/24 of port 'web'"),
    ("10.0.2.1/24,", "^10.0.2.0/24,", "the network's own address"),
    ("10.0.2.1/24,", "^10.0.2.255/24,", "the network's broadcast address"),
    ("10.0.2.1/24,", "^127.0.0.1/8,", "a loopback address"),
    ("10.0.2.1/24,", "^255.255.255.255/32,", "a reserved address"),
    ("10.0.2.1/24,", '^"2001:db8::1/64",', "this version does not route IPv6 yet"),
    ("to: 10.8.0.0/16", 'to: ^"2001:db8::/64"', "this version does not route IPv6 yet: to has"),
    ("{to: 10.8.0.0/16, port: db}", "^{to: 10.8.0.0/16}", "needs via or port"),
    ("to: 10.8.0.0/16, port: db", "to: 10.8.0.0/16, port: ^dc", "no port 'dc', the nearest known"),
    ("via: 203.0.113.1,", "via: ^203.0.114.1,", "has 203.0.114.1 in its network"),
    ("via: 203.0.113.1,", "via: ^10.0.2.1,", "is this router's own address"),
    ("via: 203.0.113.1,", "via: ^0.0.0.0,", "cannot be the unspecified address"),
    (
        "action: blackhole",
        "action: blackhole, via: ^10.0.1.9",
        "a blackhole route forwards nothing",
    ),
    ("action: blackhole", "action: reject, port: ^db", "a reject route forwards nothing"),
    ("ports: [edge/up1]", "ports: [edge/up1, ^edge/up2]", "there is no port 'edge/up2'"),
    ("ports: [edge/up1]", "ports: [edge/up1, ^edge/up1]", "in this group already"),
    ("isp: {port: edge/up1", "isp: {port: ^edge/up9", "there is no port 'edge/up9'"),
    ("isp: {port: edge/up1", "isp: {port: ^web/gw", "interior, joined to edge/web"),
    ("isp: {port: edge/up1", "isp: {port: ^edge/web", "interior, joined to web/gw"),
    ("isp: {port: edge/up1", "isp: {port: ^web/spare", "is bound to no host's interface"),
    ("isp: {port: edge/up1", "isp: {port: ^web/vm1", "machine 'vm1' is on port web/vm1 already"),
    ("  mtu: 1600", "  hosts: {h1: {}}", "on host 'h2', which is none of the lab's"),
    ("gateway: 10.0.1.1,", "gateway: ^10.0.3.1,", "no address of this machine has 10.0.3.1"),
    ("gateway: 10.0.1.1,", "gateway: ^239.1.1.1,", "a gateway cannot be a multicast address"),
    ("via: 10.0.1.1}]", "via: ^'fe80::1'}]", "is of another family than 10.7.0.0/16"),
    ("address: 10.0.1.11/24", "address: ^10.0.1.0/24", "the network's own address"),
    ("address: [10.0.1.12/24,", "address: [10.0.1.12/24, ^10.0.1.12/24,", "is given twice"),
]

REFUSED: list[Case] = [
    ("admin_up: false\n", "^inbound: web-in\n", "inbound: this version has no chains yet"),
    ("spare: {}", "spare: {^outbound: a}", "outbound: this version has no chains yet"),
    ("    routes:\n", "    ^inbound: a\n    routes:\n", "inbound: this version has no chains"),
    ("peer: db/gw}", "peer: db/gw, ^outbound: a}", "outbound: this version has no chains yet"),
    ("    routes:\n", "    ^load_balancer: a\n    routes:\n", "no load balancers yet"),
    ("admin_up: false\n", "^dhcp: [{subnet: 10.0.1.0/24}]\n", "dhcp: this version has no DHCP"),
    ("lab:\n", "^chains:\n  a: [{action: drop}]\nlab:\n", "chains: this version has no chains"),
    ("lab:\n", "^ip_groups: {a: [10.0.0.0/8]}\nlab:\n", "ip_groups: this version has no chains"),
    ("lab:\n", "^load_balancers: {a: {}}\nlab:\n", "load_balancers: this version has no load"),
    (", address: 203.0.113.1/30}", ", ^dhcp: true}", "dhcp: this version has no DHCP yet"),
]

INSIDE_REFUSED: list[Case] = [
    ("lab:\n", "chains:\n  a: [{^acton: drop, action: drop}]\nlab:\n", "nearest known is 'action'"),
    ("lab:\n", "chains: {a: [{action: drop, match: {^sorc: a}}]}\nlab:\n", "unknown key 'sorc'"),
    (
        "lab:\n",
        "chains: {a: [{action: drop, match: {not: {any: [{dst_port: ^9-3}]}}}]}\nlab:\n",
        "a range from low to high",
    ),
    ("lab:\n", "load_balancers: {a: {vips: [{^adress: 1, port: 1}]}}\nlab:\n", "'adress'"),
    ("admin_up: false\n", "dhcp: [{^subnt: 10.0.1.0/24}]\n", "the nearest known is 'subnet'"),
]

TEXTS: list[Case] = [
    ("  mtu: 1600", "  ^\tmtu: 1600", "this is not YAML"),
    ("ayatori: 1\n", "ayatori: 1\n^---\n", "here begins a second"),
    ("spare: {}", "spare: ^*nothing", "the alias *nothing stands for nothing before it"),
    ("spare: {}", "spare: &a {host: ^*a}", "the alias *a stands for nothing before it"),
    ("spare: {}", "spare: ^!!map {}", "tags have no place here"),
    ("spare: {}", "spare: {^<<: {host: h1}}", "unknown key '<<'"),
    ("spare: {}", "spa^\x07re: {}", "the character U+0007 is not allowed"),
]


def _spoil(old: str, new: str) -> tuple[str, int, int]:
    """Return the spoiled document, and the line and column of the mark (0 if there is none)."""
    assert GOOD.count(old) >= 1, f"{old!r} is not in the good document"
    marked = GOOD.replace(old, new, 1)
    place = marked.find("^")
    if place < 0:
        return marked, 0, 0
    before = marked[:place]
    line, column = before.count("\n") + 1, place - before.rfind("\n")
    return marked.replace("^", "", 1), line, column


@pytest.mark.parametrize(
    ("old", "new", "fragment"), [*SHAPES, *MEANINGS, *REFUSED, *INSIDE_REFUSED, *TEXTS]
)
def test_mistake_is_named_with_its_line_and_column(old: str, new: str, fragment: str) -> None:
    text, line, column = _spoil(old, new)
    with pytest.raises(DocumentError) as caught:
        parse_document(text, "net.yaml")
    lines = str(caught.value).splitlines()
    found = [each for each in lines if fragment in each]
    assert found, f"{fragment!r} is in none of {lines}"
    assert len(lines) == len(caught.value.problems)
    if line:
        assert found[0].startswith(f"net.yaml:{line}:{column}: ")


def test_all_mistakes_are_listed_in_the_order_of_the_file() -> None:
    text = GOOD.replace("peer: edge/web", "peer: edge/x").replace("port: db}", "port: x}")
    with pytest.raises(DocumentError) as caught:
        parse_document(text, "net.yaml")
    assert [problem.line for problem in caught.value.problems] == [15, 29]
    assert (caught.value.line, caught.value.column) == (15, 18)
    assert caught.value.file == "net.yaml"
    assert caught.value.message.startswith("there is no port 'edge/x'")


def test_more_mistakes_than_anybody_reads_are_cut_short() -> None:
    text = "ayatori: 1\n" + "".join(f"x{number}: 1\n" for number in range(1000))
    with pytest.raises(DocumentError) as caught:
        parse_document(text, "net.yaml")
    assert len(caught.value.problems) == 100


def test_peers_that_go_around_are_refused_at_each_end() -> None:
    text = (
        "ayatori: 1\nbridges:\n  a: {ports: {x: {peer: b/x}}}\n"
        "  b: {ports: {x: {peer: c/x}}}\n  c: {ports: {x: {peer: a/x}}}\n"
    )
    with pytest.raises(DocumentError) as caught:
        parse_document(text, "net.yaml")
    assert [problem.line for problem in caught.value.problems] == [3, 4, 5]


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n", "text", "1", "null", "[]", "---\n"])
def test_document_that_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(DocumentError, match="it begins with `ayatori: 1`"):
        parse_document(text, "net.yaml")


def test_good_document_is_taken() -> None:
    assert parse_document(GOOD, "net.yaml").lab is not None


def test_features_that_are_switched_off_are_no_features() -> None:
    text = GOOD.replace("port: edge/up1, ", "port: edge/up1, dhcp: false, ") + "\nchains: {}\n"
    assert parse_document(text, "net.yaml") == parse_document(GOOD, "net.yaml")


def test_file_that_is_not_there_has_no_line(tmp_path: Path) -> None:
    missing = tmp_path / "net.yaml"
    with pytest.raises(DocumentUnreadable) as caught:
        load_document(missing)
    assert str(caught.value) == f"{missing}: cannot be read: No such file or directory"


def test_folder_is_no_document(tmp_path: Path) -> None:
    with pytest.raises(DocumentUnreadable, match="Is a directory"):
        load_document(tmp_path)


def test_text_that_is_not_utf8_is_refused_where_it_begins(tmp_path: Path) -> None:
    file = tmp_path / "net.yaml"
    file.write_bytes(b"ayatori: 1\nbridges: \xff\n")
    with pytest.raises(DocumentError, match=r":2:10: this is not UTF-8 text"):
        load_document(file)


def test_byte_order_mark_is_no_part_of_the_document(tmp_path: Path) -> None:
    file = tmp_path / "net.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load_document(file) == parse_document(GOOD, "net.yaml")
