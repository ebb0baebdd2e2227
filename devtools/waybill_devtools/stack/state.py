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
PREFERRED_PORTS = {"airflow": 8080, "postgres": 5433, "s3": 8333, "aws": 5000}
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

    def save(self, path: Path) -> None:
        """Write the state to a file that only its owner may read."""
        write_private(path, json.dumps(asdict(self), indent=2) + "\n")

    def claim_ports(self, *, prefer: bool) -> None:
        """Keep the ports that are still free, and replace the others by free ones.

        Args:
            prefer: try the well-known ports first. Otherwise, for a second stack, choose ports at random.
        """
        known: Mapping[str, int] = PREFERRED_PORTS if prefer else {}
        claimed: dict[str, int] = {}
        for name in (*PREFERRED_PORTS, *OTHER_PORTS):
            candidates = [self.ports.get(name), known.get(name), *random.sample(PORT_RANGE, 200)]
            claimed[name] = next(port for port in candidates if port and port not in claimed.values() and is_free(port))
        self.ports = claimed


def is_free(port: int) -> bool:
    """Return whether a loopback port is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def write_private(path: Path, text: str) -> None:
    """Replace a file atomically by one that only its owner may read."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.rename(path)
