"""The processes of a stack, which supervisord keeps running.

supervisord listens on a loopback port with a generated password, because the path of a Unix socket is limited to 108
bytes. It leads its own session, so that `stop` finds all processes of the stack even after supervisord was killed.
"""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from waybill.errors import CommandFailed
from waybill_devtools.stack.state import write_private


class StackError(CommandFailed):
    """A part of the stack did not start or stop. The message names the part and its log."""


@dataclass(frozen=True)
class Program:
    """One supervised command.

    Attributes:
        name: its name in `status` and of its log file.
        command: program and arguments.
        stop_signal: signal that stops it.
        stop_seconds: time until it is killed.
        once: it runs once to its end.
    """

    name: str
    command: tuple[str, ...]
    stop_signal: str = "TERM"
    stop_seconds: int = 10
    once: bool = False


class Processes:
    """Starts, watches and stops the programs of the stack in `home`."""

    def __init__(self, home: Path, port: int, password: str) -> None:
        self._home = home
        self._port = port
        self._password = password
        self._pid_file = home / "supervisord.pid"

    def log(self, name: str) -> Path:
        """Return the file with the output of a program."""
        return self._home / "logs" / f"{name}.log"

    def alive(self) -> bool:
        """Return whether the supervisor answers."""
        try:
            return bool(self._call("getState")["statename"] == "RUNNING")
        except (OSError, xmlrpc.client.Error):
            return False

    def info(self) -> dict[str, dict[str, Any]]:
        """Return supervisord's description of every program by name; empty if it does not run."""
        try:
            return {str(one["name"]): one for one in self._call("getAllProcessInfo")}
        except OSError:
            return {}

    def launch(
        self, programs: Iterable[Program], environment: Mapping[str, str], reservations: Sequence[socket.socket]
    ) -> None:
        """Start the supervisor with the configuration of all programs, without starting the programs.

        The supervisor inherits the reservations of ports, and keeps them until it ends.
        """
        configuration = self._home / "supervisord.conf"
        write_private(configuration, self._configuration(programs))
        (self._home / "logs").mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-c", configuration.name],
            cwd=self._home,
            env=dict(environment),
            capture_output=True,
            text=True,
            pass_fds=[reservation.fileno() for reservation in reservations],
        )
        if done.returncode != 0:
            raise StackError(f"supervisord did not start: {(done.stderr or done.stdout).strip()}")
        deadline = time.monotonic() + 10
        while not (self.alive() and self._pid_file.exists()):
            if time.monotonic() > deadline:
                raise StackError(f"supervisord does not answer. See {self._home / 'supervisord.log'}.")
            time.sleep(0.02)

    def start(self, *names: str) -> None:
        """Start the programs that do not run, without waiting until they are ready."""
        for name in names:
            try:
                self._call("startProcess", name, False)
            except xmlrpc.client.Fault as fault:
                if "ALREADY_STARTED" not in fault.faultString:
                    raise StackError(f"{name} cannot be started: {fault.faultString}") from fault

    def wait(self, what: str, names: Iterable[str], ready: Callable[[], bool], seconds: float = 90) -> None:
        """Wait until `ready` is true.

        Raises:
            StackError: one of the programs ended, or the time is up.
        """
        names = tuple(names)
        deadline = time.monotonic() + seconds
        while not ready():
            info = self.info()
            for name in names:
                if info.get(name, {}).get("statename") not in ("STARTING", "RUNNING"):
                    raise StackError(self._failure(f"{name} stopped while starting", name))
            if time.monotonic() > deadline:
                raise StackError(self._failure(f"{what} is not ready after {seconds:.0f} s", *names))
            time.sleep(0.1)

    def wait_end(self, name: str, seconds: float = 120) -> None:
        """Wait until a program that runs once has succeeded."""
        deadline = time.monotonic() + seconds
        while (info := self.info().get(name, {})).get("statename") in ("STARTING", "RUNNING"):
            if time.monotonic() > deadline:
                raise StackError(self._failure(f"{name} has not finished after {seconds:.0f} s", name))
            time.sleep(0.1)
        if info.get("statename") != "EXITED" or info.get("exitstatus") != 0:
            raise StackError(self._failure(f"{name} failed", name))

    def stop(self, first: Iterable[str] = (), seconds: float = 30) -> None:
        """Stop the supervisor and all processes that it or its programs started.

        Args:
            first: programs that use the others, to stop first.
            seconds: time until the remaining processes are killed.

        Raises:
            StackError: a process cannot be killed.
        """
        try:
            session = int(self._pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return
        deadline = time.monotonic() + seconds
        seen: set[psutil.Process] = set()

        def left() -> set[psutil.Process]:
            """Return the processes that still run, looked up anew because tasks start processes until they end."""
            seen.update(self._members(session))
            return {process for process in seen if _runs(process)}

        def wait_while(condition: Callable[[], object], until: float) -> None:
            while condition() and time.monotonic() < until:
                time.sleep(0.1)

        try:
            info = self.info()
            for name in first:
                if info[name]["statename"] == "RUNNING":
                    self._call("stopProcess", name, False)
            wait_while(lambda: left() and "STOPPING" in self._states(), deadline)
            self._call("shutdown")
            wait_while(lambda: session in {process.pid for process in left()}, deadline)
        except (OSError, KeyError, xmlrpc.client.Error):
            _signal(left(), psutil.Process.terminate)
            wait_while(left, min(deadline, time.monotonic() + 10))
        until = time.monotonic() + 10
        while remaining := left():
            if time.monotonic() > until:
                raise StackError(f"still running: {', '.join(f'{p.pid} {p.name()}' for p in remaining)}")
            _signal(remaining, psutil.Process.kill)
            time.sleep(0.05)
        self._pid_file.unlink(missing_ok=True)

    def _states(self) -> set[str]:
        return {str(one["statename"]) for one in self.info().values()}

    def _members(self, session: int) -> set[psutil.Process]:
        """Return the processes of the supervisor's session, and their descendants in other sessions."""
        running = {process: process.info["ppid"] for process in psutil.process_iter(["ppid"])}
        members = {process for process in running if _session(process) == session}
        while more := {p for p, parent in running.items() if parent in {m.pid for m in members}} - members:
            members |= more
        # After a reboot, the number may belong to another session. Processes of the stack work in its folder.
        return members if any(_works_in(process, self._home) for process in members) else set()

    def _call(self, method: str, *arguments: Any) -> Any:
        url = f"http://waybill:{self._password}@127.0.0.1:{self._port}/RPC2"
        with xmlrpc.client.ServerProxy(url) as server:
            return getattr(server.supervisor, method)(*arguments)

    def _failure(self, headline: str, *names: str) -> str:
        parts = [headline]
        for name in names:
            log = self.log(name)
            if log.exists():
                with log.open(errors="replace") as lines:
                    parts.append(f"last lines of {log}:\n" + "".join(deque(lines, maxlen=15)).rstrip())
        return "\n".join(parts)

    def _configuration(self, programs: Iterable[Program]) -> str:
        # Paths are relative to the working folder of supervisord, because it would expand a "%" in absolute paths.
        lines = [
            "[supervisord]",
            "logfile=supervisord.log",
            "pidfile=supervisord.pid",
            "childlogdir=logs",
            "logfile_maxbytes=1MB",
            "logfile_backups=1",
            "nocleanup=true",
            "umask=077",
            *(["user=root"] if os.geteuid() == 0 else []),
            "[inet_http_server]",
            f"port=127.0.0.1:{self._port}",
            "username=waybill",
            f"password={self._password}",
            "[rpcinterface:supervisor]",
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        ]
        for program in programs:
            lines += [
                f"[program:{program.name}]",
                "command=" + shlex.join(program.command).replace("%", "%%"),
                f"stdout_logfile=logs/{program.name}.log",
                "stdout_logfile_maxbytes=10MB",
                "stdout_logfile_backups=1",
                "redirect_stderr=true",
                "autostart=false",
                f"autorestart={'false' if program.once else 'true'}",
                f"startsecs={0 if program.once else 1}",
                "startretries=20",
                f"stopsignal={program.stop_signal}",
                f"stopwaitsecs={program.stop_seconds}",
                "stopasgroup=false",
                "killasgroup=true",
            ]
        return "\n".join(lines) + "\n"


def _session(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return None


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return Path(process.cwd()).is_relative_to(folder)
    except psutil.Error:
        return False


def _signal(processes: Iterable[psutil.Process], send: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        try:
            send(process)
        except psutil.Error:
            continue


def _runs(process: psutil.Process) -> bool:
    """Return whether a process is running; a zombie is not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
