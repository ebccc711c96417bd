"""An agent's configuration, as far as its values are refused before anything begins."""

from pathlib import Path

import pytest

from actors.edge.config import ConfigError, load_config

RIGHT = {
    "host": "h1",
    "store": "sqlite:////tmp/store.db",
    "journal": "{directory: /tmp/journal}",
    "control": "/tmp/control",
}


def load(folder: Path, **changed: str) -> None:
    path = folder / "agent.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in (RIGHT | changed).items()))
    load_config(path)


def test_what_has_all_that_is_needed_is_read(tmp_path: Path) -> None:
    load(tmp_path, control=f"/tmp/{'x' * 102}")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"host": "''"}, "host is empty: it is a host's name in the topology document"),
        ({"control": f"/tmp/{'x' * 103}"}, "control is longer than the 107 bytes of a socket's"),
        ({"control": f"/tmp/{'ß' * 60}"}, "control is longer than the 107 bytes of a socket's"),
    ],
)
def test_what_could_not_work_is_refused_in_a_line(
    tmp_path: Path, changed: dict[str, str], reason: str
) -> None:
    with pytest.raises(ConfigError, match=r"agent\.yaml: ") as refused:
        load(tmp_path, **changed)
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)
