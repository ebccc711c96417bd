"""The lab: a virtual network with real agents on one machine, made of network namespaces.

document -> what is wanted (`from_document.py`, `wanted.py`) -> steps (`plan.py`) -> namespaces and
links (`fabric.py`, `links.py`, `namespaces.py`). One process owns it all (`keeper.py`, with its
`agents.py`); the commands (`commands.py`) find it (`registry.py`) and talk to it (`control.py`).
"""
