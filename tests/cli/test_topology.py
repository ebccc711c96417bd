"""`ayatori topology` against a real store in a file."""

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from actors.state.document import StoredTopology, apply_document, parse_document, read_stored
from actors.state.store.interface import Store
from actors.state.store.open import open_store
from cli.errors import CommandError, ExitStatus
from cli.topology import STORE_VARIABLE, app

_NET = """\
ayatori: 1

bridges:
  web:
    ports:
      gw: {peer: edge/web}
      vm1: {host: h1, interface: vm1}

routers:
  edge:
    ports:
      web: {address: 10.0.1.1/24, mac: "02:00:00:00:01:01"}
"""


class Outcome(NamedTuple):
    """What a command left."""

    exit_code: int
    stdout: str


class Network:
    """A store in a file and a document beside it."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder}/store.db"
        self.file = folder / "net.yaml"
        self.file.write_text(_NET)

    def run(self, *words: str, text: str | None = None) -> Outcome:
        """Run a subcommand on the store; failures that are expected are raised as they are."""
        words = (*words, "--store", self.url)
        result = CliRunner().invoke(app, words, input=text, catch_exceptions=False)
        return Outcome(result.exit_code, result.stdout)


@pytest.fixture(name="network")
def _network(tmp_path: Path) -> Network:
    return Network(tmp_path)


def test_apply_tells_what_it_made(network: Network) -> None:
    result = network.run("apply", str(network.file))
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "+ bridge web",
        "+ host h1",
        "+ router edge",
        "applied: 3 created, 0 updated, 0 deleted",
    ]


def test_apply_again_changes_nothing(network: Network) -> None:
    network.run("apply", str(network.file))
    assert network.run("apply", str(network.file)).stdout == "nothing to change\n"


def test_export_prints_the_document_and_applying_it_changes_nothing(network: Network) -> None:
    network.run("apply", str(network.file))
    exported = network.run("export").stdout
    assert exported == _NET
    again = network.run("apply", "-", "--json", text=exported)
    assert json.loads(again.stdout) == {"changes": []}


def test_export_as_json_is_a_document_too(network: Network) -> None:
    network.run("apply", str(network.file))
    exported = network.run("export", "--json").stdout
    assert json.loads(exported)["bridges"]["web"]["ports"]["vm1"]["host"] == "h1"
    assert network.run("diff", "-", text=exported).exit_code == 0


def test_export_of_an_empty_store_is_an_empty_document(network: Network) -> None:
    assert network.run("export").stdout == "ayatori: 1\n"


def test_diff_is_silent_when_nothing_differs(network: Network) -> None:
    network.run("apply", str(network.file))
    result = network.run("diff", str(network.file))
    assert (result.exit_code, result.stdout) == (0, "")


def test_diff_shows_what_apply_would_do_and_does_not_do_it(network: Network) -> None:
    network.run("apply", str(network.file))
    changed = _NET.replace("interface: vm1", "interface: vm9").replace("gw:", "lan: {}\n      gw:")
    for _ in range(2):
        result = network.run("diff", "-", text=changed)
        assert result.exit_code == 1
        assert result.stdout.splitlines() == [
            "~ bridge web",
            "    ~ port web/vm1: {host: h1, interface: vm1} -> {host: h1, interface: vm9}",
            "    + port web/lan: {}",
            "~ host h1",
            "    ~ port web/vm1: on vm1 -> on vm9",
        ]


def test_diff_as_json_names_each_change(network: Network) -> None:
    network.run("apply", str(network.file))
    result = network.run("diff", "-", "--json", text="ayatori: 1\n")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "equal": False,
        "changes": [
            {"change": "delete", "kind": kind, "name": name, "details": []}
            for kind, name in (("bridge", "web"), ("host", "h1"), ("router", "edge"))
        ],
    }


def test_schema_is_json_schema() -> None:
    result = CliRunner().invoke(app, ["schema"], catch_exceptions=False)
    assert json.loads(result.stdout)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("command", ["apply", "diff"])
def test_wrong_document_is_a_line_with_its_place(network: Network, command: str) -> None:
    with pytest.raises(CommandError) as caught:
        network.run(command, "-", text="ayatori: 1\nbridge: {}\n")
    assert str(caught.value) == (
        "<stdin>:2:1: unknown key 'bridge', the nearest known is 'bridges'"
    )
    assert caught.value.status == ExitStatus.USAGE


def test_file_that_is_not_there_is_not_found(network: Network) -> None:
    with pytest.raises(
        CommandError, match=r"missing\.yaml: cannot be read: No such file"
    ) as caught:
        network.run("apply", "missing.yaml")
    assert caught.value.status == ExitStatus.NOT_FOUND


@pytest.mark.parametrize("url", ["sqlite:////nowhere/at/all/store.db", "mysql://a"])
def test_store_that_cannot_be_opened_is_not_found(network: Network, url: str) -> None:
    network.url = url
    with pytest.raises(CommandError, match=url) as caught:
        network.run("apply", str(network.file))
    assert caught.value.status == ExitStatus.NOT_FOUND


def test_apply_that_lost_a_race_is_a_conflict(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_then_lose(store: Store) -> StoredTopology:
        """Another apply comes right after this one has read."""
        stored = read_stored(store)
        other = open_store(network.url)
        apply_document(other, parse_document("ayatori: 1\nbridges: {z: {}}\n", "other.yaml"))
        other.close()
        return stored

    monkeypatch.setattr("cli.topology.read_stored", read_then_lose)
    with pytest.raises(CommandError, match="another apply came between") as caught:
        network.run("apply", str(network.file))
    assert caught.value.status == ExitStatus.CONFLICT
    monkeypatch.undo()
    assert network.run("export").stdout == "ayatori: 1\n\nbridges:\n  z: {}\n"


def test_store_is_taken_from_the_environment(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.run("apply", str(network.file))
    monkeypatch.setenv(STORE_VARIABLE, network.url)
    assert CliRunner().invoke(app, ["export"], catch_exceptions=False).stdout == _NET


def test_without_any_store_the_command_says_what_to_give(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(STORE_VARIABLE, raising=False)
    monkeypatch.setattr("cli.lab.registry.find_lab", lambda _name: None)
    with pytest.raises(CommandError, match="--store URL") as caught:
        CliRunner().invoke(app, ["export"], catch_exceptions=False)
    assert caught.value.status == ExitStatus.USAGE


def test_applies_at_the_same_time_leave_one_of_their_networks_whole(network: Network) -> None:
    documents = {}
    for number in range(4):
        file = network.file.with_name(f"net{number}.yaml")
        file.write_text(f"ayatori: 1\n\nbridges:\n  b{number}: {{}}\n  c{number}: {{}}\n")
        documents[file] = file.read_text()
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "cli.main", "topology", "apply", file, "--store", network.url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for file in documents
    ]
    ends = []
    for process in running:
        _, errors = process.communicate(timeout=60)
        ends.append((process.returncode, len(errors.splitlines())))
    assert set(ends) <= {(0, 0), (5, 1)}
    assert (0, 0) in ends
    assert network.run("export").stdout in documents.values()


@pytest.mark.parametrize(
    ("words", "told"),
    [(("export",), "ayatori: 1\n"), (("diff", "FILE"), "+ bridge web\n+ host h1")],
)
def test_reading_makes_no_store_of_a_file_that_is_not_there(
    network: Network, words: tuple[str, ...], told: str
) -> None:
    words = (*(str(network.file) if word == "FILE" else word for word in words),)
    result = CliRunner().invoke(app, (*words, "--store", network.url), catch_exceptions=False)
    assert result.stdout.startswith(told)
    assert result.stderr == f"note: {network.url}: there is no such file yet: empty\n"
    assert list(network.file.parent.iterdir()) == [network.file]
