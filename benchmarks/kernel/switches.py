"""The switches that are compared: our agent, ovs-vswitchd, and os-ken's learning switch behind it.

Each is a context that joins the wires' inner ends, with files in a folder of its own; what it
started ends with it.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from benchmarks.kernel.wires import ENTRY, EXIT

OS_KEN = Path(__file__).resolve().parents[2] / ".benchmarks" / "os-ken"
"""The virtual environment that benchmarks/kernel/os_ken_environment.py makes."""

_BRIDGE = f"""
ayatori: 1
bridges:
  left:
    ports:
      a: {{host: h1, interface: {ENTRY}}}
      b: {{host: h1, interface: {EXIT}}}
"""
_ROUTED = f"""
ayatori: 1
bridges:
  left:
    ports:
      a: {{host: h1, interface: {ENTRY}}}
      gw: {{peer: r/left}}
  right:
    ports:
      b: {{host: h1, interface: {EXIT}}}
      gw: {{peer: r/right}}
routers:
  r:
    ports:
      left: {{address: 10.0.0.1/8, mac: "02:00:00:00:01:01"}}
      right: {{address: 192.0.2.254/24, mac: "02:00:00:00:02:01"}}
"""
_SWITCH_SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
_PATIENCE = 10.0


class MissingError(Exception):
    """A program that is compared is not installed."""


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="ayatori-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(
    words: list[str], folder: Path, environment: dict[str, str] | None = None
) -> Iterator[None]:
    log = folder / f"{Path(words[0]).name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - programs named here
            words, stdout=output, stderr=output, env=environment
        )
        try:
            yield
        except BaseException:
            sys.stderr.write(log.read_text(errors="replace")[-4000:])
            raise
        finally:
            process.terminate()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def agent(document: str, *settings: str) -> Iterator[None]:
    """Our agent, with this topology and these lines of its configuration."""
    ayatori = str(Path(sys.executable).with_name("ayatori"))
    with _folder() as folder, ExitStack() as stack:
        store = f"sqlite:///{folder}/store.db"
        (folder / "net.yaml").write_text(document)
        (folder / "agent.yaml").write_text(
            f"host: h1\nstore: {store}\ndatapath: kernel\ncontrol: {folder}/control\n"
            f"journal: {{directory: {folder}/journal}}\nlog: {{level: warning}}\n"
            + "".join(f"{line}\n" for line in settings)
        )
        command = [ayatori, "topology", "apply", str(folder / "net.yaml"), "--store", store]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own
        words = [ayatori, "agent", "--config", str(folder / "agent.yaml")]
        stack.enter_context(_running(words, folder))
        yield


def agent_bridge() -> AbstractContextManager[None]:
    """Our agent, with one bridge."""
    return agent(_BRIDGE)


def agent_routed() -> AbstractContextManager[None]:
    """Our agent, with a bridge, a router, and a bridge."""
    return agent(_ROUTED)


@contextmanager
def _vswitchd(*commands: str) -> Iterator[None]:
    for program in ("ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl"):
        if shutil.which(program) is None:
            raise MissingError(f"no {program}: scripts/provide-bench-tools installs it")
    with _folder() as folder, ExitStack() as stack:
        environment = {
            **os.environ,
            **{name: str(folder) for name in ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR")},
        }

        def call(*words: str) -> None:
            subprocess.run(words, check=True, env=environment, timeout=30)  # noqa: S603

        database, address = folder / "conf.db", f"unix:{folder}/db.sock"
        call("ovsdb-tool", "create", str(database), _SWITCH_SCHEMA)
        server = [
            "ovsdb-server",
            str(database),
            f"--remote=p{address}",
            f"--pidfile={folder}/db.pid",
        ]
        stack.enter_context(_running(server, folder, environment))
        _await(folder / "db.sock")
        call("ovs-vsctl", f"--db={address}", "--no-wait", "init")
        switch = ["ovs-vswitchd", address, f"--pidfile={folder}/switch.pid"]
        stack.enter_context(_running(switch, folder, environment))
        call(
            "ovs-vsctl", f"--db={address}", "--timeout=20", "add-br", "bench",
            "--", "add-port", "bench", ENTRY, "--", "add-port", "bench", EXIT, *commands,
        )  # fmt: skip
        try:
            yield
        finally:
            call("ovs-vsctl", f"--db={address}", "--timeout=20", "del-br", "bench")


def vswitchd() -> AbstractContextManager[None]:
    """ovs-vswitchd, whose normal bridge learns."""
    return _vswitchd()


@contextmanager
def os_ken() -> Iterator[None]:
    """ovs-vswitchd, with os-ken's learning switch for a controller."""
    python = OS_KEN / "bin" / "python"
    if not any(OS_KEN.glob("os-ken-*")):
        raise MissingError("os-ken is not installed")
    controller = [str(python), str(Path(__file__).with_name("learning_switch.py"))]
    options = (
        "--", "set", "bridge", "bench", "protocols=OpenFlow13", "fail-mode=secure",
        "--", "set-controller", "bench", "tcp:127.0.0.1:6653",
    )  # fmt: skip
    with _folder() as folder, _running(controller, folder):
        _await_listener(6653)
        with _vswitchd(*options):
            yield


def _await(path: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while not path.exists():
        if time.monotonic() > end:
            raise TimeoutError(f"{path} does not appear")
        time.sleep(0.01)


def _await_listener(port: int) -> None:
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return
