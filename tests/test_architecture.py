"""The architecture, read out of the sources: what may import what, and who may read a clock."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("actors", "cli")

PURE = (
    "actors/devices/*_forwarding.py",
    "actors/devices/*_view.py",
    "actors/devices/routing_table.py",
    "actors/devices/outcome.py",
    "actors/devices/icmp_budget.py",
    "actors/devices/arp_entries.py",
    "actors/devices/port_text.py",
    "actors/devices/hop_trace.py",
    "actors/tracing/matching.py",
    "actors/tracing/records.py",
    "actors/tracing/trace_bit.py",
    "actors/datapath/flow_table.py",
    "actors/datapath/flow_text.py",
    "actors/datapath/known_links.py",
    "actors/datapath/port_plan.py",
    "actors/datapath/reachability.py",
    "actors/datapath/recent_requests.py",
    "actors/datapath/invalidations.py",
    "actors/datapath/sequence.py",
    "actors/datapath/odp/*.py",
    "actors/packets/*.py",
    "actors/edge/link_picture.py",
    "actors/messages/*.py",
    "actors/values.py",
    "actors/host.py",
    "actors/tags.py",
    "actors/lifetimes.py",
    "actors/tunnel_key.py",
    "actors/supervision.py",
    "actors/state/table_view.py",
    "actors/state/tables.py",
    "actors/state/topology.py",
    "actors/state/journal_format.py",
    "actors/state/document/model.py",
    "actors/state/document/policy.py",
    "actors/state/document/scalars.py",
    "cli/lab/plan.py",
    "cli/lab/wanted.py",
    "cli/demo/picture.py",
)
"""Decisions and codecs: the same arguments give the same answer, anywhere."""

IMPURE = {
    "asyncio", "multiprocessing", "os", "pykka", "pyroute2", "random", "secrets", "select",
    "selectors", "signal", "socket", "sqlite3", "subprocess", "tempfile", "threading", "time",
    "uuid",
}  # fmt: skip

ALLOWED = {
    "actors/values.py": {"uuid"},  # uuid5: names to stable ids, no randomness (checked below)
}

EDGES = (
    "actors/edge",
    "actors/datapath/soft",
    "actors/datapath/soft_channel.py",
    "actors/state/store",
    "cli",
    "supervisor.py",
)
"""Where clocks and chance are read, to become inputs."""

MOST_LINES = 400

TIME_CALLS = {
    "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns",
    "clock_gettime", "clock_gettime_ns", "localtime", "gmtime", "sleep",
}  # fmt: skip


def sources() -> list[Path]:
    found = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return [*found, ROOT / "supervisor.py"]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imports(path: Path) -> Iterator[str]:
    """Yield the dotted names that a file imports, also those in functions."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)} imports relatively"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def pure_sources() -> list[Path]:
    found = [path for pattern in PURE for path in sorted(ROOT.glob(pattern))]
    return [path for path in found if path.name != "__init__.py"]


def is_edge(path: Path) -> bool:
    return any(name(path) == edge or name(path).startswith(f"{edge}/") for edge in EDGES)


def module(path: Path) -> str:
    return name(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@pytest.mark.parametrize("pattern", PURE)
def test_every_pure_part_exists(pattern: str) -> None:
    assert list(ROOT.glob(pattern))


@pytest.mark.parametrize("path", pure_sources(), ids=name)
def test_what_decides_touches_no_actor_no_system_no_clock(path: Path) -> None:
    roots = {imported.partition(".")[0] for imported in imports(path)}
    assert roots & IMPURE <= ALLOWED.get(name(path), set())


@pytest.mark.parametrize("path", pure_sources(), ids=name)
def test_what_decides_imports_only_what_decides(path: Path) -> None:
    pure = {module(found) for found in pure_sources()}
    own = {i for i in imports(path) if (ROOT / f"{i.replace('.', '/')}.py").is_file()}
    assert own <= pure


def test_ids_are_made_from_names_and_not_from_chance() -> None:
    used = {
        node.attr
        for node in ast.walk(tree(ROOT / "actors/values.py"))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "uuid"
    }
    assert used == {"UUID", "uuid5"}


def test_nothing_in_actors_knows_of_supervisor_or_commands() -> None:
    upward = {
        (name(path), imported)
        for path in sources()
        if name(path).startswith("actors/")
        for imported in imports(path)
        if imported.partition(".")[0] in {"cli", "supervisor", "tests", "benchmarks"}
    }
    assert upward == set()


def test_the_supervisor_knows_of_no_commands() -> None:
    assert not [i for i in imports(ROOT / "supervisor.py") if i.partition(".")[0] == "cli"]


def test_nothing_that_is_installed_imports_tests() -> None:
    guilty = {
        name(path)
        for path in sources()
        for imported in imports(path)
        if imported.partition(".")[0] in {"tests", "benchmarks"}
    }
    assert guilty == set()


def test_messages_know_of_no_actor() -> None:
    actors = {
        module(path)
        for path in sources()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id == "LaneActor" for base in node.bases)
    }
    assert len(actors) > 8
    guilty = {
        (path.name, imported)
        for path in (ROOT / "actors/messages").glob("*.py")
        for imported in imports(path)
        if imported in actors or imported == "actors.lane"
    }
    assert guilty == set()


def test_device_logic_knows_of_no_datapath_and_the_codec_of_no_device() -> None:
    guilty = {
        (name(path), imported)
        for path in sources()
        for imported in imports(path)
        if (name(path).startswith("actors/devices/") and imported.startswith("actors.datapath"))
        or (name(path).startswith("actors/datapath/odp/") and imported.startswith("actors.devices"))
        or (name(path).startswith("actors/packets/") and imported.startswith("actors.datapath"))
    }
    assert guilty == set()


@pytest.mark.parametrize("path", [p for p in sources() if not is_edge(p)], ids=name)
def test_clocks_and_chance_are_read_at_the_edge_only(path: Path) -> None:
    read = set()
    for node in ast.walk(tree(path)):
        if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)):
            continue
        owner = node.value.id
        if (
            (owner == "time" and node.attr in TIME_CALLS)
            or (owner in {"datetime", "date"} and node.attr in {"now", "today", "utcnow"})
            or owner in {"random", "secrets"}
            or (owner == "uuid" and node.attr in {"uuid1", "uuid4"})
            or (owner == "os" and node.attr == "urandom")
        ):
            read.add(f"{owner}.{node.attr}")
    assert read == set()
    assert not {"random", "secrets", "datetime"} & set(imports(path))
    assert not {f"time.{call}" for call in TIME_CALLS} & set(imports(path))


@pytest.mark.parametrize("path", sources(), ids=name)
def test_files_are_short_and_say_what_they_are(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= MOST_LINES
    assert ast.get_docstring(tree(path)) or lines == 0


def test_tests_and_benchmarks_are_short_as_well() -> None:
    found = [path for part in ("tests", "benchmarks") for path in (ROOT / part).rglob("*.py")]
    assert len(found) > 100
    assert [name(p) for p in found if len(p.read_text().splitlines()) > MOST_LINES] == []
