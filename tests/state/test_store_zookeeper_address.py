from pathlib import Path

import pytest

from actors.state.store.interface import StoreError
from actors.state.store.open import open_store
from actors.state.store.zookeeper.address import Address, parse_address


def credential(folder: Path, text: str = "ayatori:secret\n", mode: int = 0o600) -> Path:
    path = folder / "credential"
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("url", "hosts", "root"),
    [
        ("zookeeper://zk1", "zk1:2181", "/ayatori"),
        ("zookeeper://zk1:2182/", "zk1:2182", "/ayatori"),
        ("zookeeper://zk1,zk2:2182,[::1]:2183/a/b/", "zk1:2181,zk2:2182,[::1]:2183", "/a/b"),
    ],
)
def test_url_says_hosts_and_root(url: str, hosts: str, root: str) -> None:
    assert parse_address(url) == Address(url, hosts, root)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("zookeeper:zk1", "host is missing"),
        ("zookeeper:///root", "host is missing"),
        ("zookeeper://", "host is missing"),
        ("zookeeper://zk1,,zk2", "no host"),
        ("zookeeper://zk1:port", "no host"),
        ("zookeeper://zk1:0", "no port: 0"),
        ("zookeeper://zk1:65536", "no port"),
        ("zookeeper://[::1/root", "use zookeeper://"),
        ("zookeeper://zk1/zookeeper/x", "ZooKeeper's own"),
        ("zookeeper://zk1/a//b", "part of the root"),
        ("zookeeper://zk1/a/..", "part of the root"),
        ("zookeeper://zk1/a b", "part of the root"),
        ("zookeeper://zk1/a#b", "ends before #"),
        ("zookeeper://zk1/a?timeout=3", "one option"),
        ("zookeeper://zk1/a?auth", "auth=digest:FILE"),
        ("zookeeper://zk1/a?auth=digest", "auth=digest:FILE"),
        ("zookeeper://zk1/a?auth=sasl:x", "auth=digest:FILE"),
        ("zookeeper://zk1/a?auth=digest:/no/such/file", "cannot read the credential: No such file"),
    ],
)
def test_url_that_names_no_store_is_refused_in_one_line(url: str, complaint: str) -> None:
    with pytest.raises(StoreError, match=complaint) as caught:
        open_store(url)
    assert "\n" not in str(caught.value)


def test_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(StoreError, match="no place in a store's URL") as caught:
        open_store("zookeeper://user:secret@zk1/root")
    assert "secret" not in str(caught.value)


def test_credential_is_read_from_its_file_and_shown_nowhere(tmp_path: Path) -> None:
    address = parse_address(f"zookeeper://zk1?auth=digest:{credential(tmp_path)}")
    assert address.credential == "ayatori:secret"
    assert "secret" not in f"{address!r} {address.url}"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_credential_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = credential(tmp_path, mode=mode)
    with pytest.raises(StoreError, match=f"chmod 600 {path}"):
        parse_address(f"zookeeper://zk1?auth=digest:{path}")


@pytest.mark.parametrize(
    "text", ["", "user", "user:", ":secret", "user:secret\nmore:lines", "u:" + "s" * 5000]
)
def test_file_that_holds_no_credential_is_refused(tmp_path: Path, text: str) -> None:
    path = credential(tmp_path, text)
    with pytest.raises(StoreError, match="user:password") as caught:
        parse_address(f"zookeeper://zk1?auth=digest:{path}")
    assert "secret" not in str(caught.value)
