"""Manifests declare domains; messages name only DAGs that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from waybill.contracts import ContractError, load_all
from waybill.contracts.dag_files import defined_dag_of, without_dag
from waybill.contracts.domains import (
    REQUIRED,
    domain_names,
    is_on_spark,
    load_manifest,
    load_manifests,
    queue_url,
)
from waybill.contracts.layout import Layout
from waybill.contracts.locations import domain_of, processed_layout, raw_layout, report_schema, star_schema
from waybill.ops.lint import lint
from waybill.settings import PROJECT_ROOT, settings

DOMAINS = sorted({contract.domain for contract in load_all().values() if contract.is_dataset})
BILLING = """
title: Billing
dag: billing_monthly
semantics: as of
"""
Write = Callable[[str], Path]


@pytest.fixture
def write(include_dir: Path) -> Write:
    """Write the manifest of the domain billing into a copy of the project's files."""

    def write(text: str) -> Path:
        path = include_dir / "domains" / "billing.yaml"
        path.write_text(text)
        return path

    return write


def test_every_domain_with_datasets_has_a_manifest_and_its_dag_is_defined() -> None:
    assert domain_names() == DOMAINS
    for domain, manifest in load_manifests().items():
        assert defined_dag_of(domain) == manifest.dag


def test_a_manifest_needs_three_keys_and_has_defaults_for_the_others(write: Write) -> None:
    write(BILLING)
    manifest = load_manifest("billing")
    assert (manifest.title, manifest.dag, manifest.semantics) == ("Billing", "billing_monthly", "as of")
    assert (manifest.queue, manifest.dashboard.kpis) == (False, ())
    assert raw_layout("billing", "invoices", "month").pattern == "raw/billing/invoices/month=YYYY-MM/"
    assert raw_layout("billing", "invoices").pattern == "raw/billing/invoices/dt=YYYY-MM-DD/"
    assert processed_layout("billing_star", "debts").pattern == "processed/billing_star/debts/dt=YYYY-MM-DD/"


def test_a_manifest_is_read_again_when_it_has_changed(write: Write) -> None:
    write(BILLING)
    assert load_manifest("billing").title == "Billing"
    write(BILLING.replace("Billing", "Invoicing"))
    assert load_manifest("billing").title == "Invoicing"


def test_a_manifest_may_name_other_prefixes(write: Write) -> None:
    write(
        f"{BILLING}prefixes:\n"
        "  raw: {invoices: lake/in/year=YYYY/month=MM/}\n"
        "  processed: {billing_star.debts: lake/out/day=YYYY-MM-DD/}\n"
    )
    assert raw_layout("billing", "invoices", "month").prefix(date(2026, 3, 1)) == "lake/in/year=2026/month=03/"
    assert raw_layout("billing", "debtors").root == "raw/billing/debtors/"
    assert processed_layout("billing_star", "debts").prefix(date(2026, 3, 9)) == "lake/out/day=2026-03-09/"
    assert processed_layout("billing", "debts").root == "processed/billing/debts/"


@pytest.mark.parametrize("pattern", ["raw/a/dt=YYYY-MM-DD/", "a/year=YYYY/month=MM/day=DD/", "a/b-c/month=YYYY-MM/"])
def test_a_layout_is_written_as_messages_show_it(pattern: str) -> None:
    layout = Layout.parse(pattern)
    assert layout.pattern == pattern
    day = date(2026, 3, 1)
    assert layout.day_of(layout.folders_of(day)) == day


@pytest.mark.parametrize(
    "pattern",
    ["", "/", "raw/", "raw/a", "/raw/dt=YYYY-MM-DD/", "raw/dt=YYYY-MM-DD", "dt=YYYY-MM-DD/", "raw/dt=YYYY-DD/",
     "raw/dt=YYYY/", "raw/dt=YYYY-MM-DD/day=DD/", "raw/dt=YYYY-MM-DD/a/", "raw/%Y/dt=YYYY-MM-DD/", "raw/dt=%Y-%m/"],
)  # fmt: skip
def test_a_prefix_without_a_period_is_rejected(pattern: str) -> None:
    with pytest.raises(ValueError, match="like raw/billing/invoices/dt=YYYY-MM-DD/"):
        Layout.parse(pattern)


def test_the_schemas_of_a_domain_belong_to_it() -> None:
    for domain in DOMAINS:
        for schema in (domain, report_schema(domain), star_schema(domain)):
            assert domain_of(schema) == domain
    assert domain_of("another_report") == "another_report"


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("title: Billing", ["$: needs `dag`", "$: needs `semantics`"]),
        (BILLING.replace("as of", "as-of"), ["$.semantics: must be `as of` or `current`, not 'as-of'"]),
        (f"{BILLING}queue: 'yes'", ["$.queue: must be true or false, without quotes, not 'yes'"]),
        (f"{BILLING}queues: true", ["$.queues: unknown key `queues`: did you mean `queue`?"]),
        (BILLING.replace("billing_monthly", "a b"), ["$.dag: must be an id of letters, digits, `_`, `-` and `.`"]),
        (
            f"{BILLING}prefixes: {{raw: {{invoices: raw/invoices/}}}}",
            ["$.prefixes.raw.invoices: must be a prefix whose last folders name a day or a month"],
        ),
        (
            f"{BILLING}dashboard: {{kpis: [{{lable: Paid, report: paid, column: amount}}], questions: paid}}",
            [
                "$.dashboard.kpis[0]: needs `label`",
                "$.dashboard.kpis[0].lable: unknown key `lable`: did you mean `label`?",
                "$.dashboard.questions: must be a list, not 'paid'",
            ],
        ),
        (
            f"{BILLING}dashboard: {{matrix: {{paid: {{row: a, column: b, value: c, shade: d}}}}, measure: []}}",
            [
                "$.dashboard.matrix.paid.shade: unknown key `shade`: known are column, row, value",
                "$.dashboard.measure: must be keys with values, not []",
            ],
        ),
        ("- title", ["$: must be keys with values, not ['title']"]),
        ("title: a\ntitle: b", ["not YAML"]),
    ],
)
def test_all_problems_of_a_manifest_are_named_with_their_place(text: str, problems: list[str], write: Write) -> None:
    path = write(text)
    with pytest.raises(ContractError) as caught:
        load_manifest("billing")
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    for problem in problems:
        assert problem in message
    if len(problems) > 1:
        assert message.startswith(f"{path}: {len(problems)} problems:\n")


def test_a_folder_in_place_of_a_manifest_is_reported_with_its_path(include_dir: Path) -> None:
    path = include_dir / "domains" / "billing.yaml"
    path.mkdir()
    _, problems = lint(None)
    assert f"{path}: cannot be read: Is a directory. Move it or make it readable." in problems


def test_a_missing_manifest_is_named_with_the_likeliest_domain(include_dir: Path) -> None:
    with pytest.raises(ContractError, match=r"no domain 'shpo' \(did you mean `shop`\?\)\. To add") as caught:
        load_manifest("shpo")
    assert "To add the domain, run `waybill domain new shpo`." in str(caught.value)


Edit = Callable[[str, str, str], None]


@pytest.fixture
def edit(include_dir: Path) -> Edit:
    """Replace a text in a file of a copy of the project's files."""

    def change(name: str, old: str, new: str) -> None:
        path = include_dir / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return change


@pytest.mark.parametrize(
    ("domain", "old", "new", "problem"),
    [
        ("orders", "orders_reports", "orders_report", r"\$\.dag: No DAG ingests .*: did you mean `orders_reports`\?"),
        ("orders", "orders_reports", "shop_daily", r"\$\.dag: shop_daily is the DAG of shop, too"),
        ("orders", "column: revenue}", "column: revenu}", r"\.kpis\[1\]: orders_report.* has no column 'revenu': did"),
        ("orders", "per: revenue", "per: revenu", r"\.kpis\[2\]\.per: orders_report\.region_profit has no column"),
        (
            "orders",
            "reports: [region_profit",
            "reports: [region_profits",
            r"\.questions\[0\]\.reports\[0\]: unknown report .*mean `region_pr",
        ),
        (
            "messaging",
            "reports: [descriptive_statistics",
            "reports: [x",
            r"\.questions\[3\]\.reports\[0\]: unknown report 'x': known are descriptive_st",
        ),
        (
            "shop",
            "co_purchases: lift",
            "co_purchases: lifts",
            r"\.measure\.co_purchases: .* no column 'lifts': did you",
        ),
        ("shop", "rfm_segments: segment", "rfm_segment: segment", r"\.counted\.rfm_segment: unknown report 'rfm_segme"),
        (
            "shop",
            "row: cohort_month",
            "row: cohort",
            r"\.matrix\.cohort_retention\.row: .* has no column 'cohort': did",
        ),
        (
            "purchases",
            "    purchases: data",
            "    purchase: data",
            r"\.raw\.purchase: unknown dataset: did you mean `pur",
        ),
        (
            "purchases",
            "month=MM/day=DD/\n  p",
            "month=MM/\n  p",
            r"\.raw\.purchases: a file of .* for a day: write YYYY-",
        ),
        ("purchases", "star.fact_purchases", "star.facts", r"\.processed\.purchases_star\.facts: unknown table: "),
        (
            "purchases",
            "ingestion_date=YYYY-MM-DD",
            "m=YYYY-MM",
            r"\.processed\..*: must name a day, like dt=YYYY-MM-DD/",
        ),
        (
            "messaging",
            "dashboard:",
            "prefixes: {raw: {traffic: raw/shop/month=YYYY-MM/}}\ndashboard:",
            r"/messaging\.yaml: the prefix raw/shop/ of messaging\.traffic contains raw/shop/reviews/ of shop\.rev",
        ),
        (
            "messaging",
            "dashboard:",
            "services: [kinesis]\ndashboard:",
            r"\$\.services: `kinesis` needs `streams`",
        ),
    ],
)
def test_names_in_a_manifest_must_exist(domain: str, old: str, new: str, problem: str, edit: Edit) -> None:
    edit(f"domains/{domain}.yaml", old, new)
    problems = lint(None)[1]
    assert any(f"domains/{domain}.yaml: " in one for one in problems)
    assert re.search(problem, "\n".join(problems))


def test_all_problems_of_all_manifests_are_listed_at_once(
    include_dir: Path, edit: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit("domains/orders.yaml", "semantics: current", "semantic: current")
    edit("domains/shop.yaml", "column: net_revenue, per", "column: net, per")
    edit("domains/shop.yaml", "reports: [daily_kpis", "reports: [daily")
    (include_dir / "domains/messaging.yaml").unlink()
    (include_dir / "domains/billing.yaml").write_text(BILLING)
    monkeypatch.setenv("WAYBILL_QUEUE_URLS", '{"order": "http://o", "shop": "http://s"}')
    settings.cache_clear()
    problems = {one.split("\n")[0].replace(f"{include_dir}/", ""): one for one in lint(None)[1]}
    missing = f"run `waybill domain new messaging`, or write domains/messaging.yaml with {REQUIRED}"
    assert [*problems] == [
        "domains/orders.yaml: 2 problems:",
        f"contracts/messaging: the domain has datasets and no manifest: {missing}",
        "domains/billing.yaml: 2 problems:",
        "domains/shop.yaml: 2 problems:",
        "WAYBILL_QUEUE_URLS: unknown domain 'order': known are billing, clicks, purchases, shop",
        "WAYBILL_QUEUE_URLS: shop has no queue: set `queue: true` in domains/shop.yaml",
    ]
    billing = problems["domains/billing.yaml: 2 problems:"]
    assert "$: the domain has no dataset: run `waybill contract new FILE --domain billing --dataset NAME`" in billing
    assert f"Write {PROJECT_ROOT}/dags/billing/billing_monthly.py, or correct `dag` in the manifest" in billing


@pytest.mark.parametrize(
    ("text", "exists"),
    [
        ('with DAG(dag_id="orders_reports", schedule=None):\n    pass\n', True),
        ('DAG("orders_reports")\n', True),
        ('import airflow.sdk\n@airflow.sdk.dag(dag_id="orders_reports")\ndef f(): ...\n', True),
        ('# DAG(dag_id="orders_reports")\n', False),
        ("TEXT = 'DAG(dag_id=\"orders_reports\")'\n", False),
        ('DAG(dag_id="orders_reports_old")\n', False),
        ("", False),
    ],
)
def test_a_dag_exists_if_a_file_defines_it(
    text: str, exists: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(tmp_path))
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "some.py").write_text(text)
    assert defined_dag_of("orders") == ("orders_reports" if exists else None)
    assert without_dag("orders") == (
        f"No DAG ingests the files of orders: {PROJECT_ROOT}/include/domains/orders.yaml names orders_reports, "
        f"and no file in {tmp_path} defines it. Write {tmp_path}/orders/orders_reports.py, "
        "or correct `dag` in the manifest."
    )
    (tmp_path / "orders" / "orders_reports.py").write_text("")
    assert f'defines it. Write `dag_id="orders_reports"` in {tmp_path}/orders/orders_reports.py, or ' in (
        without_dag("orders")
    )


def test_folders_that_are_links_are_searched_and_broken_files_define_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "orders").symlink_to(PROJECT_ROOT / "dags" / "orders")
    (tmp_path / "broken.py").write_text("def (:\n")
    (tmp_path / "latin.py").write_bytes(b"# \xe4\n")
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(tmp_path))
    assert defined_dag_of("orders") == "orders_reports"
    assert defined_dag_of("shop") is None


def test_dags_are_looked_up_without_airflow() -> None:
    code = (
        "import sys; from waybill.contracts.dag_files import defined_dag_of as f; "
        "f('orders'); print('airflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(PROJECT_ROOT / "plugins")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
    assert defined_dag_of("orders") == "orders_reports"


def test_one_entry_has_the_queues_of_all_domains_that_have_one(
    include_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYBILL_QUEUE_URLS", '{"orders": "http://o", "*": "http://q/waybill-{domain}"}')
    settings.cache_clear()
    assert lint(None)[1] == []
    assert queue_url("orders") == "http://o", "an entry of its own comes first"
    assert queue_url("purchases") == "http://q/waybill-purchases"
    assert queue_url("shop") is None, "its manifest has no queue"
    manifest = include_dir / "domains/shop.yaml"
    manifest.write_text(manifest.read_text() + "queue: true\n")
    assert queue_url("shop") == "http://q/waybill-shop", "the manifest is read again when it changes"


def test_a_domain_is_on_spark_only_if_its_manifest_says_so(write: Write, include_dir: Path) -> None:
    write(BILLING)
    assert not is_on_spark("billing")
    write(f"{BILLING}engine: spark\n")
    assert is_on_spark("billing")
    assert not is_on_spark("without_manifest")
    path = write(f"{BILLING}engine: sparks\n")
    with pytest.raises(ContractError, match=f"{re.escape(str(path))}.*must be `warehouse` or `spark`, not 'sparks'"):
        load_manifest("billing")
