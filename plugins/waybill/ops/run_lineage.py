"""What a task read and wrote, as datasets of OpenLineage: names, schema, version, numbers of rows, columns.

Names follow the rules of OpenLineage: `postgres://host:port` and `database.schema.table`, `s3://bucket` and a prefix.
Nothing here is a value of a row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    DatasetFacet,
    InputDatasetFacet,
    OutputDatasetFacet,
    RunFacet,
    column_lineage_dataset,
    dataset_version_dataset,
    input_statistics_input_dataset,
    output_statistics_output_dataset,
    schema_dataset,
    tags_run,
)

from waybill.contracts import Contract, load_all
from waybill.contracts.domains import is_on_spark
from waybill.contracts.locations import catalog_table
from waybill.ops.column_sources import ROWS, Source
from waybill.ops.lineage import Lineage, Table, lineage_into
from waybill.settings import settings
from waybill.warehouse.connection import one_row

if TYPE_CHECKING:
    from psycopg import Connection

QUARANTINE: Final = "waybill.quarantine"
"""The table of rejected rows, which is an output of each load."""


@dataclass(frozen=True)
class RunLineage:
    """The inputs and outputs of a task, and facets of its run."""

    inputs: list[InputDataset] = field(default_factory=list)
    outputs: list[OutputDataset] = field(default_factory=list)
    run_facets: dict[str, RunFacet] = field(default_factory=dict)


def loaded(connection: Connection, tables: Collection[str], run_id: str, code_version: str) -> RunLineage:
    """Return what a load of datasets by a run read and wrote: files, rows of tables, rejected rows.

    Datasets without a file of the run are left out.
    """
    graph, contracts = lineage_into(tables), load_all()
    found = RunLineage(run_facets=_facets_of_run(code_version))
    rejected = 0
    for table in sorted(tables):
        rows_in, accepted, refused, files, size, hashes = one_row(
            connection,
            "select coalesce(sum(rows_in), 0)::bigint, coalesce(sum(inserted + updated), 0)::bigint, "
            "coalesce(sum(rejected), 0)::bigint, count(*), coalesce(sum(size_bytes), 0)::bigint, "
            "array_agg(sha256 order by sha256) from waybill.load_file where dataset = %s and run_id = %s",
            (table, run_id),
        )
        if not files:
            continue
        rejected += refused
        for folder in dict.fromkeys(step.source.table for node in graph.nodes_of(table) for step in graph.into[node]):
            place = _place(connection, graph.tables[folder])
            statistics = input_statistics_input_dataset.InputStatisticsInputDatasetFacet(rows_in, size, files)
            facets: dict[str, DatasetFacet] = {"version": _version(hashes)}
            found.inputs.append(_input(place, facets, {"inputStatistics": statistics}))
        contract = contracts[table]
        version = dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=contract.version)
        found.outputs.append(_written(connection, graph, contract, graph.tables[table], accepted, version))
    if found.outputs:
        namespace, _ = _warehouse(connection)
        place = (namespace, f"{connection.info.dbname}.{QUARANTINE}")
        found.outputs.append(_output(place, {}, _rows_written(rejected)))
    return found


def built(connection: Connection, tables: Collection[str], run_id: str, code_version: str) -> RunLineage:
    """Return what derived tables and reports read, and the rows that a run wrote to them."""
    graph, contracts = lineage_into(tables), load_all()
    found = RunLineage(run_facets=_facets_of_run(code_version))
    read: dict[str, None] = {}
    for table in sorted(tables):
        rows, hashes = one_row(
            connection,
            "select sum(row_count)::bigint, array_agg(content_sha256 order by cadence, period) "
            "from waybill.publication where report = %s and run_id = %s",
            (table, run_id),
        )
        if hashes:
            contract = contracts[table]
            found.outputs.append(_written(connection, graph, contract, graph.tables[table], rows, _version(hashes)))
            read |= dict.fromkeys(
                step.source.table for node in graph.nodes_of(table) for step in graph.into.get(node, ())
            )
    for table in sorted(read.keys() - {*tables}):
        found.inputs.append(_input(_place(connection, graph.tables[table]), _schema(contracts[table]), {}))
    return found


def exported(
    connection: Connection, exports: Iterable[tuple[str, int | None, Sequence[str]]], kind: str, code_version: str
) -> RunLineage:
    """Return what was published or copied to the lake: (table, rows, hashes of content), and where to.

    `kind` is `published` or `lake`.
    """
    given, contracts = list(exports), load_all()
    graph = lineage_into([table for table, *_ in given])
    found = RunLineage(run_facets=_facets_of_run(code_version))
    for table, rows, hashes in given:
        copies = [
            one
            for step in graph.out_of.get(Source(table, ROWS), ())
            if (one := graph.tables[step.target.table]).kind == kind
        ]
        for copy in copies:
            found.inputs.append(_input(_place(connection, graph.tables[table]), _schema(contracts[table]), {}))
            version = _version(hashes) if hashes else None
            found.outputs.append(_written(connection, graph, contracts[table], copy, rows, version))
    return found


def _written(
    connection: Connection,
    graph: Lineage,
    contract: Contract,
    table: Table,
    rows: int | None,
    version: DatasetFacet | None,
) -> OutputDataset:
    """Return a table, or a copy of it, as an output with the schema of its contract."""
    facets = _schema(contract)
    if version is not None:
        facets["version"] = version
    if lineage := _column_lineage(connection, graph, table):
        facets["columnLineage"] = lineage
    return _output(_place(connection, table), facets, _rows_written(rows) if rows is not None else {})


def _input(
    place: tuple[str, str], facets: dict[str, DatasetFacet], statistics: dict[str, InputDatasetFacet]
) -> InputDataset:
    return InputDataset(namespace=place[0], name=place[1], facets=facets, inputFacets=statistics)


def _output(
    place: tuple[str, str], facets: dict[str, DatasetFacet], statistics: dict[str, OutputDatasetFacet]
) -> OutputDataset:
    return OutputDataset(namespace=place[0], name=place[1], facets=facets, outputFacets=statistics)


# --- places -----------------------------------------------------------------------------------------------------


def _place(connection: Connection, table: Table) -> tuple[str, str]:
    """Return (namespace, name) of a table or of a folder of files."""
    chosen = settings()
    if table.kind == "file":
        fixed, _, _ = table.name.partition("YYYY")
        return f"s3://{chosen.raw_bucket}", fixed.rpartition("/")[0]
    if table.kind == "published":
        return f"s3://{chosen.reports_bucket}", f"analytics/{table.name.rpartition('/')[2]}"
    if table.kind == "lake":
        return f"s3://{chosen.lake_bucket}", table.name.replace(".", "/")
    schema, _, name = table.name.partition(".")
    if table.kind == "dataset" and is_on_spark(schema):
        return f"s3://{chosen.lake_bucket}", f"{chosen.lake_database}/{catalog_table(schema, name)}"
    namespace, database = _warehouse(connection)
    return namespace, f"{database}.{table.name}"


def _warehouse(connection: Connection) -> tuple[str, str]:
    """Return the namespace of the warehouse and the name of its database."""
    return f"postgres://{connection.info.host}:{connection.info.port}", connection.info.dbname


# --- facets -----------------------------------------------------------------------------------------------------


def _facets_of_run(code_version: str) -> dict[str, RunFacet]:
    tag = tags_run.TagsRunFacetFields(key="code_version", value=code_version, source="WAYBILL")
    return {"tags": tags_run.TagsRunFacet(tags=[tag])}


def _schema(contract: Contract) -> dict[str, DatasetFacet]:
    fields = [
        schema_dataset.SchemaDatasetFacetFields(name=one.name, type=one.physical_type, description=one.description)
        for one in contract.columns
    ]
    return {"schema": schema_dataset.SchemaDatasetFacet(fields=fields)}


def _version(hashes: Sequence[str]) -> DatasetFacet:
    """Return the hash of a content, or of the hashes of its parts."""
    whole = hashes[0] if len(hashes) == 1 else sha256(" ".join(hashes).encode()).hexdigest()
    return dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=whole)


def _rows_written(rows: int) -> dict[str, OutputDatasetFacet]:
    return {"outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=rows)}


def _column_lineage(connection: Connection, graph: Lineage, table: Table) -> DatasetFacet | None:
    """Return the columns from which each column comes, and those that decide the rows. Whole tables have no field."""

    def of(source: Source, kind: str) -> column_lineage_dataset.InputField:
        namespace, name = _place(connection, graph.tables[source.table])
        how = column_lineage_dataset.Transformation(type=kind)
        return column_lineage_dataset.InputField(namespace, name, source.column, [how])

    fields = {
        column: column_lineage_dataset.Fields(inputFields=sources)
        for column in table.columns
        if (
            sources := [
                of(step.source, "DIRECT")
                for step in graph.into.get(Source(table.name, column), ())
                if step.effect == "value" and step.source.column != ROWS
            ]
        )
    }
    rows = [
        of(step.source, "INDIRECT")
        for step in graph.into.get(Source(table.name, ROWS), ())
        if step.source.column != ROWS and step.source.table != table.name
    ]
    if not fields and not rows:
        return None
    return column_lineage_dataset.ColumnLineageDatasetFacet(fields=fields, dataset=rows)
