"""The state that an embedded stack keeps between starts: its ports and its generated secrets."""

from __future__ import annotations

import base64
import json
import os
import random
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

# Ports to try first, for services that people address. Other ports come from PORT_RANGE.
PREFERRED_PORTS = {"airflow": 8080, "postgres": 5433, "s3": 8333, "catalog": 8181, "aws": 5000}
OTHER_PORTS = (
    *("supervisor", "broker", "s3_grpc", "filer", "filer_grpc", "admin", "admin_grpc"),
    *("master", "master_grpc", "volume", "volume_grpc"),
)
# Below the range of ports for outgoing connections.
PORT_RANGE = range(20_000, 32_000)
_SECRETS: dict[str, Callable[[], str]] = {
    **dict.fromkeys(
        ("postgres", "airflow_db", "warehouse", "reader", "admin", "operator", "viewer", "supervisor", "broker"),
        lambda: secrets.token_urlsafe(12),
    ),
    **dict.fromkeys(("aws_secret", "jwt", "session", "mask_key"), lambda: secrets.token_urlsafe(32)),
    "aws_key": lambda: secrets.token_hex(10),
    "fernet": lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
}


@dataclass
class State:
    """Ports by service, secrets by purpose, the Airflow version of its database, and the number of Celery workers.

    Without workers, tasks run in the processes of the scheduler.
    """

    ports: dict[str, int] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    airflow_schema: str | None = None
    workers: int = 0

    @classmethod
    def load(cls, path: Path) -> State | None:
        """Return the saved state; None if the stack was never started."""
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError:
            return None

    def generate_secrets(self) -> None:
        """Generate the missing secrets."""
        for name, make in _SECRETS.items():
            self.secrets.setdefault(name, make())

    def has_secrets(self) -> bool:
        """Return whether every secret exists. A stack of an older version may lack some until its next start."""
        return self.secrets.keys() >= _SECRETS.keys()

    def has_ports(self) -> bool:
        """Return whether every part has a port. A stack of an older version may lack some until its next start."""
        return self.ports.keys() >= {*PREFERRED_PORTS, *OTHER_PORTS}

    def save(self, path: Path) -> None:
        """Write the state to a file that only its owner may read."""
        write_private(path, json.dumps(asdict(self), indent=2) + "\n")

    def claim_ports(self, *, prefer: bool) -> list[socket.socket]:
        """Keep the ports that are still free, replace the others by free ones, and return their reservations.

        Until a reservation is closed, no other stack chooses its port.

        Args:
            prefer: try the well-known ports first. Otherwise, for a second stack, choose ports at random.
        """
        known: Mapping[str, int] = PREFERRED_PORTS if prefer else {}
        reserved: dict[str, socket.socket] = {}
        for name in (*PREFERRED_PORTS, *OTHER_PORTS):
            candidates = [self.ports.get(name), known.get(name), *random.sample(PORT_RANGE, 200)]
            reserved[name] = next(found for port in candidates if port and (found := reserve(port)))
        self.ports = {name: reservation.getsockname()[1] for name, reservation in reserved.items()}
        return list(reserved.values())


def reserve(port: int) -> socket.socket | None:
    """Return a reservation of a loopback port; None if the port is in use or reserved.

    A server binds its port later, some only minutes after the choice. The reservation is a UDP socket of the same
    number, which does not disturb the server.
    """
    reservation = socket.socket(type=socket.SOCK_DGRAM)
    try:
        reservation.bind(("127.0.0.1", port))
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except OSError:
        reservation.close()
        return None
    return reservation


def write_private(path: Path, text: str) -> None:
    """Replace a file atomically by one that only its owner may read."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.rename(path)
