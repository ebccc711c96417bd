"""Subscription: one call of Store.watch."""

from actors.state.store.interface import Listener, Watch


class Subscription:
    """A watch and its listener."""

    def __init__(self, watch: Watch, listener: Listener) -> None:
        self.watch = watch
        self.listener = listener
        self.active = True
