"""The topology document: the file in which people say what the virtual network is.

text -> nodes (`nodes.py`) -> typed document (`model.py`, `reader.py`) -> checked (`check*.py`,
`unsupported.py`) -> the store's objects (`compile.py`) -> the operations that make the store so
(`plan.py`). `decompile.py` and `render.py` go the other way.
"""

from actors.state.document.compile import compile_document, host_id, port_id
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

__all__ = [
    "KINDS",
    "Document",
    "DocumentError",
    "DocumentUnreadable",
    "Lab",
    "LabHost",
    "LabRoute",
    "Machine",
    "ObjectError",
    "Problem",
    "compile_document",
    "decode_object",
    "encode_object",
    "host_id",
    "load_document",
    "object_key",
    "parse_bytes",
    "parse_document",
    "port_id",
]
