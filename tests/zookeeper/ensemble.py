"""Servers for tests: one, or an ensemble of three, on 127.0.0.1 with quick clocks."""

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from cli.lab.zookeeper_server import ServerOptions, ZookeeperServer, ensemble_members

_OPTIONS = ServerOptions(tick=500, durable=False, largest_request=8_000_000)
PATIENCE = 30.0


class Ensemble:
    """The servers of one store."""

    def __init__(self, folder: Path, count: int) -> None:
        members = ensemble_members(count)
        self.servers = tuple(
            ZookeeperServer(folder / str(member.id), member, members if count > 1 else (), _OPTIONS)
            for member in members
        )

    @property
    def hosts(self) -> str:
        return ",".join(server.address for server in self.servers)

    def url(self, root: str = "ayatori") -> str:
        return f"zookeeper://{self.hosts}/{root}"

    def start(self) -> None:
        for server in self.servers:
            server.start()
        for server in self.servers:
            server.wait_ready()

    def leader(self) -> ZookeeperServer:
        """Return the leader, once there is one."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for server in self.servers:
                if server.mode() in {"leader", "standalone"}:
                    return server
            time.sleep(0.02)
        raise AssertionError("no leader")

    def kill(self) -> None:
        for server in self.servers:
            server.kill()


def restart_from_an_empty_disk(server: ZookeeperServer) -> None:
    """Kill the server, lose all that it stored, start it again."""
    server.kill()
    shutil.rmtree(server.folder / "data")
    server.start()
    server.wait_ready()


@contextlib.contextmanager
def running(folder: Path, count: int = 1) -> Iterator[Ensemble]:
    """Start servers; kill them in the end."""
    ensemble = Ensemble(folder, count)
    try:
        ensemble.start()
        yield ensemble
    finally:
        ensemble.kill()
