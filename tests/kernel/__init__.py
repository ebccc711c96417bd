"""Runs commands, tests above all, on a kernel that has the openvswitch module.

`python -m tests.kernel --help` says how; docs/testing.md tells more.
"""
