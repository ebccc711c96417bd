"""The requests that a datapath understands, as values; requests.py encodes and decodes them."""

from msgspec import Struct


class GetFamily(Struct, frozen=True, tag_field="kind", tag="get_family"):
    """Ask the controller for a family's id."""

    name: str


class NewDatapath(Struct, frozen=True, tag_field="kind", tag="new_datapath"):
    """Create a datapath whose local port is the device `name`."""

    name: str
    upcall_pid: int = 0
    user_features: int | None = None


class SetDatapath(Struct, frozen=True, tag_field="kind", tag="set_datapath"):
    """Change a datapath's features, and who gets the upcalls of each CPU if they go by CPU."""

    name: str
    user_features: int
    per_cpu_pids: tuple[int, ...] = ()


class GetDatapath(Struct, frozen=True, tag_field="kind", tag="get_datapath"):
    """Look a datapath up, by name or ifindex."""

    dp_ifindex: int = 0
    name: str | None = None


class DeleteDatapath(Struct, frozen=True, tag_field="kind", tag="delete_datapath"):
    """Delete a datapath, by name or ifindex."""

    dp_ifindex: int = 0
    name: str | None = None


class NewVport(Struct, frozen=True, tag_field="kind", tag="new_vport"):
    """Add a port; without a number the datapath chooses one."""

    dp_ifindex: int
    type: int
    """One of OVS_VPORT_TYPE_*."""
    name: str
    upcall_pids: tuple[int, ...] = (0,)
    """Who gets its upcalls; a single 0 is nobody."""
    port_no: int | None = None
    dst_port: int | None = None
    """UDP port of a tunnel."""


class GetVport(Struct, frozen=True, tag_field="kind", tag="get_vport"):
    """Look a port up by name or number; with NLM_F_DUMP all ports."""

    dp_ifindex: int
    port_no: int | None = None
    name: str | None = None


class SetVport(Struct, frozen=True, tag_field="kind", tag="set_vport"):
    """Change who gets a port's upcalls."""

    dp_ifindex: int
    port_no: int | None = None
    name: str | None = None
    upcall_pids: tuple[int, ...] | None = None


class DeleteVport(Struct, frozen=True, tag_field="kind", tag="delete_vport"):
    """Remove a port."""

    dp_ifindex: int
    port_no: int | None = None
    name: str | None = None


class NewFlow(Struct, frozen=True, tag_field="kind", tag="new_flow"):
    """Create a flow; without a mask it matches its key exactly."""

    dp_ifindex: int
    raw_key: bytes
    actions: bytes
    mask: bytes | None = None
    ufid: bytes | None = None
    probe: bool = False
    """Whether it is to find out what is understood: a refusal is not logged."""


class SetFlow(Struct, frozen=True, tag_field="kind", tag="set_flow"):
    """Change a flow's actions (None keeps them), or clear its statistics."""

    dp_ifindex: int
    raw_key: bytes | None = None
    actions: bytes | None = None
    mask: bytes | None = None
    ufid: bytes | None = None
    clear: bool = False


class GetFlow(Struct, frozen=True, tag_field="kind", tag="get_flow"):
    """Look a flow up by ufid or key; with NLM_F_DUMP all flows."""

    dp_ifindex: int
    ufid: bytes | None = None
    raw_key: bytes | None = None
    ufid_flags: int = 0
    probe: bool = False


class DeleteFlow(Struct, frozen=True, tag_field="kind", tag="delete_flow"):
    """Delete a flow by ufid or key; with neither, all flows."""

    dp_ifindex: int
    ufid: bytes | None = None
    raw_key: bytes | None = None
    ufid_flags: int = 0
    probe: bool = False


class ExecutePacket(Struct, frozen=True, tag_field="kind", tag="execute_packet"):
    """Apply actions to a frame, as if it had come in with this key's metadata."""

    dp_ifindex: int
    raw_key: bytes
    actions: bytes
    frame: bytes


class Unsupported(Struct, frozen=True, tag_field="kind", tag="unsupported"):
    """A request of a family or command that is not known here: answer EOPNOTSUPP."""


class Malformed(Struct, frozen=True, tag_field="kind", tag="malformed"):
    """A request whose attributes are wrong: answer EINVAL."""

    reason: str


Encodable = (
    GetFamily | NewDatapath | SetDatapath | GetDatapath | DeleteDatapath | NewVport | GetVport | SetVport
    | DeleteVport | NewFlow | SetFlow | GetFlow | DeleteFlow | ExecutePacket
)  # fmt: skip
RequestBody = Encodable | Unsupported | Malformed
