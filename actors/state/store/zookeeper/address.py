"""Address: what a `zookeeper://` URL says, and the credential that it points to.

The URL holds no secret, so that it may be shown: the credential is in a file of its owner's.
"""

import re
import stat
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import Struct

from actors.state.store.interface import StoreError

DEFAULT_ROOT: Final = "/ayatori"
DEFAULT_PORT: Final = 2181
EXAMPLE: Final = "zookeeper://host1:2181,host2:2181/ayatori"
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
_COMPONENT: Final = re.compile(r"[A-Za-z0-9._~-]+")
_LONGEST_CREDENTIAL: Final = 4096
"""Bytes. Far more than a user and a password; the file named by mistake may be any."""


class Address(Struct, frozen=True):
    """Where a store is. `credential` is `user:password` of ZooKeeper's digest scheme, or nothing."""

    url: str
    hosts: str
    root: str
    credential: str = ""

    def __repr__(self) -> str:
        """Show no credential."""
        return f"Address({self.url!r})"


def parse_address(url: str) -> Address:
    """Read a URL, and the credential's file that it names. Raises StoreError.

    `zookeeper://HOST[:PORT][,HOST[:PORT]…][/ROOT][?auth=digest:FILE]`
    """
    if "@" in url:
        # Not repeated: what stands before the sign may be a password.
        raise StoreError(
            f"a user or password has no place in a store's URL; use {EXAMPLE}?auth=digest:FILE"
        )
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise StoreError(f"{url!r}: {error}; use {EXAMPLE}") from error
    if not url.startswith("zookeeper://") or not parts.netloc:
        raise StoreError(f"{url!r}: a host is missing, as in {EXAMPLE}")
    if parts.fragment:
        raise StoreError(f"{url!r}: a URL of a store ends before #")
    hosts = ",".join(_host(url, host) for host in parts.netloc.split(","))
    return Address(url, hosts, _root(url, parts.path), _credential(url, parts.query))


def _host(url: str, text: str) -> str:
    match = _HOST.fullmatch(text)
    if match is None:
        raise StoreError(f"{url!r}: no host, or host:port: {text!r}")
    port = DEFAULT_PORT if match[2] is None else int(match[2])
    if not 0 < port < 65536:
        raise StoreError(f"{url!r}: no port: {port}")
    return f"{match[1]}:{port}"


def _root(url: str, path: str) -> str:
    root = path.rstrip("/")
    if not root:
        return DEFAULT_ROOT
    components = root.split("/")[1:]
    for component in components:
        if not _COMPONENT.fullmatch(component) or component in {".", ".."}:
            raise StoreError(f"{url!r}: no name for a part of the root: {component!r}")
    if components[0] == "zookeeper":
        raise StoreError(f"{url!r}: /zookeeper is ZooKeeper's own; use another root")
    return root


def _credential(url: str, query: str) -> str:
    if not query:
        return ""
    try:
        options = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    except ValueError as error:
        raise StoreError(f"{url!r}: {error}; known is auth=digest:FILE") from error
    if [name for name, _ in options] != ["auth"]:
        raise StoreError(f"{url!r}: known is one option, auth=digest:FILE")
    scheme, _, file = options[0][1].partition(":")
    if scheme != "digest" or not file:
        raise StoreError(f"{url!r}: known is auth=digest:FILE, where FILE holds user:password")
    return _read_credential(url, Path(unquote(file)))


def _read_credential(url: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            mode = path.stat().st_mode
            content = file.read(_LONGEST_CREDENTIAL + 1)
        text = content.decode().strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise StoreError(f"{url!r}: cannot read the credential: {reason}") from error
    if stat.S_IMODE(mode) & 0o077:
        raise StoreError(f"{path} holds a password and is open to others; chmod 600 {path}")
    user, colon, password = text.partition(":")
    if not (user and colon and password) or len(text.splitlines()) != 1:
        raise StoreError(f"{path} does not hold one line, user:password")
    if len(content) > _LONGEST_CREDENTIAL:
        raise StoreError(f"{path} is too long for a line user:password")
    return text
