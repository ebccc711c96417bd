"""`ayatori replay` as it refuses: journals and documents that are not there, options at odds."""

import os
import tempfile
from pathlib import Path

import pytest

from actors.state.journal_format import header_bytes
from cli import main
from cli.errors import ExitStatus

NOBODY = 65534


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Run `ayatori replay`; return its exit status and the one line that it says."""
    status = main._guarded(["replay", *map(str, arguments)])
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return status, said.err.removeprefix("ayatori: ").rstrip("\n")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--from", 3), "--from goes with --step"),
        (("--step", "--packets"), "--step goes without --packets and --json"),
        (("--step", "--json"), "--step goes without --packets and --json"),
        (("--what-if", "x.yaml", "--step"), "--what-if goes without --step, --packets and --until"),
        (("--what-if", "x.yaml", "--until", 3), "--what-if goes without --step, --packets and"),
    ],
)
def test_options_that_would_be_ignored_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, options: tuple[object, ...], reason: str
) -> None:
    status, said = refusal(capsys, tmp_path, *options)
    assert status == ExitStatus.USAGE
    assert said.startswith(reason)


def test_a_journal_that_is_not_there_is_not_found(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    missing = tmp_path / "nowhere"
    told = (ExitStatus.NOT_FOUND, f"{missing} does not exist")
    assert refusal(capsys, missing) == told
    document = tmp_path / "t.yaml"
    document.write_text("ayatori: 1\n")
    assert refusal(capsys, missing, "--what-if", document) == told


def test_a_document_that_is_not_there_is_not_found(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, said = refusal(capsys, tmp_path, "--what-if", tmp_path / "nowhere.yaml")
    assert status == ExitStatus.NOT_FOUND
    assert said.endswith("nowhere.yaml: cannot be read: No such file or directory")


def test_what_is_no_journal_is_said_to_be_none(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert refusal(capsys, tmp_path) == (1, f"{tmp_path} holds no journal segments")
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"\0" * 4096)
    assert refusal(capsys, garbage) == (1, f"{garbage} is no journal segment")


@pytest.mark.skipif(os.geteuid() != 0, reason="somebody else is played by root")
def test_a_journal_of_somebody_else_cannot_be_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with tempfile.TemporaryDirectory() as made:  # of mode 700, in a place that all may enter
        folder = Path(made)
        (folder / "00000001.journal").write_bytes(header_bytes())
        os.seteuid(NOBODY)
        try:
            refused = refusal(capsys, folder)
            within = refusal(capsys, folder / "00000001.journal")
        finally:
            os.seteuid(0)
    assert refused == (ExitStatus.NOT_FOUND, f"{folder}: cannot be read: Permission denied")
    assert within[0] == ExitStatus.NOT_FOUND
