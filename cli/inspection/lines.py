"""Answers in lines for people and grep: one line a flow, a row or a counter, each whole in itself."""

from collections.abc import Iterable, Iterator, Sequence

from cli.inspection.answers import Devices, Flows, Stats, Tables

Row = Sequence[str]


def flows(answer: Flows, *, tags: bool) -> Iterator[str]:
    """Write each flow in a line; `tags` adds what it depends on."""
    rows: list[Row] = [("KIND", "AGE", "EXPIRES", "PACKETS", "BYTES", "MATCH", "ACTIONS")]
    for flow in answer.flows:
        end = [flow.actions]
        if flow.reason:
            end.append(f"({flow.reason})")
        if tags:
            end.append(f"[{'; '.join(flow.tags)}]")
        rows.append(
            (
                flow.kind or "none",
                f"{flow.age:.1f}",
                f"{flow.expires_in:.1f}",
                str(flow.packets),
                str(flow.bytes),
                flow.match,
                " ".join(end),
            )
        )
    return aligned(rows)


def tables(answer: Tables) -> Iterator[str]:
    """Write each row of each table in a line that begins with the table's name."""
    rows: list[Row] = [("TABLE", "OF", "ENTRY", "IS")]
    rows += [
        (
            "port",
            answer.host,
            port.port,
            f"{port.status} interface={port.interface} number={port.number} key={port.tunnel_key:#x}",
        )
        for port in answer.ports
    ]
    rows += [
        ("missing", answer.host, name, "no such interface") for name in answer.missing_interfaces
    ]
    rows += [
        (
            "tunnel",
            answer.host,
            t.interface,
            f"{t.status} type={t.type} number={t.number}{t.why and f': {t.why}'}",
        )
        for t in answer.tunnels
    ]
    rows += [
        ("peer", answer.host, p.host, f"{p.local} to {p.remote} by {p.type}") for p in answer.peers
    ]
    rows += [("active", p.host, p.port, f"key={p.tunnel_key:#x}") for p in answer.active]
    rows += [
        (
            "mac",
            row.bridge,
            row.mac,
            f"vlan={row.vlan} port={row.port}{_own(row.own)}{' in_use' * row.in_use}",
        )
        for row in answer.macs
    ]
    rows += [
        ("arp", row.router, row.address, f"mac={row.mac} port={row.port}{_own(row.own)}")
        for row in answer.arp
    ]
    rows += [
        (
            "asking",
            row.router,
            row.address,
            f"port={row.port} tries={row.tries} waiting={row.waiting}",
        )
        for row in answer.asking
    ]
    rows += [
        (
            "route",
            row.router,
            row.to,
            f"{row.action} port={row.port or '-'} via={row.via or '-'} from={row.source} weight={row.weight}",
        )
        for row in answer.routes
    ]
    return aligned(rows)


def _own(own: bool) -> str:
    return " own" if own else ""


def devices(answer: Devices) -> Iterator[str]:
    """Write each device in a line, and each of its ports in one that begins with its name."""
    rows: list[Row] = [("DEVICE", "PORT", "STATE", "IS")]
    for device in answer.devices:
        name = f"{device.kind}/{device.name}"
        state = _up(device.admin_up) if device.exists else "gone"
        rows.append((name, "-", state, f"waiting={device.waiting}"))
        for port in device.ports:
            facts = [f"address={port.address}"] if port.address else []
            facts += [f"mac={port.mac}"] if port.mac else []
            if port.peer:
                facts.append(f"peer={port.peer}")
            elif port.interface:
                facts.append(f"interface={port.interface} host={port.host}")
            else:
                facts.append("unplugged")
            rows.append((name, port.name, _up(port.admin_up), " ".join(facts)))
    return aligned(rows)


def _up(up: bool) -> str:
    return "up" if up else "down"


def stats(answer: Stats) -> Iterator[str]:
    """Write each counter in a line: its name, then its value."""
    rows: list[Row] = [
        ("simulated", str(answer.simulated)),
        ("waited_topology", str(answer.waited_topology)),
        ("waited_arp", str(answer.waited_arp)),
        ("waited_share", f"{answer.waited_share:.4f}"),
    ]
    rows += [(f"agent.{name}", value) for name, value in _flat(answer.agent)]
    for actor, counters in answer.actors.items():
        rows += [(f"{actor}.{name}", value) for name, value in _flat(counters)]
    return aligned(rows)


def _flat(value: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Write a tree of counters as paths and values; lists of things are no counters."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _flat(part, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list):
        yield prefix, str(len(value))
    else:
        yield prefix, str(value)


def aligned(rows: Iterable[Row]) -> Iterator[str]:
    """Pad all columns but the last to the width of their widest cell."""
    all_rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*all_rows, strict=True)]
    for row in all_rows:
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join([*padded[:-1], row[-1]]).rstrip()
