"""AgentConfig: an agent's configuration file, read once into one frozen object.

YAML or JSON. Unknown keys are refused with the nearest known one named.
"""

import difflib
import os
import re
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from actors.host import HostSettings
from actors.state.journal import JournalSettings
from actors.state.store.open import with_credential
from actors.values import SECOND, HostId, stable_id

_LONGEST_SOCKET_PATH: Final = 107
"""Bytes in sockaddr_un.sun_path, less the final zero (unix(7))."""


class ConfigError(Exception):
    """The configuration is wrong; the message is one line that says what and where."""


class JournalConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes in bytes, times in seconds; see actors/state/journal.py."""

    directory: Path
    segment_size: int = 16 * 1024 * 1024
    segment_age: float = 3600.0
    keep_segments: int = 16
    frame_limit: int = 2048


class TunnelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The overlay tunnel."""

    port: int = 6677
    """UDP port of VXLAN, the same on all hosts."""
    geneve_port: int = 6081
    """UDP port of Geneve, the same on all hosts."""


class SessionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """This host's session in the store, the lease on its id."""

    ttl: float = 6.0
    """Seconds that its entries outlive it, and that its id stays taken."""


class LogConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Logging to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"
    """auto: text on a terminal, JSON elsewhere."""


class LimitsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds of the agent's tables, and times in seconds."""

    flows: int = 100_000
    mac_idle: float = 15.0
    arp_stale: float = 60.0
    arp_expiry: float = 90.0
    device_idle: float = 300.0
    """Devices that nothing has used for so long are let go; the next packet loads them again."""


class AgentConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything an agent is told."""

    host: str
    """The host's name in the topology document."""
    store: str
    """URL of the store, such as sqlite:////var/lib/ayatori/store.db."""
    journal: JournalConfig
    control: Path
    """The agent's unix socket."""
    store_auth: Path | None = None
    """File with the store's `user:password`, readable by its owner only."""
    session: SessionConfig = SessionConfig()
    datapath: Literal["soft", "kernel", "auto"] = "auto"
    """auto: the kernel's openvswitch module where there is one."""
    upcalls: Literal["port", "cpu"] = "port"
    """One socket for the upcalls of each port, or of each CPU where the kernel offers that."""
    tunnel: TunnelConfig = TunnelConfig()
    log: LogConfig = LogConfig()
    limits: LimitsConfig = LimitsConfig()
    keep_flows: bool = False
    """Leave the datapath's flows in place when the agent stops."""
    lane_timeout: float = 15.0
    """Seconds without progress after which the lane is taken to be stuck."""

    def host_settings(self) -> HostSettings:
        """Return what the actors are told."""
        limits = self.limits
        return HostSettings(
            HostId(stable_id("host", self.host)),
            self.host,
            tunnel_udp_port=self.tunnel.port,
            tunnel_geneve_port=self.tunnel.geneve_port,
            frame_limit=self.journal.frame_limit,
            most_flows=limits.flows,
            mac_idle=int(limits.mac_idle * SECOND),
            arp_stale=int(limits.arp_stale * SECOND),
            arp_expiry=int(limits.arp_expiry * SECOND),
            device_idle=int(limits.device_idle * SECOND),
        )

    def store_url(self) -> str:
        """Return the store's URL with the credential's file. Raises StoreError."""
        return with_credential(self.store, self.store_auth)

    def journal_settings(self) -> JournalSettings:
        """Return where and how much the journal writes. Raises ConfigError."""
        try:
            return JournalSettings(**msgspec.structs.asdict(self.journal))
        except ValueError as error:
            raise ConfigError(f"journal: {error}") from error


def load_config(path: Path) -> AgentConfig:
    """Read a configuration file. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise ConfigError(f"{path}: {reason}") from error
    try:
        raw: Any = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        line = str(error).strip().replace("\n", " ")
        raise ConfigError(f"{path}: {line}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: is no mapping")
    try:
        config = msgspec.convert(raw, AgentConfig, dec_hook=_from_text)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ConfigError(f"{path}: {_nearest(str(error))}") from error
    _check(path, config)
    return config


def _from_text(kind: type[Any], value: object) -> Any:
    """Make a path of text; msgspec knows no paths."""
    if kind is Path and isinstance(value, str) and value:
        return Path(value)
    raise ValueError(f"expected a path, got {value!r}")


def _check(path: Path, config: AgentConfig) -> None:
    if not config.host:
        raise ConfigError(f"{path}: host is empty: it is a host's name in the topology document")
    if len(os.fsencode(config.control)) > _LONGEST_SOCKET_PATH:
        raise ConfigError(
            f"{path}: control is longer than the {_LONGEST_SOCKET_PATH} bytes of a socket's path"
        )
    for key in ("port", "geneve_port"):
        number: int = getattr(config.tunnel, key)
        if not 0 < number < 65536:
            raise ConfigError(f"{path}: tunnel.{key} {number} is no UDP port")
    if config.tunnel.port == config.tunnel.geneve_port:
        raise ConfigError(f"{path}: tunnel.port and tunnel.geneve_port are the same UDP port")
    if config.limits.flows < 1:
        raise ConfigError(f"{path}: limits.flows is at least 1")
    if config.limits.device_idle <= 0:
        raise ConfigError(f"{path}: limits.device_idle is above 0")
    if not 1 <= config.session.ttl <= 3600:
        raise ConfigError(f"{path}: session.ttl is 1 to 3600 seconds")
    if config.lane_timeout <= 0:
        raise ConfigError(f"{path}: lane_timeout is above 0")
    config.journal_settings()


def _nearest(message: str) -> str:
    """Name the nearest known key beside an unknown one."""
    found = re.search(r"unknown field `([^`]+)`", message)
    if found is None:
        return message
    known = [
        field
        for kind in (
            AgentConfig,
            JournalConfig,
            SessionConfig,
            TunnelConfig,
            LogConfig,
            LimitsConfig,
        )
        for field in kind.__struct_fields__
    ]
    nearest = difflib.get_close_matches(found[1], known, 1)
    return message + (f"; did you mean `{nearest[0]}`?" if nearest else "")
