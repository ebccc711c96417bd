"""The ZooKeeper store against a real server on loopback: how long an update takes, how many fit.

Agents are in processes of their own, as they are on hosts of their own; clocks of one machine
agree. What is timed goes all the way: one agent's lane, its store driver, the server, another's
store driver, its lane with its journal, and the actor there.
"""

import tempfile
from pathlib import Path

from benchmarks.measure import Figure
from benchmarks.zookeeper.latency import latency
from benchmarks.zookeeper.sustained import sustained
from cli.lab.zookeeper_server import ServerOptions, ZookeeperServer, ensemble_members


def figures() -> list[Figure]:
    """Measure with a server of their own."""
    with tempfile.TemporaryDirectory(prefix="ayatori-bench-") as folder:
        options = ServerOptions(heap=512)
        server = ZookeeperServer(Path(folder), ensemble_members(1)[0], (), options)
        server.start()
        try:
            server.wait_ready()
            url = f"zookeeper://{server.address}/benchmark"
            return [
                *latency(f"{url}-100", 100),
                *latency(f"{url}-10000", 10_000),
                *sustained(url),
            ]
        finally:
            server.kill()
