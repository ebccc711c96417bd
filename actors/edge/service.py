"""Service: a thread at the edge that the supervisor starts, watches, restarts and stops."""

import threading
from abc import ABC, abstractmethod


class Service(ABC):
    """One thread's work. `run` returns after `stop`, or raises: then the supervisor restarts it."""

    name: str

    def __init__(self) -> None:
        self.failure: BaseException | None = None
        self.stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @abstractmethod
    def run(self) -> None:
        """Do the work until `stopping` is set."""

    def interrupt(self) -> None:  # noqa: B027 - nothing to do for one that only waits
        """Wake `run` out of what it blocks on, once `stopping` is set."""

    def start(self) -> None:
        """Start the thread, anew if it ran before."""
        self.failure = None
        self._thread = threading.Thread(target=self._guard, name=self.name, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self, timeout: float = 5.0) -> bool:
        """Stop the thread; return whether it ended in time (seconds)."""
        self.stopping.set()
        self.interrupt()
        if self._thread is not None:
            self._thread.join(timeout)
        return not self.alive

    def _guard(self) -> None:
        try:
            self.run()
        except Exception as error:  # noqa: BLE001 - the supervisor reads it and decides
            self.failure = error
