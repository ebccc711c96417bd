"""`ayatori trace` against real agents: a ping is seen at both ends, and goes on unharmed."""

import json
import sys

import pytest

from actors.messages.traces import TraceMatch
from actors.values import IpAddress, IpPrefix
from cli.errors import CommandError, ExitStatus
from cli.inspection.agent_socket import AgentSocket
from tests.lab.runner import ROOT, LabRunner

pytestmark = pytest.mark.lab

PING = (sys.executable, "-m", "cli.lab.ping", "-i", "0.05", "-W", "20")


@pytest.fixture(params=["soft", pytest.param("kernel", marks=pytest.mark.kernel)])
def pinged(lab: LabRunner, request: pytest.FixtureRequest) -> LabRunner:
    """Give a lab of two hosts in which flows carry pings from web1 on h1 to db2 on h2."""
    lab.run("lab", "up", str(ROOT / "examples/two-hosts.yaml"), "--datapath", request.param)
    lab.exec("web1", *PING, "-c", "2", "10.0.2.12", check=True)
    return lab


def test_packets_are_followed_from_host_to_host(pinged: LabRunner) -> None:
    wanted = "--port web/web1 --src 10.0.1.11 --dst 10.0.2.12 --proto icmp --limit 3"
    said = pinged.run("trace", "start", "h1", *wanted.split()).stdout
    assert said == "trace 1 on h1 follows the next 3 packets that match, for 60 s\n"
    match = {"port": "web/web1", "src": "10.0.1.11/32", "dst": "10.0.2.12/32", "proto": 1}
    (request,) = json.loads(pinged.run("trace", "list", "h1", "--json").stdout)["requests"]
    assert (request["match"], request["left"]) == (match, 3)

    pinged.exec("web1", *PING, "-c", "5", "10.0.2.12", check=True)
    records_of_both_ends_match(pinged)
    assert json.loads(pinged.run("trace", "list", "h1", "--json").stdout)["requests"] == []
    assert flows_carry_pings_again(pinged)
    lines_tell_the_way(pinged)
    errors_name_what_is_there(pinged)
    pinged.down()


def records_of_both_ends_match(lab: LabRunner) -> None:
    shown = json.loads(lab.run("trace", "show", "h1", "h2", "--json").stdout)["records"]
    sent = [r for r in shown if r["host"] == "h1"]
    came = [r for r in shown if r["host"] == "h2"]
    assert len(sent) == len(came) == 3
    assert [r["summary"] for r in sent] == [r["summary"] for r in came]
    for near, far in zip(sent, came, strict=True):
        assert near["summary"].startswith("icmp 10.0.1.11 > 10.0.2.12 echo-request id=")
        assert [hop["device"] for hop in near["hops"]] == ["bridge/web", "router/edge", "bridge/db"]
        (out,), (arrived,) = near["outputs"], far["outputs"]
        assert (out["port"], out["how"], out["to"]) == ("db/db2", "tunnel", "h2")
        assert (far["peer"], far["tunnel_key"]) == ("h1", out["tunnel_key"])
        assert (arrived["port"], arrived["how"]) == ("db/db2", "local")


def flows_carry_pings_again(lab: LabRunner) -> bool:
    """Tell whether pings move no counter; machines' kernels also speak unasked, so try again."""

    def packets() -> list[int]:
        answers = [json.loads(lab.run("stats", host, "--json").stdout) for host in ("h1", "h2")]
        return [answer["actors"]["packet-workflow"]["packets"] for answer in answers]

    for _ in range(5):
        before = packets()
        lab.exec("web1", *PING, "-c", "3", "10.0.2.12", check=True)
        if packets() == before:
            return True
    return False


def lines_tell_the_way(lab: LabRunner) -> None:
    steps = lab.run("trace", "show", "h1").stdout.splitlines()[:6]
    assert " h1 packet " in steps[0]
    assert steps[1].startswith("  in      by web/web1 for trace 1: eth_src=02:00:00:00:01:11,")
    assert steps[2] == "  at      bridge/web (web/web1): to router/edge by edge/web"
    assert steps[3].startswith("  at      router/edge (edge/web): to bridge/db by db/gw [eth_src=")
    assert steps[4] == "  at      bridge/db (db/gw): out by db/db2"
    assert steps[5].startswith("  out     by db/db2 of h2, tunnel key 0x9")
    assert "  in      from h1 by tunnel key 0x9" in lab.run("trace", "show", "h2").stdout


def errors_name_what_is_there(lab: LabRunner) -> None:
    def refused(status: ExitStatus, *words: str) -> str:
        done = lab.run("trace", *words, check=False)
        assert done.returncode == status
        return done.stderr

    assert "(ports: db/db1, web/web1)" in refused(
        ExitStatus.NOT_FOUND, "start", "h1", "--port", "web/web2"
    )
    agent = AgentSocket("h1", lab.journal("h1").with_name("control"))
    for match in (TraceMatch(proto=1 << 80), TraceMatch(src=IpPrefix(IpAddress(b"123"), 1 << 90))):
        with pytest.raises(CommandError, match=r"is not from 0 to 255|has 4 or 16 bytes"):
            agent.start_trace(match, 1, 1)
    assert "no host 'h3'" in refused(ExitStatus.NOT_FOUND, "show", "h1", "h3")
    assert "no active trace request 9" in refused(ExitStatus.NOT_FOUND, "stop", "h1", "9")


def test_replay_of_a_journal_tells_which_packets_were_followed(pinged: LabRunner) -> None:
    pinged.run("trace", "start", "h1", "--proto", "icmp", "--limit", "2")
    pinged.exec("web1", *PING, "-c", "2", "10.0.2.12", check=True)
    shown = json.loads(pinged.run("trace", "show", "h1", "--json").stdout)["records"]
    told = pinged.run("replay", str(pinged.journal("h1")), "--packets", "--json").stdout
    *packets, result = (json.loads(line) for line in told.splitlines())
    assert result["differences"] == []
    followed = {packet["number"] for packet in packets if packet["trace"]}
    assert followed == {record["packet"] for record in shown}
