"""Airflow's web server with the FAB auth manager, a real log-in page and the tokens of an OpenID Connect issuer."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import oidc_provider_mock
import psycopg
import pytest
from psycopg import sql

from support.waiting import PATIENCE, eventually
from waybill.settings import PROJECT_ROOT
from waybill_devtools.stack import Stack

AIRFLOW = Path(sysconfig.get_path("scripts")) / "airflow"
ROLES = {"engineers": "admin", "on-call": "operator", "analysts": "viewer"}
PAGE = "/waybill/business/assets/view.js"
OPEN = {
    ("GET", "/api/v2/version"),
    ("GET", "/api/v2/monitor/health"),
    ("GET", "/api/v2/auth/login"),
    ("GET", "/api/v2/auth/logout"),
}
"""Operations that Airflow answers to everybody: none of them has data."""


class Site:
    """A running web server, and the issuer that it trusts."""

    def __init__(self, address: str, issuer: str) -> None:
        self.address, self.issuer = address, issuer

    def log_in(self, user: str, **claims: Any) -> httpx.Client:
        """Log in through the issuer's page and return the browser's session. The token lacks claims that are None."""
        claims = {name: value for name, value in ({"email_verified": True} | claims).items() if value is not None}
        httpx.put(f"{self.issuer}/users/{user}", json=claims).raise_for_status()
        browser = httpx.Client(base_url=self.address, follow_redirects=True, timeout=PATIENCE)
        page = browser.get("/auth/login/oidc")
        assert page.url.path == "/oauth2/authorize"
        browser.post(page.url, data={"sub": user})
        if token := browser.cookies.get("_token"):
            browser.headers["Authorization"] = f"Bearer {token}"
        return browser


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextmanager
def database_of(stack: Stack, name: str) -> Iterator[str]:
    with psycopg.connect(stack.database_url("postgres", "postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("create database {} owner airflow").format(sql.Identifier(name)))
        try:
            yield stack.database_url("airflow", name).replace(":", "+psycopg2:", 1)
        finally:
            admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture(scope="module")
def site(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("login")
    port = free_port()
    with oidc_provider_mock.run_server_in_thread() as issuer, database_of(stack, "login") as database:
        known_as = f"http://127.0.0.1:{issuer.server_port}"
        environment = {
            **os.environ,
            **stack.env(),
            "AIRFLOW_HOME": str(folder),
            "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
            "AIRFLOW__FAB__CONFIG_FILE": str(PROJECT_ROOT / "containers" / "webserver_config.py"),
            "AIRFLOW__FAB__ENABLE_PROXY_FIX": "True",
            "AIRFLOW__FAB__CACHE_TTL": "0",  # it keeps the roles of a user for 30 s
            "WAYBILL_OIDC_ISSUER": known_as,
            "WAYBILL_OIDC_CLIENT_ID": "waybill",
            "WAYBILL_OIDC_CLIENT_SECRET": "secret",
            "WAYBILL_OIDC_ROLES": json.dumps(ROLES),
            "AUTHLIB_INSECURE_TRANSPORT": "1",  # the issuer of the test speaks HTTP
        }
        with (folder / "log").open("w") as log:
            subprocess.run([AIRFLOW, "db", "migrate"], env=environment, stdout=log, stderr=log, check=True)
            server = subprocess.Popen([AIRFLOW, "api-server"], env=environment, stdout=log, stderr=log)
            running = Site(f"http://127.0.0.1:{port}", known_as)
            try:
                assert eventually(lambda: _answers(running.address)), (folder / "log").read_text()[-3000:]
                yield running
            finally:
                server.terminate()
                server.wait()


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/api/v2/version").is_success
    except httpx.HTTPError:
        return False


def statuses(browser: httpx.Client) -> dict[str, int]:
    """Return the answers to: looking at our page and at the DAGs, starting a run, and reading connections."""
    run = browser.post("/api/v2/dags/nothing/dagRuns", json={"logical_date": None})
    reads = {path: browser.get(path).status_code for path in (PAGE, "/api/v2/dags", "/api/v2/connections")}
    return {**reads, "run": run.status_code}


@pytest.mark.parametrize(
    ("group", "page", "dags", "connections", "run"),
    [
        ("engineers", 200, 200, 200, 404),
        ("on-call", 200, 200, 200, 404),
        ("analysts", 200, 200, 403, 403),
        ("others", 403, 403, 403, 403),
    ],
)
def test_the_groups_of_the_issuer_decide_what_a_user_may_do(
    site: Site, group: str, page: int, dags: int, connections: int, run: int
) -> None:
    browser = site.log_in(group, email=f"{group}@example.com", groups=["everybody", group])
    assert statuses(browser) == {PAGE: page, "/api/v2/dags": dags, "/api/v2/connections": connections, "run": run}


def test_a_changed_group_counts_from_the_next_log_in(site: Site) -> None:
    assert site.log_in("kim", email="kim@example.com", groups="analysts").get("/api/v2/connections").status_code == 403
    assert site.log_in("kim", email="kim@example.com", groups="on-call").get("/api/v2/connections").status_code == 200
    assert site.log_in("kim", email="kim@example.com").get("/api/v2/dags").status_code == 403


@pytest.mark.parametrize(
    "claims",
    [{"email": "eve@example.com", "email_verified": False}, {"email": "eve@example.com", "email_verified": None}, {}],
)
def test_a_token_without_a_verified_address_logs_nobody_in(site: Site, claims: dict[str, Any]) -> None:
    browser = site.log_in("eve", groups=["engineers"], **claims)
    assert "_token" not in browser.cookies
    assert browser.get("/api/v2/dags").status_code == 401


def test_a_password_opens_nothing(site: Site) -> None:
    site.log_in("ann", email="ann@example.com", groups=["engineers"])
    for password in ("", "ann", "None"):
        credentials = {"username": "ann@example.com", "password": password}
        assert httpx.post(f"{site.address}/auth/token", json=credentials).status_code in (400, 401, 403, 422)


def test_no_operation_of_the_api_is_open(site: Site) -> None:
    with httpx.Client(base_url=site.address, timeout=PATIENCE) as stranger:
        operations = [
            (method.upper(), path)
            for path, item in stranger.get("/openapi.json").json()["paths"].items()
            for method in item
        ]
        assert len(operations) > 100
        for method, path in operations:
            answer = stranger.request(method, path.replace("{", "").replace("}", ""), json={})
            assert answer.status_code in (401, 403) or (method, path) in OPEN, (method, path, answer.status_code)
        assert stranger.get(PAGE, headers={"accept": "application/json"}).status_code == 401


def test_a_stranger_is_led_to_the_issuer_and_back_over_https(site: Site) -> None:
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "airflow.example.com", "X-Forwarded-Port": "443"}
    answer = httpx.get(f"{site.address}/auth/login/oidc", headers=headers)
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert query["redirect_uri"] == ["https://airflow.example.com/auth/oauth-authorized/oidc"]
    assert query["code_challenge_method"] == ["S256"]
