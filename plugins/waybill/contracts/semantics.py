"""Find values in a schema-valid contract that Waybill does not support.

Each check covers one property. All problems are returned, each with its place in the document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Final, get_args

from waybill.contracts import custom_properties, limits
from waybill.contracts.contract import numeric_digits
from waybill.contracts.custom_properties import is_number, values_of
from waybill.contracts.file_format import NO_QUOTE, FileFormat, FormatName, encoding_named
from waybill.contracts.retention import ELEMENTS, UNITS
from waybill.contracts.standard import Problem, Steps, likeliest, unreadable
from waybill.period import Cadence

OPERATORS: Final = {
    "mustBe": "=",
    "mustNotBe": "<>",
    "mustBeGreaterThan": ">",
    "mustBeGreaterOrEqualTo": ">=",
    "mustBeLessThan": "<",
    "mustBeLessOrEqualTo": "<=",
}
CADENCES: Final[Mapping[str, Cadence]] = {"d": "day", "w": "week", "months": "month"}
HOURS: Final = {"h": 1, "d": 24}
"""Hours in each unit of a latency."""
_LOGICAL: Final = {
    "smallint": "integer",
    "integer": "integer",
    "bigint": "integer",
    "real": "number",
    "double precision": "number",
    "text": "string",
    "uuid": "string",
    "date": "date",
    "time": "time",
    "timestamp": "timestamp",
    "timestamptz": "timestamp",
    "boolean": "boolean",
    "jsonb": "object",
    "text[]": "array",
}
"""The logical type of each physical type, besides `numeric(p,s)`."""
OTHER_TYPES: Final = {
    "varchar": "text, with `maxLength` in the logicalTypeOptions",
    "character varying": "text, with `maxLength` in the logicalTypeOptions",
    "char": "text, with `minLength` and `maxLength` in the logicalTypeOptions",
    "string": "text",
    "decimal": "numeric(p,s)",
    "numeric": "numeric(p,s)",
    "number": "numeric(p,s)",
    "float": "double precision",
    "float4": "real",
    "float8": "double precision",
    "double": "double precision",
    "int": "integer",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "long": "bigint",
    "time without time zone": "time",
    "timestamp with time zone": "timestamptz",
    "timestamp without time zone": "timestamp",
    "datetime": "timestamptz for instants, or timestamp for local times",
    "bool": "boolean",
    "json": "jsonb",
    "array": "text[]",
    "varchar[]": "text[]",
}
"""Common type names that are not supported, with their replacement."""
_MOST_DIGITS: Final = 38
_DELIMITER_BYTES: Final = 4
"""The longest delimiter that DuckDB reads."""
_READ_STATES: Final = ("active", "deprecated")
_STATES: Final = ("proposed", "draft", *_READ_STATES, "retired")
CLASSIFICATIONS: Final = ("public", "internal", "confidential", "restricted")
_PROMISES: Final = (
    "availability",
    "endOfLife",
    "endOfSupport",
    "errorRate",
    "generalAvailability",
    "throughput",
    "timeOfAvailability",
    "timeToDetect",
    "timeToNotify",
    "timeToRepair",
)
"""Service levels that are documentation only."""
_METRICS: Final = ("rowCount", "nullValues", "duplicateValues")
_SEVERITIES: Final = ("error", "warning")


def normal_type(physical_type: str) -> str:
    """Return a physical type as PostgreSQL writes it, for example `numeric(12,2)`."""
    return physical_type.replace(", ", ",")


def logical_type(physical_type: str) -> str | None:
    """Return the logical type that belongs to a physical type; None for an unknown one."""
    return "number" if numeric_digits(physical_type) else _LOGICAL.get(physical_type)


def problems(document: Mapping[str, Any], *, is_proposal: bool) -> Iterator[Problem]:
    """Yield the problems of a document that is valid by the standard's JSON schema."""
    yield from _of_document(document, is_proposal=is_proposal)
    for position, table in enumerate(document.get("schema", [])[:1]):
        steps: Steps = ("schema", position)
        names = frozenset(column["name"] for column in table.get("properties", []))
        mode = values_of(table).get("loadMode", "report")
        yield from _of_table(table, steps, names, mode)
        yield from unreadable(_of_servers(document.get("servers", []), names, mode))
        for place, column in enumerate(table.get("properties", [])):
            here = (*steps, "properties", place)
            yield from _of_column(column, here, names, mode)
            for number, check in enumerate(column.get("quality", [])):
                yield from unreadable(_of_check(check, (*here, "quality", number), names, at_column=True))
        for number, check in enumerate(table.get("quality", [])):
            yield from unreadable(_of_check(check, (*steps, "quality", number), names, at_column=False))
        if mode != "feature":
            yield from unreadable(_of_first_latency(document))
        yield from unreadable(_of_repeated_retentions(document, table["name"]))
        for number, promise in enumerate(document.get("slaProperties", [])):
            yield from unreadable(_of_promise(promise, ("slaProperties", number), table["name"], names, mode))


def _of_document(document: Mapping[str, Any], *, is_proposal: bool) -> Iterator[Problem]:
    if not document["apiVersion"].startswith("v3."):
        yield Problem(("apiVersion",), f"{document['apiVersion']!r} is too old: Waybill reads version 3, like v3.1.0")
    status = document.get("status", "active")
    if status not in _STATES:
        yield Problem(("status",), f"{status!r} is not a status of a contract: {likeliest(status, frozenset(_STATES))}")
    elif status not in _READ_STATES and not is_proposal:
        yield Problem(
            ("status",),
            f"a contract of the project must not be {status!r}, because Waybill applies every one. Write active or "
            "deprecated, or move the file. `waybill contract try` accepts any status.",
        )


def _of_servers(servers: Sequence[Mapping[str, Any]], names: frozenset[str], mode: str) -> Iterator[Problem]:
    """Yield the problems of the server, which describes the files of a dataset."""
    if servers and mode not in custom_properties.DATASETS:
        yield Problem(("servers",), "describes files, but the rows of a derived table come from no file: remove it")
    elif len(servers) > 1:
        yield Problem(("servers",), f"must be one server, which describes the files, not {len(servers)}")
    for position, server in enumerate(servers[:1]):
        yield from _of_server(server, ("servers", position), names)


def _of_server(server: Mapping[str, Any], steps: Steps, names: frozenset[str]) -> Iterator[Problem]:
    if server["type"] != "custom":
        yield Problem((*steps, "type"), f"must be custom, not {server['type']!r}: the server describes the files")
    kind = server.get("format", "csv")
    if kind not in get_args(FormatName):
        likely = likeliest(kind.lower(), frozenset(get_args(FormatName)))
        yield Problem((*steps, "format"), f"{kind!r} is not a format that Waybill reads: {likely}")
        return
    custom = values_of(server)
    yield from unreadable(
        custom_properties.problems(server, custom_properties.OF_SERVER, steps, names, kind, kind="format")
    )
    if (encoding := server.get("encoding")) is not None:
        if kind not in ("csv", "json"):
            yield Problem((*steps, "encoding"), f"is not a property of {kind} files: remove it")
        elif encoding_named(encoding) is None:
            yield Problem(
                (*steps, "encoding"),
                f"unknown encoding {encoding!r}: write one like utf-8, utf-16, cp1252, iso-8859-15",
            )
    if (delimiter := server.get("delimiter")) is not None:
        yield from _of_delimiter(kind, delimiter, (*steps, "delimiter"))
    if kind == "csv":
        yield from _of_dialect(server, custom, steps)


def _of_delimiter(kind: str, delimiter: str, here: Steps) -> Iterator[Problem]:
    if kind == "json":
        if delimiter not in ("new_line", "array"):
            yield Problem(here, f"of JSON must be new_line or array, not {delimiter!r}")
    elif kind != "csv":
        yield Problem(here, f"is not a property of {kind} files: remove it")
    elif not 1 <= len(delimiter.encode()) <= _DELIMITER_BYTES or set(delimiter) & set("\r\n\0"):
        yield Problem(here, f"must be 1 to {_DELIMITER_BYTES} bytes without line ends, not {delimiter!r}")


def _of_dialect(server: Mapping[str, Any], custom: Mapping[str, Any], steps: Steps) -> Iterator[Problem]:
    """Yield the characters of a CSV dialect that would have two meanings."""
    quote = custom.get("quote", FileFormat.quote)
    signs = {
        "delimiter": server.get("delimiter", ","),
        "lineEnd": custom.get("lineEnd", ""),
        "quote": "" if quote == NO_QUOTE else quote,
        "escape": custom.get("escape", ""),
    }
    if not all(isinstance(sign, str) for sign in signs.values()):
        return  # a problem of its own
    for first, second in combinations(signs, 2):
        shared = set(signs[first]) & set(signs[second])
        if shared and (first, second) != ("quote", "escape"):  # an escape that is the quote doubles it
            yield Problem(steps, f"{first} and {second} must not share a character, as {min(shared)!r}")


def _of_table(table: Mapping[str, Any], steps: Steps, names: frozenset[str], mode: str) -> Iterator[Problem]:
    kind = table.get("physicalType", "table")
    if kind != "table":
        yield Problem((*steps, "physicalType"), f"must be table, not {kind!r}")
    yield from unreadable(custom_properties.problems(table, custom_properties.OF_TABLE, steps, names, mode))


# --- columns ------------------------------------------------------------------------------------------------


def _of_column(column: Mapping[str, Any], steps: Steps, names: frozenset[str], mode: str) -> Iterator[Problem]:
    yield from unreadable(custom_properties.problems(column, custom_properties.OF_COLUMN, steps, names, mode))
    yield from _of_key(column, steps)
    yield from _of_synonyms(column, steps)
    yield from unreadable(_of_relationships(column, steps, names, mode))
    if (value := column.get("classification")) not in (None, *CLASSIFICATIONS):
        yield Problem(
            (*steps, "classification"),
            f"{value!r} is not one of {', '.join(CLASSIFICATIONS)}; only restricted values are exported as pseudonyms",
        )
    lacking = [name for name in ("logicalType", "physicalType") if name not in column]
    for name in lacking:
        yield Problem(steps, f"the column {column['name']!r} needs a {name}", is_readable=False)
    if lacking:
        return
    kind, logical = normal_type(column["physicalType"]), column["logicalType"]
    digits = numeric_digits(kind)
    if kind not in _LOGICAL and not (digits and digits[1] <= digits[0] and 0 < digits[0] <= _MOST_DIGITS):
        yield Problem((*steps, "physicalType"), _no_type(kind))
        return
    if logical != (right := logical_type(kind)):
        yield Problem((*steps, "logicalType"), f"{logical!r} does not match the physicalType {kind}: write {right}")
        return
    yield from _of_items(column, kind, steps)
    broken = [*limits.of_options(column.get("logicalTypeOptions", {}), kind, column, steps)]
    yield from broken
    if not broken:
        yield from limits.of_enum(column, kind, steps)


def _of_items(column: Mapping[str, Any], kind: str, steps: Steps) -> Iterator[Problem]:
    if "items" not in column:
        return
    here, items = (*steps, "items"), column["items"]
    if kind != "text[]":
        yield Problem(here, f"`items` is allowed for the physicalType text[], not for {kind}")
    elif items.get("logicalType") != "string" or items.get("physicalType", "text") != "text":
        yield Problem(here, "the items of an array are texts: write {logicalType: string, physicalType: text}")


def _no_type(kind: str) -> str:
    """Return why a physical type is not supported, with the one that is probably meant."""
    other = OTHER_TYPES.get(kind.lower().split("(")[0].strip())
    if other and "(p,s)" in other and (digits := numeric_digits(f"numeric({kind.partition('(')[2]}")):
        other = f"numeric({digits[0]},{digits[1]})"
    known = f"supported are {', '.join(_LOGICAL)} and numeric(p,s) with p up to {_MOST_DIGITS}"
    return f"unknown physicalType {kind!r}: " + (f"write {other}; {known}" if other else known)


def _of_key(column: Mapping[str, Any], steps: Steps) -> Iterator[Problem]:
    position, is_key = column.get("primaryKeyPosition", -1), column.get("primaryKey", False)
    if position != -1 and not is_key:
        yield Problem((*steps, "primaryKeyPosition"), "requires `primaryKey: true` at the column")
    elif is_key and "primaryKeyPosition" in column and position < 1:
        yield Problem((*steps, "primaryKeyPosition"), f"must be 1 or more, not {position}")
    if is_key and column.get("required") is False:
        yield Problem((*steps, "required"), "a column of the primary key is always required: write true")
    expected = (1, -1) if column.get("partitioned") else (-1,)
    if (place := column.get("partitionKeyPosition", -1)) not in expected:
        yield Problem(
            (*steps, "partitionKeyPosition"),
            f"must be {expected[0]}, not {place}: only one column can partition a table",
        )


def _of_synonyms(column: Mapping[str, Any], steps: Steps) -> Iterator[Problem]:
    for position, item in enumerate(column.get("synonyms", [])):
        if not item["synonym"].strip():
            yield Problem((*steps, "synonyms", position, "synonym"), "a synonym must not be blank")


def _of_relationships(column: Mapping[str, Any], steps: Steps, names: frozenset[str], mode: str) -> Iterator[Problem]:
    relationships = column.get("relationships", [])
    if len(relationships) > 1:
        yield Problem((*steps, "relationships"), f"a column can refer to one other column, not {len(relationships)}")
    for position, relationship in enumerate(relationships):
        here, target = (*steps, "relationships", position), relationship.get("to")
        if not isinstance(target, str) or target.count(".") != 1 or "/" in target:
            yield Problem((*here, "to"), f"must be `dataset.column` of the same domain, not {target!r}")
        yield from custom_properties.problems(relationship, custom_properties.OF_RELATIONSHIP, here, names, mode)
        if {"inForceOn", "onUnknown"} <= values_of(relationship).keys():
            yield Problem((*here, "customProperties"), "inForceOn has no effect with onUnknown: remove one")


# --- checks and service levels ------------------------------------------------------------------------------


def _of_check(check: Mapping[str, Any], steps: Steps, names: frozenset[str], *, at_column: bool) -> Iterator[Problem]:
    if not check.get("name", "").strip():
        yield Problem(steps, "a check needs a name")
    if (severity := check.get("severity")) not in _SEVERITIES:
        yield Problem(
            (*steps, "severity") if "severity" in check else steps,
            f"the check {check.get('name')!r} needs a severity of error or warning, not {severity!r}",
        )
    given = [name for name in OPERATORS if name in check]
    if len(given) != 1:
        yield Problem(
            steps,
            f"the check {check.get('name')!r} needs exactly one comparison, not {', '.join(given) or 'none'}; "
            f"supported are {', '.join(OPERATORS)}",
        )
    for name in given:
        if not is_number(check[name]):
            yield Problem((*steps, name), f"must be a number, not {check[name]!r}")
    yield from _of_query(check, steps) if check.get("type") == "sql" else _of_metric(check, steps, names, at_column)


def _of_query(check: Mapping[str, Any], steps: Steps) -> Iterator[Problem]:
    for name in ("metric", "arguments"):
        if name in check:
            yield Problem((*steps, name), f"a check of the type sql must not have `{name}`: its query counts")
    if not check.get("query", "").strip():
        yield Problem((*steps, "query"), "the query must not be empty")


def _of_metric(check: Mapping[str, Any], steps: Steps, names: frozenset[str], at_column: bool) -> Iterator[Problem]:
    name, metric = check.get("name"), check.get("metric")
    if check.get("type", "library") != "library" or metric not in _METRICS:
        yield Problem(
            (*steps, "metric") if metric else steps,
            f"the check {name!r} must be of type sql, or have a metric: {', '.join(_METRICS)}"
            + (f"; not {metric!r}" if metric else ""),
        )
        return
    if "query" in check:
        yield Problem((*steps, "query"), "a check with a metric must not have a query: write `type: sql`, or remove it")
    if check.get("unit", "rows") not in ("rows", "percent"):
        yield Problem((*steps, "unit"), f"must be rows or percent, not {check['unit']!r}")
    columns = check.get("arguments", {}).get("properties")
    if columns is not None:
        here = (*steps, "arguments", "properties")
        if not isinstance(columns, list) or not columns or not all(isinstance(one, str) for one in columns):
            yield Problem(here, f"must be a list of columns, not {columns!r}")
        else:
            for unknown in sorted({*columns} - names):
                yield Problem(
                    here,
                    f"the properties of a check must be columns of the contract, but {unknown!r} is not: "
                    f"{likeliest(unknown, names)}",
                )
        if metric == "rowCount":
            yield Problem((*steps, "arguments"), "rowCount counts whole rows: remove the columns")
    elif metric != "rowCount" and not at_column:
        yield Problem(steps, f"the check {name!r} needs columns: move it to a column, or list columns as arguments")


def _of_first_latency(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a problem if the first latency, the latest landing of a file, is not in whole days."""
    for number, promise in enumerate(document.get("slaProperties", [])):
        if promise["property"] == "latency":
            if promise.get("unit") == "h" or (
                is_number(promise["value"]) and promise["value"] != int(promise["value"])
            ):
                yield Problem(
                    ("slaProperties", number),
                    "the first latency must be in whole days (unit d); others may be in hours",
                )
            return


def _of_promise(
    promise: Mapping[str, Any], steps: Steps, table: str, names: frozenset[str], mode: str
) -> Iterator[Problem]:
    name, unit, value = promise["property"], promise.get("unit"), promise["value"]
    if name == "retention":
        yield from _of_retention(promise, steps, table)
    elif element := promise.get("element"):
        known = frozenset({table, *(f"{table}.{column}" for column in names)})
        if element not in known:
            yield Problem(
                (*steps, "element"), f"{element!r} is not a column of this contract: {likeliest(element, known)}"
            )
    if name == "frequency":
        if unit not in CADENCES:
            yield Problem(
                (*steps, "unit") if unit else steps,
                f"the unit of a frequency must be one of {', '.join(CADENCES)}, not {unit!r}",
            )
        if not is_number(value) or value != 1:
            yield Problem((*steps, "value"), f"must be 1, not {value!r}: a period is one day, week or month")
    elif name in ("latency", "ttl"):
        yield from _of_hours(promise, steps, mode)
    elif name != "retention" and name not in _PROMISES:
        known = frozenset({"frequency", "latency", "retention", "ttl", *_PROMISES})
        yield Problem((*steps, "property"), f"unknown service level {name!r}: {likeliest(name, known)}")


def _of_hours(promise: Mapping[str, Any], steps: Steps, mode: str) -> Iterator[Problem]:
    """Yield the problems of a service level in hours or days."""
    name, unit, value = promise["property"], promise.get("unit"), promise["value"]
    if unit not in HOURS:
        yield Problem((*steps, "unit") if unit else steps, f"the unit of a {name} must be d or h, not {unit!r}")
    if not is_number(value) or value < 0 or (name == "ttl" and value == 0):
        least = "0 or more" if name == "latency" else "greater than 0"
        yield Problem((*steps, "value"), f"must be a number, {least}, not {value!r}")
    if name == "ttl" and mode != "feature":
        yield Problem((*steps, "property"), f"a ttl is allowed for the loadMode feature, not {mode!r}: it ends a value")


def _of_repeated_retentions(document: Mapping[str, Any], table: str) -> Iterator[Problem]:
    seen = set()
    for number, promise in enumerate(document.get("slaProperties", [])):
        if promise["property"] == "retention":
            element = promise.get("element", table)
            if element in seen:
                yield Problem(("slaProperties", number), f"a second retention of {element}: remove one")
            seen.add(element)


def _of_retention(promise: Mapping[str, Any], steps: Steps, table: str) -> Iterator[Problem]:
    unit, value, element = promise.get("unit"), promise["value"], promise.get("element")
    if element is not None and element not in (known := frozenset({table, *ELEMENTS})):
        yield Problem(
            (*steps, "element"),
            f"the element of a retention must be the table or one of {', '.join(ELEMENTS)}, not {element!r}: "
            f"{likeliest(element, known)}",
        )
    if element == "raw" and unit in UNITS and unit != "d":
        yield Problem((*steps, "unit"), f"the lifecycle of a bucket counts days: write unit d, not {unit!r}")
    if unit not in UNITS:
        yield Problem(
            (*steps, "unit") if unit else steps, f"the unit of a retention must be d, months or y, not {unit!r}"
        )
    if not is_number(value) or value < 1 or value != int(value):
        yield Problem((*steps, "value"), f"must be a whole number, 1 or more, not {value!r}")
