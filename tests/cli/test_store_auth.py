"""The store's credential comes from a file of its owner's, by option, environment or configuration."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.edge.config import load_config
from actors.state.store.interface import StoreError
from actors.state.store.open import open_store, with_credential
from tests.lab.runner import ROOT
from tests.zookeeper.ensemble import Ensemble, running

DOCUMENT = str(ROOT / "examples" / "two-hosts.yaml")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ensemble]:
    with running(tmp_path_factory.mktemp("zookeeper")) as ensemble:
        yield ensemble


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "store secret"
    path.touch(mode=0o600)
    path.write_text("operator:right\n")
    return path


def topology(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", "topology", *arguments],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip


def test_who_has_no_credential_reads_and_changes_nothing(server: Ensemble, secret: Path) -> None:
    url = server.url("guarded")
    made = topology("apply", DOCUMENT, "--store", url, "--store-auth", str(secret))
    assert made.returncode == 0, made.stderr
    told = topology("diff", DOCUMENT, "--store", url, AYATORI_STORE_AUTH=str(secret))
    assert (told.returncode, told.stdout) == (0, "")
    stranger = topology("export", "--store", url)
    assert stranger.returncode == 3
    assert "not permitted" in stranger.stderr
    with contextlib.closing(open_store(with_credential(url, secret))) as store:
        assert store.list("bridge")


def test_credential_that_others_may_read_is_refused(server: Ensemble, secret: Path) -> None:
    secret.chmod(0o644)
    refused = topology("export", "--store", server.url("open"), "--store-auth", str(secret))
    assert refused.returncode == 3
    assert f"chmod 600 {secret}" in refused.stderr


@pytest.mark.parametrize("url", ["sqlite:////tmp/none.db", "memory:x", "zookeeper://h/r?auth=x"])
def test_store_that_takes_no_further_credential_is_named(url: str) -> None:
    with pytest.raises(StoreError, match="credential"):
        with_credential(url, Path("secret"))


def test_an_agents_configuration_names_the_file(tmp_path: Path, secret: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(
        f"host: h1\nstore: zookeeper://h:1/r\nstore_auth: {secret}\n"
        f"journal: {{directory: {tmp_path}}}\ncontrol: {tmp_path}/c\n"
    )
    url = load_config(path).store_url()
    assert url.startswith("zookeeper://h:1/r?auth=digest:")
    assert "right" not in url
