"""Failed requests to the views: people get a page with links, programs get JSON."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import psycopg
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given
from hypothesis import settings as quickly
from hypothesis import strategies as st

from support.ledger import add_file, add_reject
from support.messaging_months import database
from support.views import Page, Someone, access_of, check_inert, client_of
from waybill.views.app import make_app
from waybill.warehouse.connection import connect
from waybill_devtools.stack import Stack

if TYPE_CHECKING:
    from httpx import Response
JSON = {"accept": "application/json"}
HUGE = 10**30
ODD = [
    "abc",
    "-1",
    "1.5",
    str(2**31),
    str(HUGE),
    "¼",
    "ÄÖ✓",
    '"',
    "'",
    "';--",
    "<script>alert(1)</script>",
    "\0",
    "%",
    "a&b=c",
    "\ud800",
    " x ",
]
FOLLOWED = set[str]()
"""The links that were followed already: the pages of many values have the same links."""
PATHS = {
    "/operations/index.html": ("domain", "dag_id", "run_id"),
    "/operations/loads.html": ("domain", "dag_id", "run_id", "dataset", "page"),
    "/operations/changes.html": ("domain", "dag_id"),
    "/operations/anomalies.html": ("domain", "dag_id", "dataset"),
    "/operations/incidents.html": ("domain", "dag_id", "state"),
    "/operations/incident.html": ("number", "domain", "dag_id"),
    "/operations/plan.html": ("domain", "dag_id", "first", "last"),
    "/operations/difference.html": ("report", "period", "dag_id"),
    "/operations/quarantine.html": ("domain", "dag_id", "dataset", "reason", "file_id", "state", "page"),
}


@pytest.fixture(scope="module")
def dsn(stack: Stack) -> Iterator[str]:
    """A warehouse with one file and one rejected row."""
    with database(stack) as found, connect(found) as connection:
        file_id = add_file(connection, "messaging.traffic", rows_in=1, rejected=1)
        add_reject(connection, file_id, 1, "7,8", "ragged")
        yield found


@pytest.fixture(scope="module")
def reader_dsn(stack: Stack, dsn: str) -> str:
    return stack.database_url("waybill_reader", dsn.rpartition("/")[2])


@pytest.fixture
def client(reader_dsn: str, dsn: str, stack_environment: dict[str, str]) -> TestClient:
    return client_of(reader_dsn, dsn)


def check_answer(client: TestClient, path: str, answer: Response) -> None:
    """Assert that the response to a browser is a page of the site whose links work."""
    assert answer.headers["content-type"].startswith("text/html")
    page = Page(answer.text)
    check_inert(page)
    if answer.status_code == 200:
        return
    assert answer.status_code in (400, 404, 422), answer.text
    assert [a for tag, a in page.tags if tag == "section" and a.get("class") == "message"]
    links = [str(a["href"]) for tag, a in page.tags if tag == "a" and a.get("href") != "#content"]
    assert links
    for link in links:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(urlsplit(path).path), link))
        if target in FOLLOWED:
            continue
        FOLLOWED.add(target)
        followed = client.get(target)
        assert followed.status_code == 200 or "Nothing to show yet" in followed.text, link


@pytest.mark.parametrize("path", PATHS)
def test_odd_values_of_any_parameter_are_rejected_by_a_page_or_by_json(client: TestClient, path: str) -> None:
    for name in PATHS[path]:
        for value in ODD:
            asked = f"{path}?{urlencode({name: value}, errors='surrogatepass')}"
            check_answer(client, asked, client.get(asked))
            answer = client.get(asked, headers=JSON)
            if answer.status_code != 200:
                assert isinstance(answer.json()["detail"], str), asked


def test_a_form_may_send_its_empty_fields(client: TestClient) -> None:
    for path, names in PATHS.items():
        if path.endswith(("difference.html", "incident.html")):
            continue
        bare, blank = client.get(path), client.get(f"{path}?{urlencode(dict.fromkeys(names, ''))}")
        assert (blank.status_code, blank.text) == (200, bare.text)
        assert client.get(f"{path}?{urlencode(dict.fromkeys(names, ' '))}").text == bare.text
    form = "/operations/quarantine.html?dataset=messaging.traffic&reason={}&file_id=&state=open"
    assert "7,8" in client.get(form.format("ragged")).text
    assert "No open rows for this filter" in client.get(form.format("other")).text


@given(st.dictionaries(st.sampled_from(PATHS["/operations/quarantine.html"]), st.text(max_size=30), max_size=7))
@quickly(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_filter_of_the_quarantine_breaks_the_page(client: TestClient, values: dict[str, str]) -> None:
    asked = f"/operations/quarantine.html?{urlencode(values, errors='surrogatepass')}"
    check_answer(client, asked, client.get(asked))


def test_the_answer_names_the_field_and_the_value(client: TestClient) -> None:
    page = Page(client.get("/operations/quarantine.html?domain=shop&file_id=12a&page=-3").text)
    assert "File ID is '12a'" in page.text
    assert "Page is '-3'" in page.text
    assert "quarantine.html?domain=shop" in page.links
    page = Page(client.get("/operations/loads.html?dag_id=messaging_monthly&page=x").text)
    assert "index.html?dag_id=messaging_monthly" in page.links, "a tab of a DAG stays with its DAG"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/nothing",
        "/a/b/c",
        "/business/",
        "/business/nowhere/index.html",
        "/business/messaging/2026-13.html",
        "/business/messaging/0001-01.html",
        "/business/messaging/9999-12.html",
        f"/business/messaging/{quote('<script>')}.html",
        f"/business/messaging/2026-03/{quote('../../x')}.html",
        "/business/messaging/2026-99/top_customers.csv",
        "/business/messaging/2026-03/top_customers.json",
        "/business/assets/nothing.css",
        "/operations/loads",
    ],
)
def test_an_unknown_address_gives_a_page_with_links(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    check_answer(client, path, answer)
    assert isinstance(client.get(path, headers=JSON).json()["detail"], str)


@pytest.mark.parametrize("number", [-1, 2**31, HUGE, 1.5, "x", None, float("nan")])
@pytest.mark.parametrize("place", [0, 1])
def test_a_replay_accepts_only_valid_file_ids_and_record_numbers(client: TestClient, number: Any, place: int) -> None:
    row = [1, 1]
    row[place] = number
    for accept in ("application/json", "text/html", "*/*"):
        answer = client.post(
            "/operations/replay/messaging_monthly",
            content=json.dumps({"dataset": "messaging.traffic", "rows": [row]}),
            headers={"accept": accept, "content-type": "application/json"},
        )
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"dataset": "\\ud800", "rows": [[1, 1]]}', b"\xff", b'{"rows": 1}']
)
def test_an_invalid_replay_is_rejected_as_json(client: TestClient, body: bytes) -> None:
    answer = client.post(
        "/operations/replay/messaging_monthly", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code in (400, 404, 422)
    assert isinstance(answer.json()["detail"], str)


def test_programs_get_json_when_the_warehouse_fails(dsn: str) -> None:
    client = client_of("postgresql://waybill_reader:hunter2@127.0.0.1:1/warehouse", dsn)
    answer = client.get("/operations/index.html", headers=JSON)
    assert answer.status_code == 503
    assert "does not respond" in answer.json()["detail"]
    assert "hunter2" not in answer.text


def test_an_internal_error_is_a_page_too(reader_dsn: str, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr("waybill.views.operations.overview.freshness", fail)
    app = make_app(access_of(reader_dsn, dsn, Someone()))
    client = TestClient(app, raise_server_exceptions=False, headers={"accept": "text/html"})
    answer = client.get("/operations/index.html")
    assert answer.status_code == 500
    assert "ZeroDivisionError" in answer.text
    assert "secret" not in answer.text
    assert "index.html" in Page(answer.text).links
    assert client.get("/operations/index.html", headers=JSON).json()["detail"]


@pytest.mark.parametrize(
    ("address", "root", "log_in", "back"),
    [
        ("", "", "/api/v2/auth/login", ""),
        ("", "/air/waybill", "/air/api/v2/auth/login", "/air/waybill"),
        ("https://airflow.example", "/waybill", "https://airflow.example/api/v2/auth/login", "/waybill"),
        ("https://airflow.example/", "/waybill", "https://airflow.example/api/v2/auth/login", "/waybill"),
        ("https://example.com/air", "/air/waybill", "https://example.com/air/api/v2/auth/login", "/waybill"),
        ("https://example.com/air", "/waybill", "https://example.com/air/api/v2/auth/login", "/waybill"),
    ],
)
def test_the_log_in_page_has_the_configured_address_for_any_host_header(
    reader_dsn: str, dsn: str, address: str, root: str, log_in: str, back: str
) -> None:
    user = Someone(may_look=False)
    app = make_app(access_of(reader_dsn, dsn, user, address))
    client = TestClient(app, follow_redirects=False, root_path=root, headers={"accept": "text/html"})
    answer = client.get(
        f"{root}/operations/loads.html?dataset=messaging.traffic&page=2",
        headers={"host": "evil.example", "x-forwarded-host": "evil.example"},
    )
    assert answer.status_code == 303
    location = answer.headers["location"]
    assert "evil" not in location
    assert location.partition("?")[0] == log_in
    (target,) = parse_qs(urlsplit(location).query)["next"]
    assert target == f"{address.rstrip('/')}{back}/operations/loads.html?dataset=messaging.traffic&page=2"


def test_values_that_the_warehouse_cannot_store_are_no_connection_error(reader_dsn: str) -> None:
    with psycopg.connect(reader_dsn) as connection, pytest.raises(psycopg.DataError):
        connection.execute("select %s", ("\0",))
