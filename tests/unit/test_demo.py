"""The demo's requests to Airflow are repeated while Airflow or its database is away."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from waybill.period import Period
from waybill_devtools.demo import Airflow, DemoFailed

MONTH = Period.parse("month", "2026-03")


class Server(ThreadingHTTPServer):
    """Answers each path with the next of its responses (status, body) and then with the last one; status 0 hangs up."""

    def __init__(self) -> None:
        self.responses: dict[str, list[tuple[int, Any]]] = {"/auth/token": [(201, {"access_token": "t"})]}
        self.requests: list[str] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        path = self.path.partition("?")[0]
        self.server.requests.append(f"{self.command} {path}")
        responses = self.server.responses[path if path == "/auth/token" else self.server.requests[-1]]
        status, body = responses.pop(0) if len(responses) > 1 else responses[0]
        if status == 0:
            self.close_connection = True
            return
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815  # as in the base class

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()
    thread.join()


def test_a_request_is_repeated_after_a_server_error_and_a_lost_connection(server: Server) -> None:
    server.responses["GET /api/v2/dags"] = [(500, "no database"), (0, None), (200, {"dags": []})]
    assert Airflow(server.address, "admin", "secret").call("GET", "/dags") == {"dags": []}
    assert server.requests == ["POST /auth/token", *["GET /api/v2/dags"] * 3]


def test_a_log_in_waits_for_airflow(server: Server) -> None:
    server.responses["/auth/token"].insert(0, (503, "starting"))
    Airflow(server.address, "admin", "secret")
    assert server.requests == ["POST /auth/token"] * 2


def test_an_error_that_stays_is_raised(server: Server) -> None:
    server.responses["GET /api/v2/dags"] = [(500, "no database")]
    api = Airflow(server.address, "admin", "secret", wait_seconds=1)
    with pytest.raises(DemoFailed, match=r"GET /api/v2/dags: 500 .*no database"):
        api.call("GET", "/dags")


def test_a_refusal_is_not_repeated(server: Server) -> None:
    server.responses["GET /api/v2/dags"] = [(403, "forbidden"), (200, {})]
    with pytest.raises(DemoFailed, match="GET /api/v2/dags: 403"):
        Airflow(server.address, "admin", "secret").call("GET", "/dags")


def test_a_backfill_whose_response_was_lost_is_not_created_twice(server: Server) -> None:
    server.responses["POST /api/v2/backfills"] = [(0, None), (409, "There is already a running backfill"), (200, {})]
    created = datetime.now(UTC).replace(year=9999).isoformat()
    server.responses["GET /api/v2/backfills"] = [(200, {"backfills": [{"created_at": created}]})]
    Airflow(server.address, "admin", "secret").backfill("messaging_monthly", MONTH, MONTH)
    assert server.requests.count("POST /api/v2/backfills") == 2


def test_a_backfill_waits_for_the_end_of_the_previous_one(server: Server) -> None:
    server.responses["POST /api/v2/backfills"] = [(409, "There is already a running backfill"), (200, {})]
    server.responses["GET /api/v2/backfills"] = [(200, {"backfills": [{"created_at": "2026-01-01T00:00:00Z"}]})]
    Airflow(server.address, "admin", "secret").backfill("messaging_monthly", MONTH, MONTH)
    assert server.requests.count("POST /api/v2/backfills") == 2
