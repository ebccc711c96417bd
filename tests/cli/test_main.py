"""The command's outermost layer: how commands are found and how failures end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli import main
from cli.errors import CommandError, ExitStatus

ROOT = Path(main.__file__).parents[1]


def ayatori(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make `ayatori stats` a command that the test writes."""
    monkeypatch.syspath_prepend(str(tmp_path))
    stand_in = main._Command("stand_in_command", "run", "For this test.")
    monkeypatch.setitem(main._COMMANDS, "stats", stand_in)
    monkeypatch.delitem(sys.modules, "stand_in_command", raising=False)
    return tmp_path / "stand_in_command.py"


def end(*arguments: str) -> int:
    return main._guarded(list(arguments))


def test_help_names_every_command() -> None:
    result = ayatori("--help")
    assert result.returncode == 0
    for name in main._COMMANDS:
        assert f"  {name} " in result.stdout


def test_no_command_shows_the_help() -> None:
    assert ayatori().stdout == ayatori("--help").stdout


def test_the_version_is_told() -> None:
    assert ayatori("--version").stdout.startswith("ayatori ")


def test_every_commands_help_and_complaints_are_plain_text() -> None:
    for name in main._COMMANDS:
        told = ayatori(name, "--help")
        assert told.returncode == 0
        assert told.stdout.startswith(f"Usage: ayatori {name} [OPTIONS]")
        assert told.stdout.isascii()
        refused = ayatori(name, "--colour")
        assert refused.returncode == ExitStatus.USAGE
        assert refused.stderr.isascii()


def test_an_unknown_command_is_a_usage_error_that_names_the_nearest() -> None:
    result = ayatori("flow")
    assert result.returncode == ExitStatus.USAGE
    assert "flows" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unknown_option_is_a_usage_error() -> None:
    assert ayatori("lab", "status", "--colour").returncode == ExitStatus.USAGE


def test_lab_exec_comes_up_without_agent_store_or_netlink(tmp_path: Path) -> None:
    code = (
        "import sys, cli.main; cli.main._guarded(['lab', 'exec', 'vm1', 'true']);"
        "print(sorted({'pyroute2', 'pykka', 'rich', 'msgspec', 'ruamel', 'sqlite3'}"
        " & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "AYATORI_STATE_DIR": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "[]\n"
    assert run.stderr.startswith("ayatori: no lab is running")


def test_an_expected_failure_is_one_line_and_its_status(
    command: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command.write_text(
        "from cli.errors import CommandError, ExitStatus\n"
        "def run():\n    raise CommandError('no such host', ExitStatus.NOT_FOUND)\n"
    )
    assert end("stats") == ExitStatus.NOT_FOUND
    assert capsys.readouterr().err == "ayatori: no such host\n"


def test_a_bug_is_one_line_and_says_how_to_see_the_traceback(
    command: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command.write_text("def run():\n    raise LookupError('oh')\n")
    assert end("stats") == ExitStatus.FAILED
    said = capsys.readouterr().err
    assert said.startswith("ayatori: internal error: LookupError: oh")
    assert "AYATORI_TRACEBACK=1" in said
    monkeypatch.setenv("AYATORI_TRACEBACK", "1")
    assert end("stats") == ExitStatus.FAILED
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_ends_with_130(command: Path) -> None:
    command.write_text("def run():\n    raise KeyboardInterrupt\n")
    assert end("stats") == 130


def test_a_status_that_a_command_exits_with_is_kept(command: Path) -> None:
    command.write_text("import typer\ndef run():\n    raise typer.Exit(4)\n")
    assert end("stats") == 4


def test_a_reader_that_leaves_is_no_traceback() -> None:
    shell = f"{sys.executable} -m cli.main --help | true"
    run = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {shell}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stderr == ""


def test_a_failure_may_have_a_shells_status() -> None:
    assert CommandError("ls: command not found", 127).status == 127
