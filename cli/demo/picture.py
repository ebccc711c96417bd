"""A topology drawn as a tree of boxes' names with lines between them. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from actors.state.document import Document
from actors.state.document.model import BridgePort, RouterPort
from actors.values import format_ip

_GAP = 3
"""Columns between siblings."""


class Node(NamedTuple):
    """Something to draw: its lines, centred, and what hangs below it."""

    lines: tuple[str, ...]
    children: tuple["Node", ...] = ()


class _Block(NamedTuple):
    lines: list[str]
    width: int
    centre: int
    """Column at which the line to the parent begins."""


def topology(document: Document) -> tuple[Node, ...]:
    """Return the trees of a document: routers above, bridges below them, machines at the bottom."""
    seen: set[str] = set()
    roots = [_device(document, name, "", seen) for name in document.routers if name not in seen]
    roots += [_device(document, name, "", seen) for name in document.bridges if name not in seen]
    return tuple(roots)


def _device(document: Document, name: str, above: str, seen: set[str]) -> Node:
    """Make the node of a device; `above` is a line about the port by which it is reached."""
    seen.add(name)
    router = document.routers.get(name)
    kind = "bridge" if router is None else "router"
    children = [
        _device(document, far, _address(document, name, far), seen)
        for far in _neighbours(document, name)
        if far not in seen
    ]
    children += _machines(document, name)
    title = (f"{kind} {name}",)
    return Node((above, "│", *title) if above else title, tuple(children))


def _ports(document: Document, name: str) -> Mapping[str, BridgePort | RouterPort]:
    router = document.routers.get(name)
    return document.bridges[name].ports if router is None else router.ports


def _neighbours(document: Document, name: str) -> list[str]:
    """Return the devices that one is joined to, whichever end names the other."""
    found: dict[str, None] = {}
    for near in (*document.routers, *document.bridges):
        for port in _ports(document, near).values():
            if port.peer is not None:
                far = port.peer.partition("/")[0]
                if near == name:
                    found[far] = None
                elif far == name:
                    found[near] = None
    return list(found)


def _address(document: Document, router: str, far: str) -> str:
    """Return the address of the router's port towards a device, "" if there is none."""
    if router not in document.routers:
        return ""
    bridge = document.bridges.get(far)
    joined = {port.peer for port in bridge.ports.values()} if bridge else set()
    for name, port in document.routers[router].ports.items():
        if f"{router}/{name}" in joined or (port.peer or "").partition("/")[0] == far:
            return str(port.address)
    return ""


def _machines(document: Document, device: str) -> list[Node]:
    nodes = []
    for name, machine in (document.lab.machines if document.lab else {}).items():
        of, _, port_name = machine.port.partition("/")
        if of != device:
            continue
        address = format_ip(machine.addresses[0].address) if machine.addresses else "DHCP"
        host = _ports(document, device)[port_name].host
        nodes.append(Node((name, address, f"on {host}" if host else "unplugged")))
    return nodes


def draw(node: Node) -> list[str]:
    """Return the lines of a tree's drawing."""
    return [line.rstrip() for line in _block(node).lines]


def _block(node: Node) -> _Block:
    own = max(map(len, node.lines))
    if not node.children:
        return _Block([line.center(own) for line in node.lines], own, own // 2)
    blocks = [_block(child) for child in node.children]
    starts, width = [], 0
    for block in blocks:
        starts.append(width)
        width += block.width + _GAP
    width -= _GAP
    arms = [start + block.centre for start, block in zip(starts, blocks, strict=True)]
    centre = (arms[0] + arms[-1]) // 2
    shift = max(0, own // 2 - centre)
    width = max(width + shift, shift + centre - own // 2 + own)
    head = [" " * (shift + centre - len(line) // 2) + line for line in node.lines]
    bar = " " * shift + _bar(arms, centre)
    below = []
    for row in range(max(len(block.lines) for block in blocks)):
        cells = [
            (block.lines[row] if row < len(block.lines) else "").ljust(block.width)
            for block in blocks
        ]
        below.append(" " * shift + (" " * _GAP).join(cells))
    lines = [line.ljust(width) for line in (*head, bar, *below)]
    return _Block(lines, width, shift + centre)


def _bar(arms: list[int], centre: int) -> str:
    """Draw the line from a parent to its children, whose columns are `arms`."""
    if len(arms) == 1:
        return " " * arms[0] + "│"
    cells = []
    for column in range(arms[-1] + 1):
        if column < arms[0]:
            cells.append(" ")
        elif column in arms:
            middle = "┼" if column == centre else "┬"
            cells.append({arms[0]: "┌", arms[-1]: "┐"}.get(column, middle))
        else:
            cells.append("┴" if column == centre else "─")
    return "".join(cells)
