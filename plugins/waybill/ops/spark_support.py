"""What keeps a domain with `engine: spark` from running."""

from __future__ import annotations

from waybill.contracts import Contract, load_domain
from waybill.contracts.locations import read_sql, report_files, report_schema, star_schema
from waybill.contracts.spark_engine import unsupported
from waybill.derived.build import named_tables


def unsupported_domain(domain: str) -> list[str]:
    """Return what Spark cannot do for a domain: each names the table and the reason."""
    datasets, reports = load_domain(domain), load_domain(report_schema(domain))
    found = [f"{one.table}: {problem}" for one in datasets.values() for problem in unsupported(one)]
    found += [
        f"{one.table}: dimensions, summaries and star schemas are tables of PostgreSQL"
        for one in load_domain(star_schema(domain)).values()
    ]
    found += _reading_reports(domain, reports)
    return [f"{one}. `engine: spark` cannot do this: change it, or leave out `engine`" for one in found]


def _reading_reports(domain: str, reports: dict[str, Contract]) -> list[str]:
    tables = {one.table: one.table for one in reports.values()}
    return [
        f"{path}: reads {', '.join(others)}, and the job sees the datasets only"
        for path in report_files(domain)
        if (others := sorted(named_tables(read_sql(path), tables) - {f"{report_schema(domain)}.{path.stem}"}))
    ]
