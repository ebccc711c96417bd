"""systemd's notify protocol (sd_notify(3)): a datagram to the socket that NOTIFY_SOCKET names."""

import socket


class Notifier:
    """Tells the service manager how it goes; does nothing where there is none."""

    def __init__(self, address: str | None) -> None:
        """`address` is NOTIFY_SOCKET's value: a path, or an abstract name behind an @."""
        self._address = "\0" + address[1:] if address and address[0] == "@" else address

    def send(self, *assignments: str) -> None:
        """Send assignments such as READY=1; a manager that does not listen is not waited for."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(0)
            try:
                sender.sendto("\n".join(assignments).encode(), self._address)
            except OSError:
                return  # Readiness is a courtesy: the agent works without its manager's ear.
