"""Processes that play agents, each with a pipe to this one; they end with it."""

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

from cli.lab.namespaces import die_with_parent

PATIENCE = 180.0
"""Seconds until an answer is taken to be never coming."""


@contextlib.contextmanager
def child(function: Callable[..., None], *arguments: object) -> Iterator[Connection]:
    """Run `function(*arguments, pipe)` in a process; yield the near end of the pipe."""
    context = multiprocessing.get_context("spawn")
    near, far = context.Pipe()
    process = context.Process(target=_run, args=(function, arguments, far, os.getpid()))
    process.start()
    far.close()
    try:
        yield near
        process.join(PATIENCE)
    finally:
        process.kill()
        process.join()
        near.close()


def answer(pipe: Connection) -> Any:
    """Return what a child says next. Raises TimeoutError, EOFError if it has ended."""
    if not pipe.poll(PATIENCE):
        raise TimeoutError(f"a process of the benchmark said nothing for {PATIENCE:.0f} s")
    return pipe.recv()


def _run(
    function: Callable[..., None], arguments: tuple[object, ...], pipe: Connection, parent: int
) -> None:
    die_with_parent(parent)
    function(*arguments, pipe)
