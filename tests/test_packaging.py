"""What is built is whole: the wheel's `ayatori` works anywhere, the sdist builds the same wheel."""

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from cli import main

ROOT = Path(__file__).parents[1]
COLOURING = {"FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS"}
SOURCES = ("actors", "cli", "supervisor.py")


def run(
    *command: str | Path, cwd: Path, check: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    # Some variables make help colourful even where nobody watches.
    plain = {name: value for name, value in os.environ.items() if name not in COLOURING}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**plain, "PYTHONPATH": "", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a source distribution, and a wheel out of it, in a folder of the test's."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, cwd=ROOT)
    return folder


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel where nothing of this checkout is to be found; return its `ayatori`."""
    (wheel,) = dist.glob("*.whl")
    target = tmp_path_factory.mktemp("installed")
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"]
    run(sys.executable, *install, target, wheel, cwd=target)
    return target / "bin/ayatori"


class Ayatori:
    """The installed command, run in an empty folder."""

    def __init__(self, script: Path, folder: Path) -> None:
        self._script = script
        self.folder = folder

    def __call__(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        site = str(self._script.parents[1])
        state = str(self.folder / "state")
        return run(
            sys.executable, self._script, *words,
            cwd=self.folder, check=check, PYTHONPATH=site, AYATORI_STATE_DIR=state,
        )  # fmt: skip


@pytest.fixture
def ayatori(installed: Path, tmp_path: Path) -> Ayatori:
    """Give the installed command."""
    return Ayatori(installed, tmp_path)


def test_the_wheel_holds_the_program_and_nothing_else(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    names = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    assert {name.partition("/")[0] for name in names} == set(SOURCES)
    modules = {
        str(path.relative_to(ROOT))
        for part in ("actors", "cli")
        for path in (ROOT / part).rglob("*.py")
    }
    assert set(names) == modules | {"supervisor.py"}


def test_the_source_distribution_holds_what_make_needs(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"Makefile", "README.md", "requirements.lock", "pyproject.toml", "scripts/setup"}
    assert wanted <= names
    assert {"tests/test_packaging.py", "examples/two-hosts.yaml", "supervisor.py"} <= names


def test_the_installed_command_tells_its_version(ayatori: Ayatori) -> None:
    assert ayatori("--version").stdout == "ayatori 0.1.0\n"


def test_the_installed_command_prints_the_schema(ayatori: Ayatori) -> None:
    schema = json.loads(ayatori("topology", "schema").stdout)
    assert schema["title"] == "Ayatori topology document"


def test_the_installed_agent_says_what_is_wrong_with_its_configuration(ayatori: Ayatori) -> None:
    missing = ayatori("agent", "--config", "none.yaml", check=False)
    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr == "ayatori: none.yaml: No such file or directory\n"
    (ayatori.folder / "agent.yaml").write_text("host: h1\nstoer: x\n")
    wrong = ayatori("agent", "--config", "agent.yaml", check=False)
    assert wrong.returncode == 2
    assert "stoer" in wrong.stderr
    assert "did you mean `store`?" in wrong.stderr
    assert [*ayatori.folder.iterdir()] == [ayatori.folder / "agent.yaml"]


def test_every_command_comes_up_when_installed(ayatori: Ayatori) -> None:
    for name in main._COMMANDS:
        assert "Usage: ayatori" in ayatori(name, "--help").stdout


def test_the_lock_pins_hashes_and_names_no_place() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text
    pins = [line for line in text.splitlines() if line and line[0] not in " #"]
    assert all("==" in line and line.endswith("\\") for line in pins)
    assert text.count("--hash=sha256:") >= len(pins)


def test_the_lock_has_all_that_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    names = {re.split(r"[<>=~! ;\[]", line, maxsplit=1)[0].replace(".", "-") for line in asked}
    text = (ROOT / "requirements.lock").read_text()
    locked = {line.partition("==")[0] for line in text.splitlines() if "==" in line}
    assert names <= locked
