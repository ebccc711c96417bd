"""The lab of tests/lab, for tests of the commands that look into one."""

from tests.lab.conftest import lab, untouched

__all__ = ["lab", "untouched"]
