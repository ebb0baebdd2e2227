"""Hashes of all tables of a warehouse, by which two runs of the same work are compared."""

from __future__ import annotations

from psycopg import Connection, sql

OF_RUNS = {
    *("alert", "alert_delivery", "incident", "incident_event", "incident_run"),
    *("anomaly", "drift", "personal_column", "watched", "watch_look"),
    "reveal",
    *("lake_commit", "lake_maintenance", "lake_request", "lake_state", "published_snapshot"),
    *("erasure", "training_set"),
    *("horizon", "retention"),
    *("stream", "stream_consumer", "stream_measurement", "stream_shard"),
}
"""Tables of the schema waybill about runs, what they saw on the way, and their commits; not about data."""
RUNS = {
    *("run_id", "published_by", "code_version", "version_id"),
    *("changes_seen", "change_id", "contract_id", "rejected_file_id", "observed", "seconds"),
}
"""Columns of the schema waybill that tell one run from another, or depend on the order of runs.

A check that compares a report with the one of the period before observes no change if that one is built later.
"""
FILE = "(select f.object_key || ' ' || f.sha256 from waybill.load_file as f where f.file_id = x.{})"
FILES = (
    "array(select f.object_key || ' ' || f.sha256 from waybill.load_file as f where f.file_id = any(x.{}) order by 1)"
)
AS_TEXT = {"file_id": FILE, "_file_id": FILE, "replaces_file_id": FILE, "file_ids": FILES}
"""How columns with the numbers of files are compared: a file is its name and content."""


def table_hashes(connection: Connection) -> dict[str, tuple[int, str]]:
    """Return the number of rows and a hash of each table, without times, runs and generated numbers."""
    columns = connection.execute(
        "select c.relnamespace::regnamespace::text, c.relname, "
        "array_agg(a.attname order by a.attnum), array_agg(a.atttypid::regtype::text order by a.attnum) "
        "from pg_class as c inner join pg_attribute as a on a.attrelid = c.oid "
        "where c.relkind in ('r', 'p') and not c.relispartition and a.attnum > 0 and not a.attisdropped "
        "and c.relnamespace::regnamespace::text !~ '^(pg_|information_schema$|public$)' group by 1, 2"
    ).fetchall()
    found = {}
    for schema, table, names, types in columns:
        if schema.endswith("_feature") and table.endswith("_log"):  # it tells when each value became known
            continue
        kept = list(names)
        if schema == "waybill":
            if table in OF_RUNS:
                continue
            clocks = {name for name, kind in zip(names, types, strict=True) if kind == "timestamp with time zone"}
            kept = [name for name in names if name not in RUNS | clocks - {"newest"}]
        # The change log tells each change again when the same day changes twice.
        query = sql.SQL(
            "select count(*), coalesce(md5(string_agg(one, chr(10) order by one)), '') "
            "from (select {} row({})::text as one from {} as x) as rows"
        ).format(
            sql.SQL("distinct" if table == "change" else ""),
            sql.SQL(", ").join(sql.SQL(AS_TEXT.get(name, "x.{}")).format(sql.Identifier(name)) for name in kept),
            sql.Identifier(schema, table),
        )
        row = connection.execute(query).fetchone()
        assert row
        found[f"{schema}.{table}"] = row
    return found
