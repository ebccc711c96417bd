"""The topology document: the file in which people say what the virtual network is.

text -> nodes (`nodes.py`) -> typed document (`model.py`, `reader.py`) -> checked (`check*.py`,
`unsupported.py`) -> the store's objects (`compile.py`) -> the operations that make the store so
(`plan.py`). `decompile.py` and `render.py` go the other way.
"""

from actors.state.document.apply import apply_document, apply_onto, read_stored
from actors.state.document.changes import Change, Detail, changes
from actors.state.document.compile import compile_document, host_id, port_id
from actors.state.document.decompile import decompile
from actors.state.document.errors import DocumentError, DocumentUnreadable, Problem
from actors.state.document.load import load_document, parse_bytes, parse_document
from actors.state.document.model import Document, Lab, LabHost, LabRoute, Machine
from actors.state.document.objects import (
    KINDS,
    ObjectError,
    decode_object,
    encode_object,
    object_key,
)
from actors.state.document.plain import to_plain
from actors.state.document.plan import REVISION_KEY, StoredTopology, plan
from actors.state.document.render import render
from actors.state.document.schema import json_schema

__all__ = [
    "KINDS",
    "REVISION_KEY",
    "Change",
    "Detail",
    "Document",
    "DocumentError",
    "DocumentUnreadable",
    "Lab",
    "LabHost",
    "LabRoute",
    "Machine",
    "ObjectError",
    "Problem",
    "StoredTopology",
    "apply_document",
    "apply_onto",
    "changes",
    "compile_document",
    "decode_object",
    "decompile",
    "encode_object",
    "host_id",
    "json_schema",
    "load_document",
    "object_key",
    "parse_bytes",
    "parse_document",
    "plan",
    "port_id",
    "read_stored",
    "render",
    "to_plain",
]
