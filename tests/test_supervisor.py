"""The agent's process: readiness, orderly stop, and what ends it, each in a namespace of its own."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actors.state.document import apply_document, parse_document
from actors.state.journal import SegmentEnd
from actors.state.journal_reader import read_journal
from actors.state.replay import Replay
from actors.state.store.holder import Holder, OwnerTaken
from actors.state.store.open import open_store
from actors.values import stable_id
from tests.processes import children_of, soft_datapaths_of

pytestmark = pytest.mark.lab

DOCUMENT = """
ayatori: 1
bridges:
  lan:
    ports:
      a: {host: h1, interface: nothere}
"""
PATIENCE = 30.0


class AgentProcess:
    """An agent in a network namespace of its own, with its store, journal and notify socket."""

    def __init__(
        self, folder: Path, *, extra: str = "", program: str = "", store: str = ""
    ) -> None:
        self.folder = folder
        url = self.store = store or f"sqlite:///{folder}/store.db"
        if not store:
            with contextlib.closing(open_store(url)) as opened:
                apply_document(opened, parse_document(DOCUMENT, "test"))
        self.control = folder / "control.sock"
        self.journal = folder / "journal"
        config = folder / "agent.yaml"
        config.write_text(
            f"host: h1\nstore: '{url}'\njournal: {{directory: {self.journal}}}\n"
            f"control: {self.control}\ndatapath: soft\nlog: {{format: json}}\n{extra}"
        )
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(folder / "notify"))
        self.notify.settimeout(PATIENCE)
        script = program or (
            f"import sys; sys.argv = ['ayatori', 'agent', '--config', {str(config)!r}]\n"
            "from cli.main import run; run()"
        )
        self.log = (folder / "log").open("w+", encoding="utf-8")
        unshare = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
        self.process = subprocess.Popen(
            [*unshare, sys.executable, "-c", script.replace("CONFIG", repr(str(config)))],
            stderr=self.log,
            env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify")},
        )

    def wait_ready(self) -> None:
        while b"READY=1" not in self.notify.recv(4096):
            pass

    def ask(self, request: dict[str, object]) -> dict[str, object]:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(str(self.control))
            client.sendall(json.dumps(request).encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                part = client.recv(65536)
                assert part, "the agent hung up"
                answer += part
        loaded: dict[str, object] = json.loads(answer)
        return loaded

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def logged(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)
        self.notify.close()
        self.log.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., AgentProcess]]:
    started: list[AgentProcess] = []

    def starter(folder: Path = tmp_path, **options: str) -> AgentProcess:
        started.append(AgentProcess(folder, **options))
        return started[-1]

    yield starter
    for agent in started:
        agent.close()


def eventually(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


def test_an_agent_says_when_it_is_ready_and_stops_in_order_on_sigterm(
    start: Callable[..., AgentProcess],
) -> None:
    agent = start()
    agent.wait_ready()
    assert agent.ask({"ask": "status"})["ready"] is True
    assert agent.end() == 0
    assert not agent.control.exists()
    entries = list(read_journal(agent.journal))
    assert isinstance(entries[-1], SegmentEnd)
    result = Replay(agent.journal).run()
    assert (result.differences, result.damage) == ([], [])
    assert result.inputs == entries[-1].inputs


def test_an_agent_whose_actor_crashes_past_the_limit_ends_with_a_status_of_its_own(
    start: Callable[..., AgentProcess],
) -> None:
    agent = start()
    agent.wait_ready()
    agent.ask({"fault": "clock", "times": 100})
    assert agent.process.wait(60) == 70
    assert "InjectedFaultError" in agent.logged()
    result = Replay(agent.journal).run()
    assert result.crashes == 11


def test_a_crash_below_the_limit_leaves_the_agent_at_work_and_its_journal_replays(
    start: Callable[..., AgentProcess],
) -> None:
    agent = start()
    agent.wait_ready()
    agent.ask({"fault": "clock", "times": 2})
    eventually(lambda: agent.ask({"ask": "status"})["crashes"] == {"clock": 2})
    inputs = agent.ask({"ask": "status"})["inputs"]
    eventually(lambda: agent.ask({"ask": "status"})["inputs"] != inputs)
    assert agent.end() == 0
    result = Replay(agent.journal).run()
    assert result.differences == []
    assert result.crashes == 2


def test_a_lane_that_stands_still_is_noticed_and_its_stack_is_in_the_log(
    start: Callable[..., AgentProcess],
) -> None:
    program = textwrap.dedent("""
        import itertools, pathlib
        from actors.clock import ClockActor
        from actors.edge.config import load_config
        from supervisor import run_agent

        handle, count = ClockActor.on_receive, itertools.count()

        def stand_still(self, message):
            while next(count) >= 20:
                pass
            handle(self, message)

        ClockActor.on_receive = stand_still
        raise SystemExit(run_agent(load_config(pathlib.Path(CONFIG))))
    """)
    agent = start(extra="lane_timeout: 3.0\n", program=program)
    assert agent.process.wait(PATIENCE) == 71
    assert "stands still" in agent.logged()
    assert "in stand_still" in agent.logged()


def test_a_datapath_process_that_dies_is_started_again(
    start: Callable[..., AgentProcess],
) -> None:
    agent = start()
    agent.wait_ready()

    def datapaths() -> list[int]:
        return soft_datapaths_of(agent.process.pid)

    before = datapaths()
    assert len(before) == 1
    os.kill(before[0], signal.SIGKILL)
    eventually(lambda: len(datapaths()) == 1 and datapaths() != before)
    eventually(lambda: agent.ask({"ask": "status"})["restarts"] == {"datapath": 1})
    assert agent.end() == 0
    assert Replay(agent.journal).run().differences == []


def test_a_stop_that_also_reaches_the_soft_datapath_is_no_failure(
    start: Callable[..., AgentProcess],
) -> None:
    agent = start()
    agent.wait_ready()
    for child in children_of(agent.process.pid):
        os.kill(child, signal.SIGTERM)
    assert agent.end() == 0
    assert "error" not in agent.logged()


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("tunel: {port: 1}\n", "did you mean `tunnel`?"),
        ("limits: {flows: 0}\n", "limits.flows"),
        ("tunnel: {port: 70000}\n", "no UDP port"),
        ("tunnel: {geneve_port: 0}\n", "no UDP port"),
        ("tunnel: {port: 6081}\n", "the same UDP port"),
        ("journal_: 3\n", "unknown field `journal_`"),
        ("datapath: magic\n", "datapath"),
        ("a: [\n", "agent.yaml"),
    ],
)
def test_a_wrong_configuration_is_one_line_and_status_2(
    start: Callable[..., AgentProcess], extra: str, message: str
) -> None:
    agent = start(extra=extra)
    assert agent.process.wait(PATIENCE) == 2
    assert message in agent.logged()
    assert len(agent.logged().splitlines()) == 1


@pytest.mark.parametrize(
    ("store", "said"),
    [
        ("zookeeper://", "a host is missing"),
        ("zookeeper://user@host/a", "no place in a store's URL"),
        ("postgres://host/a", "unknown kind of store"),
        ("sqlite:////proc/nowhere/store.db", "/proc/nowhere"),
    ],
)
def test_the_agent_refuses_a_store_that_waiting_will_not_mend(
    tmp_path: Path, store: str, said: str
) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text(
        f"host: h1\nstore: '{store}'\njournal: {{directory: {tmp_path}/j}}\ncontrol: {tmp_path}/c\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "agent", "--config", str(config)],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (
            "journal: {directory: /proc/j}\ncontrol: FOLDER/c",
            "journal folder /proc/j: No such file",
        ),
        ("journal: {directory: FOLDER/j}\ncontrol: /proc/c/c", "control socket /proc/c/c: No such"),
    ],
)
def test_a_place_that_cannot_be_made_is_told_in_a_line(
    tmp_path: Path, place: str, said: str
) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text(
        f"host: h1\nstore: 'sqlite:///{tmp_path}/store.db'\n"
        + place.replace("FOLDER", str(tmp_path))
    )
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "agent", "--config", str(config)],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_agent_waits_for_servers_that_do_not_answer_and_stops_as_told(
    start: Callable[..., AgentProcess],
) -> None:
    agent = start(store="zookeeper://127.0.0.1:9/ayatori")
    eventually(lambda: "store failed, trying again" in agent.logged())
    status = agent.ask({"ask": "status"})
    assert status["ready"] is False
    link = status["store_link"]
    assert isinstance(link, dict)
    assert link["state"] == "disconnected"
    assert link["since"]
    assert agent.end() == 0


def test_a_second_agent_of_a_host_is_refused_and_says_who_holds_it(
    start: Callable[..., AgentProcess], tmp_path: Path
) -> None:
    first = start()
    first.wait_ready()
    (tmp_path / "2").mkdir()
    second = start(folder=tmp_path / "2", store=first.store)
    assert second.process.wait(PATIENCE) == 5
    last = second.logged().splitlines()[-1]
    assert last.startswith("ayatori: ")
    assert f"is held by process {first.process.pid} on {socket.gethostname()} since " in last
    assert first.ask({"ask": "status"})["ready"] is True
    assert first.end() == 0


def test_a_second_agent_with_the_files_of_another_is_refused(
    start: Callable[..., AgentProcess], tmp_path: Path
) -> None:
    first = start()
    first.wait_ready()
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "agent", "--config", str(tmp_path / "agent.yaml")],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 5
    assert f"control socket of process {first.process.pid}" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert first.ask({"ask": "status"})["ready"] is True


def test_a_killed_agent_is_succeeded_before_its_lease_has_run_out(
    start: Callable[..., AgentProcess], tmp_path: Path
) -> None:
    first = start(extra="session: {ttl: 3600}\n")
    first.wait_ready()
    first.end(signal.SIGKILL)
    (tmp_path / "2").mkdir()
    start(folder=tmp_path / "2", store=first.store).wait_ready()


def test_an_agent_whose_id_another_machine_has_taken_stops_and_leaves_its_rows_alone(
    start: Callable[..., AgentProcess],
) -> None:
    far = Holder("far", "another-boot", "pid:[1]", 77, 1)
    agent = start(extra="session: {ttl: 1}\n")
    agent.wait_ready()
    host = stable_id("host", "h1")
    with contextlib.closing(open_store(agent.store)) as store:
        agent.process.send_signal(signal.SIGSTOP)
        while True:
            with contextlib.suppress(OwnerTaken):
                session = store.open_session(host, 60.0, far)
                break
            time.sleep(0.05)
        seq = session.put("t", b"key", b"theirs")
        agent.process.send_signal(signal.SIGCONT)
        assert agent.process.wait(PATIENCE) == 5
        assert "is held by process 77 on far since " in agent.logged().splitlines()[-1]
        assert [entry.seq for entry in store.entries("t")] == [seq]
        session.keep_alive()
    assert Replay(agent.journal).run().differences == []
