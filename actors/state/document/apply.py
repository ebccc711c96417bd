"""Reading the topology from a store and applying a document to it. Calls block on the store."""

from actors.state.document.compile import compile_document
from actors.state.document.model import Document
from actors.state.document.objects import KINDS
from actors.state.document.plan import REVISION_KEY, StoredTopology, plan
from actors.state.store.interface import Conflict, Operation, Store

_ATTEMPTS = 5
"""How often reading starts again when an apply came between: one every few ms is none by hand."""


def read_stored(store: Store) -> StoredTopology:
    """Return what the store holds at one moment, between applies.

    Raises Conflict if it kept changing while it was read, StoreError.
    """
    for _ in range(_ATTEMPTS):
        revision = store.read(REVISION_KEY)
        objects = tuple(each for kind in KINDS for each in store.list(kind))
        if store.read(REVISION_KEY) == revision:
            return StoredTopology(revision, objects)
    raise Conflict(f"{store.url}: the topology kept changing while it was read")


def apply_document(store: Store, document: Document) -> tuple[Operation, ...]:
    """Make the store hold the document's network and nothing else, in one transaction.

    Returns what was done; nothing is written when nothing changes. Raises Conflict if another
    apply came between, StoreError.
    """
    return apply_onto(store, read_stored(store), document)


def apply_onto(store: Store, stored: StoredTopology, document: Document) -> tuple[Operation, ...]:
    """Apply a document on what was read before. Raises Conflict if that has changed, StoreError."""
    operations = plan(stored, compile_document(document))
    if operations:
        store.transact(operations)
    return operations
