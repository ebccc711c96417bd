"""The store against a model of dictionaries: any sequence of calls leaves both the same."""

import itertools
from functools import partial

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.state.store.interface import (
    Conflict,
    Create,
    Delete,
    EntryPut,
    KindWatch,
    ObjectKey,
    ObjectWatch,
    Operation,
    Session,
    SessionLost,
    Store,
    StoredObject,
    TableWatch,
    Update,
    Watch,
)
from actors.state.store.open import open_store
from actors.state.store.sqlite.changes import LogBounds
from tests.state.store_recorder import Recorder

KINDS, TABLES, OWNERS = ("bridge", "router"), ("mac", "arp"), ("h1", "h2")

object_keys = st.builds(ObjectKey, st.sampled_from(KINDS), st.sampled_from(["a", "a\0", "é"]))
values = st.binary(max_size=3)
tables = st.sampled_from(TABLES)
entry_keys = st.sampled_from([b"", b"\x00", b"key"])
owners = st.sampled_from(OWNERS)
versions = st.integers(0, 3)
operations = st.lists(
    st.one_of(
        st.builds(Create, object_keys, values),
        st.builds(Update, object_keys, versions, values),
        st.builds(Delete, object_keys, versions),
    ),
    max_size=4,
)
watches: st.SearchStrategy[Watch] = st.one_of(
    st.builds(ObjectWatch, object_keys),
    st.builds(KindWatch, st.sampled_from(KINDS)),
    st.builds(TableWatch, tables),
)
_names = itertools.count()


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[ObjectKey, StoredObject] = {}
        self.entries: dict[tuple[str, bytes, str], EntryPut] = {}
        self.sessions: dict[str, Session] = {}
        self.rounds = dict.fromkeys(OWNERS, 0)
        """How many sessions each owner has begun."""
        self.put_in: dict[tuple[str, bytes, str], int] = {}
        """In which of its owner's sessions each entry was put."""
        self.unsettled: dict[str, int] = {}
        """Owner -> the round before, if its session was neither closed nor settled."""
        self.held: set[str] = set()
        """Owners whose last session was not closed."""
        self.ended: list[Session] = []
        self.watchers: list[tuple[Watch, Recorder]] = []
        self.last_seq: dict[str, int] = {}
        self.stores: list[Store] = []

    @initialize(bounds=st.sampled_from([LogBounds(), LogBounds(changes=2)]))
    def open(self, bounds: LogBounds) -> None:
        self.stores = [self.open_one(f"model-{next(_names) // 2}", bounds) for _ in range(2)]

    def open_one(self, name: str, bounds: LogBounds) -> Store:
        return open_store(f"memory:{name}", log_bounds=bounds)

    @property
    def store(self) -> Store:
        return self.stores[0]

    @rule(operations=operations)
    def transact(self, operations: list[Operation]) -> None:
        after: dict[ObjectKey, StoredObject] | None = dict(self.objects)
        for operation in operations:
            after = after if after is None else _applied(after, operation)
        if after is None:
            with pytest.raises(Conflict):
                self.store.transact(tuple(operations))
        else:
            self.store.transact(tuple(operations))
            self.objects = after

    @rule(table=tables, key=entry_keys, value=st.none() | values)
    def seed(self, table: str, key: bytes, value: bytes | None) -> None:
        self.store.seed(table, key, value)
        if value is None:
            self.entries.pop((table, key, ""), None)
        else:
            self.entries[table, key, ""] = EntryPut(table, key, value, "", 0)

    @rule(owner=owners, elsewhere=st.booleans())
    def open_session(self, owner: str, elsewhere: bool) -> None:
        earlier = self.sessions.get(owner)
        self.unsettled.pop(owner, None)
        if owner in self.held:
            self.unsettled[owner] = self.rounds[owner]
        self.sessions[owner] = self.stores[elsewhere].open_session(owner, 60.0)
        self.held.add(owner)
        self.rounds[owner] += 1
        if earlier is not None:
            with pytest.raises(SessionLost):
                earlier.keep_alive()
            self.ended.append(earlier)

    @precondition(lambda self: self.sessions)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        owner = data.draw(st.sampled_from(sorted(self.sessions)))
        self.sessions[owner].settle()
        self._forget(owner, self.unsettled.pop(owner, 0))

    @precondition(lambda self: self.sessions)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        owner = data.draw(st.sampled_from(sorted(self.sessions)))
        session = self.sessions.pop(owner)
        session.leave()
        self.ended.append(session)

    @precondition(lambda self: self.sessions)
    @rule(data=st.data())
    def close_session(self, data: st.DataObject) -> None:
        owner = data.draw(st.sampled_from(sorted(self.sessions)))
        session = self.sessions.pop(owner)
        session.close()
        self.ended.append(session)
        self.held.discard(owner)
        self._forget(owner, self.rounds[owner])

    @precondition(lambda self: self.sessions)
    @rule(data=st.data(), table=tables, key=entry_keys, value=values)
    def put(self, data: st.DataObject, table: str, key: bytes, value: bytes) -> None:
        owner = data.draw(st.sampled_from(sorted(self.sessions)))
        seq = self.sessions[owner].put(table, key, value)
        assert seq > self.last_seq.get(table, 0)
        self.last_seq[table] = seq
        self.entries[table, key, owner] = EntryPut(table, key, value, owner, seq)
        self.put_in[table, key, owner] = self.rounds[owner]

    @precondition(lambda self: self.sessions)
    @rule(data=st.data(), table=tables, key=entry_keys, lag=st.none() | st.integers(0, 1))
    def remove(self, data: st.DataObject, table: str, key: bytes, lag: int | None) -> None:
        owner = data.draw(st.sampled_from(sorted(self.sessions)))
        entry = self.entries.get((table, key, owner))
        seq = None if lag is None or entry is None else entry.seq - lag
        expected = entry is not None and lag in {None, 0}
        assert self.sessions[owner].remove(table, key, seq) == expected
        if expected:
            del self.entries[table, key, owner]

    @precondition(lambda self: self.ended)
    @rule(table=tables, key=entry_keys)
    def use_an_ended_session(self, table: str, key: bytes) -> None:
        with pytest.raises(SessionLost):
            self.ended[-1].put(table, key, b"")
        self.ended[-1].close()

    @rule(watch=watches, elsewhere=st.booleans())
    def watch(self, watch: Watch, elsewhere: bool) -> None:
        recorder = Recorder()
        self.stores[elsewhere].watch(watch, recorder)
        self.watchers.append((watch, recorder))

    @invariant()
    def store_reads_as_the_model(self) -> None:
        if not self.stores:
            return
        for kind in KINDS:
            assert self.store.list(kind) == self._expected_objects(KindWatch(kind))
        for table in TABLES:
            assert self.store.entries(table) == self._expected_entries(table)

    def teardown(self) -> None:
        for watch, recorder in self.watchers:
            recorder.wait_complete()
            recorder.wait(partial(self._is_told_all, watch))
        for store in self.stores:
            store.close()

    def _forget(self, owner: str, of_round: int) -> None:
        gone = [k for k in self.entries if k[2] == owner and self.put_in[k] == of_round]
        for address in gone:
            del self.entries[address]

    def _is_told_all(self, watch: Watch, recorder: Recorder) -> bool:
        if isinstance(watch, TableWatch):
            return recorder.entries == self._expected_entries(watch.table)
        return recorder.objects == self._expected_objects(watch)

    def _expected_objects(self, watch: ObjectWatch | KindWatch) -> tuple[StoredObject, ...]:
        return tuple(
            found
            for key, found in sorted(self.objects.items())
            if watch in {ObjectWatch(key), KindWatch(key.kind)}
        )

    def _expected_entries(self, table: str) -> tuple[EntryPut, ...]:
        found = (entry for entry in self.entries.values() if entry.table == table)
        return tuple(sorted(found, key=lambda entry: (entry.seq, entry.key)))


def _applied(
    objects: dict[ObjectKey, StoredObject], operation: Operation
) -> dict[ObjectKey, StoredObject] | None:
    """Return the objects after the operation, None if it is in conflict with them."""
    key, found = operation.key, objects.get(operation.key)
    match operation:
        case Create(_, data):
            return None if found else {**objects, key: StoredObject(key, 1, data)}
        case Update(_, version, data):
            if found is None or found.version != version:
                return None
            return {**objects, key: StoredObject(key, version + 1, data)}
        case Delete(_, version):
            if found is None or found.version != version:
                return None
            return {k: o for k, o in objects.items() if k != key}


TestStoreModel = StoreMachine.TestCase
TestStoreModel.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
