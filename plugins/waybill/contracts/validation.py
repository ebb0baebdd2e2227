"""Compile a contract into a DuckDB query that types every row and collects the reasons to reject it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from datetime import date, datetime

from waybill.contracts.contract import Column, Contract
from waybill.contracts.people import MARK, NUMBER, PersonColumns, replacement
from waybill.contracts.quoting import identifier, literal
from waybill.contracts.time_zones import DOUBLED, SKIPPED
from waybill.contracts.values import (
    cast,
    confusable_forms,
    duckdb_type,
    is_blank,
    local,
    local_offset,
    read_forms,
    stripped,
    swapped_forms,
    typed,
    unread,
)
from waybill.period import Period

EARLIEST = "1900-01-01"
"""Earlier dates are rejected unless the contract declares a minimum."""
PLACEHOLDERS = (
    r"\N",
    "NULL",
    "null",
    "(null)",
    "[NULL]",
    "<NA>",
    "NaN",
    "nan",
    "N/A",
    "#N/A",
    "#NA",
    "#REF!",
    "#VALUE!",
    "#NAME?",
    "#DIV/0!",
    "#NUM!",
    "#NULL!",
    "#ERROR!",
    "#SPILL!",
    "#CALC!",
    *("#NV", "#WERT!", "#BEZUG!", "#ZAHL!", "#\u00dcBERLAUF!"),  # German
    *("#VALEUR!", "#NOM?", "#NOMBRE!", "#NUL!", "#PROPAGATION!"),  # French
    *("#N/D", "#\u00a1VALOR!", "#\u00a1REF!", "#\u00bfNOMBRE?", "#\u00a1NUM!", "#\u00a1DIV/0!"),  # Spanish
    *("#VALORE!", "#RIF!", "#NOME?"),  # Italian
)
"""Texts that programs write for values that are missing or could not be computed."""


def _result(column: Column) -> str:
    """Return the typed value in the form of PostgreSQL's binary COPY: a UUID is 16 bytes, JSON has its version."""
    value = identifier(column.name)
    if column.physical_type == "jsonb":  # version 1 of the format, and the text
        return f"encode(chr(1) || {value}) as {value}"
    if column.physical_type == "uuid":
        return f"unhex(replace({value}::varchar, '-', '')) as {value}"
    return value


_LIMITS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


def _value_rules(column: Column, period: Period) -> list[tuple[str, str]]:
    """Return (reason, condition that holds for a valid, present value) for each rule of the column."""
    rules = _own_rules(column, period)
    if column.checked_reference:
        rules.append(("in_force" if column.in_force_on else "reference", identifier(f"_known_{column.name}")))
    return rules


def _own_rules(column: Column, period: Period) -> list[tuple[str, str]]:
    """Return the rules that need only the value."""
    value = identifier(column.name)
    rules: list[tuple[str, str]] = []
    bounds = [
        f"{value} {sign} {literal(column.options[name])}" for name, sign in _LIMITS.items() if name in column.options
    ]
    bounds += _plausible(column, period)
    if bounds:
        rules.append(("range", " and ".join(bounds)))
    lengths = [
        f"length({value}) {sign} {literal(column.options[name])}"
        for name, sign in (("minLength", ">="), ("maxLength", "<="))
        if name in column.options
    ]
    lengths += [
        f"len({value}) {sign} {literal(column.options[name])}"
        for name, sign in (("minItems", ">="), ("maxItems", "<="))
        if name in column.options
    ]
    if lengths:
        rules.append(("length", " and ".join(lengths)))
    if "pattern" in column.options:
        rules.append(("pattern", f"regexp_full_match({value}, {literal(column.options['pattern'])})"))
    if column.enum:
        rules.append(("enum", f"{value} in ({', '.join(literal(item) for item in column.enum)})"))
    elif column.physical_type == "text" and not column.allows_placeholders:
        rules.append(("placeholder", _is_no_placeholder(value)))
    elif column.physical_type == "text[]" and not column.allows_placeholders:
        found = f"list_filter({value}, lambda item: not ({_is_no_placeholder('item')}))"
        rules.append(("placeholder", f"len({found}) = 0"))
    return rules


def _is_no_placeholder(value: str) -> str:
    # A regular expression, because DuckDB turns a list into a join.
    words = literal("|".join(map(re.escape, PLACEHOLDERS)))
    longest = max(len(word) for word in PLACEHOLDERS if not word.startswith("#"))
    is_none = f"strlen({value}) > {longest} and not starts_with({value}, '#')"  # cheap, and true for nearly all values
    return f"case when {is_none} then true else not regexp_full_match({value}, {words}) end"


def _plausible(column: Column, period: Period) -> list[str]:
    """Return bounds of a date or timestamp without limits in the contract; they depend only on the file's period."""
    value, found = identifier(column.name), []
    if column.physical_type in ("date", "timestamp", "timestamptz"):
        if not {"minimum", "exclusiveMinimum"} & column.options.keys():
            found.append(f"{value} >= {literal(EARLIEST)}")
        if not {"maximum", "exclusiveMaximum"} & column.options.keys():
            found.append(f"{value} < {literal(_years_after(period.end, column.max_years_ahead))}")
    return found


def _years(column: Column, period: Period) -> tuple[int, int]:
    """Return the first and the last year that an instant without an offset may have, in any time zone."""
    limits = [str(column.options[name]) for name in _LIMITS if name in column.options]
    years = [int(limit[:4]) for limit in limits]
    return min([int(EARLIEST[:4]), *years]) - 1, max(
        [_years_after(period.end, column.max_years_ahead).year, *years]
    ) + 1


def _years_after(day: date, years: int) -> date:
    """Return the same day of a later year, 1 March for 29 February, and at most the year 9999."""
    year = min(day.year + years, date.max.year)
    return date(year, 3, 1) if (day.month, day.day) == (2, 29) else day.replace(year=year)


def reference_table(column: Column) -> str:
    """Return the name of the DuckDB table of the values that the column may have, with their first days if needed."""
    return f"reference_{column.name}"


def _is_known(column: Column) -> str:
    """Return the condition that a present value is among the referenced values."""
    value, table = identifier(column.name), identifier(reference_table(column))
    if column.in_force_on is None:
        return f"{value} in (from {table})"
    # A lookup in a map, because a join could change the order of rows. Without a date every value is accepted.
    since, on = f"(select map(list(value), list(since)) from {table})[{value}]", identifier(column.in_force_on)
    return f"case when {value} is not null then coalesce({since} <= {on}, {on} is null) end"


def _period_rules(contract: Contract, period: Period, timezone: str) -> list[tuple[str, str]]:
    """Return (reason, condition that holds for a valid value) for the rules of the period column.

    Instants are compared with midnights in `timezone`. Datasets whose files land at any time have no such rule.
    """
    column = next((column for column in contract.columns if column.name == contract.period_column), None)
    if column is None or contract.lands_any_time:
        return []

    def bounds(period: Period) -> tuple[str, str]:
        start_and_end: tuple[date | datetime, ...] = (period.start, period.end)
        if column.physical_type == "timestamptz":
            start_and_end = period.instants(timezone)
        start, end = (f"{column.physical_type} {literal(bound)}" for bound in start_and_end)
        return start, end

    value = identifier(column.name)
    rules = [("after_period", f"{value} < {bounds(period)[1]}")]
    if contract.lookback_periods is not None:
        rules.append(("too_late", f"{value} >= {bounds(period.shift(-contract.lookback_periods))[0]}"))
    return rules


def _row_rules(contract: Contract) -> list[tuple[str, str]]:
    """Return (reason, condition that holds for a valid row) for the rules over several columns.

    NULL inputs pass; evaluation errors fail.
    """
    found = []
    for rule in contract.row_rules:
        is_missing = " or ".join(f"{identifier(name)} is null" for name in contract.names if name in rule.words)
        found.append((f"rule:{rule.name}", f"coalesce(try({rule.expression}), {is_missing or 'false'})"))
    return found


def _is_filtered(contract: Contract, period: Period) -> str:
    """Return the condition that a row is filtered: its value is valid but not one of the kept values."""
    column = contract.filter_column
    assert column
    value = identifier(column.name)
    kept = ", ".join(literal(one) for one in contract.kept_values or [])
    conditions = [f"{value} not in ({kept})", *(f"({good})" for _, good in _own_rules(column, period))]
    return f"coalesce({' and '.join(conditions)}, false)"


def _raw(contract: Contract, name: str, period: Period) -> str:
    """Return the text of a column that the source lacks: computed from other columns, or null."""
    if name == contract.landing_day_column:
        return literal(period.start)
    if name == contract.occurrence_column:
        rest = ", ".join(stripped(identifier(f"_raw_{key}")) for key in contract.key if key != name)
        partition = f"partition by {rest} " if rest else ""
        return f"(row_number() over ({partition}order by _record::integer))::varchar"
    return "null::varchar"


def _is_valid(contract: Contract, period: Period, timezone: str) -> str:
    """Return one condition for a valid row. It is cheap, because nearly all rows are valid."""
    conditions = []
    for column in contract.columns:
        value = identifier(column.name)
        rules = " and ".join(f"({good})" for _, good in _value_rules(column, period))
        if column.required:
            conditions.append(rules or f"{value} is not null")
        else:
            conditions.append(f"case when {value} is null then {is_blank(column)} else {rules or 'true'} end")
    conditions += [good for _, good in (*_period_rules(contract, period, timezone), *_row_rules(contract))]
    # A missing value makes its condition, and so the conjunction, null. In a case expression each condition is
    # evaluated only for rows that meet the previous ones, and no intermediate column of booleans is stored.
    return "case when " + "\n    and ".join(conditions) + " then true else false end"


def date_order_reason(column: Column) -> str:
    """Return the reason to reject a row whose date is valid only in the other order of day and month."""
    return f"date_order:{column.name}"


def _reasons(contract: Contract, period: Period, timezone: str) -> list[str]:
    """Return for each rule an expression that is its reason if an invalid row breaks it, else null."""
    found: list[tuple[str, str]] = []
    for column in contract.columns:
        blank = is_blank(column)
        if column.required:
            found.append((f"required:{column.name}", blank))
        rule = "control" if column.physical_type == "text" else "type"
        found.append((f"{rule}:{column.name}", f"{unread(column)} and not ({blank})"))
        if column.local_zone:
            offset = identifier(f"offset_{column.name}")
            found.append((f"skipped_hour:{column.name}", f"{offset} = {SKIPPED}"))
            found.append((f"doubled_hour:{column.name}", f"{offset} = {DOUBLED}"))
        if others := swapped_forms(column):
            other = read_forms(column, others)
            found.append((date_order_reason(column), f"{unread(column)} and {other} is not null"))
        found += [(f"{rule}:{column.name}", f"not ({good})") for rule, good in _value_rules(column, period)]
    rules = (*_period_rules(contract, period, timezone), *_row_rules(contract))
    found += [(reason, f"not ({good})") for reason, good in rules]
    return [f"case when {condition} then {literal(reason)} end" for reason, condition in found]


def _may_be_header(contract: Contract, present: Callable[[str], bool], names: Collection[str]) -> str:
    """Return the condition that a row may be a header: two of its fields, or its only one, are among `names`."""
    raws = [identifier(f"_raw_{name}") for name in contract.names if present(name)]
    # A regular expression, because DuckDB turns a list into a join over every row.
    words = "|".join(re.escape(name).replace("_", r"[\s_.\-]*") for name in sorted(names))
    pattern = literal(f"(?i)({words})")
    hits = [f"coalesce(regexp_full_match({stripped(raw)}, {pattern}), false)::integer" for raw in raws]
    condition = f"{_sum(hits)} >= {min(2, len(raws))}"
    if any(column.physical_type != "text" and present(column.name) for column in contract.columns):
        # A name is not a number or date, so a header is among the few invalid rows.
        condition = f"case when not _is_valid then {condition} else false end"
    return condition


def _sum(terms: Sequence[str]) -> str:
    """Return the sum of expressions as a balanced tree, because DuckDB limits the depth of an expression."""
    if len(terms) == 1:
        return terms[0]
    half = len(terms) // 2
    return f"({_sum(terms[:half])} + {_sum(terms[half:])})"


def forgotten_table(kind: str) -> str:
    """Return the name of the DuckDB table of the forgotten people of a kind: `person`, `number` and `tombstone`."""
    return f"forgotten_{kind}"


FORGOTTEN_KEY = "forgotten_key"
"""The name of the DuckDB table with the padded keys of the HMAC: `inside` and `outside`."""


def _hash_of_id(one: PersonColumns, column: Column) -> str:
    """Return the HMAC of the id in a column."""
    prefix = literal(f"{one.contract.domain}.{one.kind}:")
    inside, outside = (f"(select {name} from {FORGOTTEN_KEY})" for name in ("inside", "outside"))
    inner = f"sha256({inside} || encode({prefix} || {identifier(column.name)}::varchar))"
    return f"sha256({outside} || unhex({inner}))"


def _person(one: PersonColumns, column: Column) -> str:
    """Return the number and tombstone of the forgotten person whom an id column names; null for all other people.

    The lookup in a map takes as long as the map is, so it is only for rows of forgotten people. A join could change the
    order of rows.
    """
    table, found = identifier(forgotten_table(one.kind)), identifier(f"_hash_{column.name}")
    people = "map(list(person), list(struct_pack(number := number, tombstone := tombstone)))"
    return f"case when {found} in (select person from {table}) then (select {people} from {table})[{found}] end"


def _forgotten(people: Sequence[PersonColumns], period: Period) -> str:
    """Return the common table expressions that replace the values of forgotten people before rules are checked.

    A value that breaks a rule of its own stays one that is not accepted, so that the row is rejected as before.
    """
    if not people:
        return ""
    named = {column.name: (_hash_of_id(one, column), _person(one, column)) for one in people for column in one.ids}
    replaced = []
    for name, column in {column.name: column for one in people for column in one.ids}.items():
        person, value, raw = (identifier(f"{prefix}{name}") for prefix in ("_person_", "", "_raw_"))
        replaced += [
            f"case when {person} is null then {value} else ({person}).tombstone::{duckdb_type(column)} end as {value}",
            f"case when {person} is null then {raw} else ({person}).tombstone end as {raw}",
        ]
    erased: dict[str, tuple[Column, list[str]]] = {}
    for one in people:
        for column in one.erased:
            erased.setdefault(column.name, (column, []))[1].extend(
                identifier(f"_person_{each.name}") for each in one.ids
            )
    for name, (column, named_by) in erased.items():
        if name in named:
            continue
        value, raw, text = identifier(name), identifier(f"_raw_{name}"), replacement(column)
        person = f"coalesce({', '.join(named_by)})"
        rules = " and ".join([f"{value} is not null", *(f"({good})" for _, good in _own_rules(column, period))])
        instead = "null" if text is None else f"replace({literal(text)}, {literal(NUMBER)}, ({person}).number::varchar)"
        typed_instead = f"({instead})::{duckdb_type(column)}"
        replaced.append(f"case when {person} is null then {value} when {rules} then {typed_instead} end as {value}")
        replaced.append(
            f"case when {person} is null or {raw} is null then {raw} when {rules} then {instead} "
            f"when not {is_blank(column)} then {literal(MARK)} end as {raw}"
        )
    hashes = ", ".join(f"{found} as {identifier(f'_hash_{name}')}" for name, (found, _) in named.items())
    persons = ", ".join(f"{person} as {identifier(f'_person_{name}')}" for name, (_, person) in named.items())
    marked = " or ".join(f"{identifier(f'_person_{name}')} is not null" for name in named)
    return f"""
hashed as (
  select *, {hashes} from typed
),
people as (
  select *, {persons} from hashed
),
replaced as (
  select * replace ({", ".join(replaced)}), {marked} as _is_forgotten from people
),"""


def compile_query(
    contract: Contract,
    period: Period,
    source: str,
    present: Callable[[str], bool],
    timezone: str,
    header_names: Collection[str] = (),
    people: Sequence[PersonColumns] = (),
) -> str:
    """Return the query that validates `source`, a DuckDB relation with `_record` and a text `_raw_<column>` per column.

    Its columns are `_record`, the typed columns and `_hash` (of the row's key). For invalid rows, `_reasons` (a list of
    text) and `_raw` (the fields as JSON text) are set; for valid rows they are null. If the contract filters rows,
    `_is_filtered` marks rows that are ignored. With `header_names` (normalised column names), `_may_be_header` marks
    rows that may be a header. `present` returns whether the source has a column; the values of an absent column are
    computed by the contract or null. `timezone` is the business time zone, an IANA name. With `people`, the values of
    those in the tables `forgotten_table` are replaced, and `_forgotten` has the fields of their rows as JSON text.
    """
    raws = [
        identifier(f"_raw_{name}")
        if present(name)
        else f"{_raw(contract, name, period)} as {identifier(f'_raw_{name}')}"
        for name in contract.names
    ]
    casts = [
        f"{expression} as {identifier(f'_cast_{column.name}')}"
        for column in contract.columns
        if (expression := cast(column))
    ]
    zoned = [column for column in contract.columns if column.local_zone]
    casts += [f"{local(column)} as {identifier(f'local_{column.name}')}" for column in zoned]
    offsets = [
        f"{local_offset(column, _years(column, period))} as {identifier(f'offset_{column.name}')}" for column in zoned
    ]
    read = f"(select {', '.join(['*', *offsets])} from casts)" if zoned else "casts"
    values = [f"{typed(column)} as {identifier(column.name)}" for column in contract.columns]
    known = [
        f"{_is_known(column)} as {identifier(f'_known_{column.name}')}"
        for column in contract.columns
        if column.checked_reference
    ]
    reasons = ",\n      ".join(_reasons(contract, period, timezone))
    fields = ", ".join(
        f"{identifier(name)} := {identifier(f'_raw_{name}')}"
        for name in contract.names
        if present(name) or name == contract.occurrence_column  # a replay of some rows cannot compute it again
    )
    columns = ", ".join(_result(column) for column in contract.columns)
    filtered = f", {_is_filtered(contract, period)} as _is_filtered" if contract.filter_column else ""
    marks = ", _is_filtered" if filtered else ""
    is_bad = "not _is_valid and not _is_filtered" if filtered else "not _is_valid"
    if header_names:
        marks += f", {_may_be_header(contract, present, header_names)} as _may_be_header"
    if people:
        marks += f", case when _is_forgotten then to_json(struct_pack({fields}))::varchar end as _forgotten"
    key = ", ".join(identifier(name) for name in contract.row_key)
    return f"""
with fields as (
  select _record, {", ".join(raws)} from {source}
),
casts as (
  select {", ".join(["*", *casts])} from fields
),
typed as (
  select *, {", ".join(values)} from {read}
),{_forgotten(people, period)}
referenced as (
  select {", ".join(["*", *known])} from {"replaced" if people else "typed"}
),
validated as (
  select *, {_is_valid(contract, period, timezone)} as _is_valid{filtered} from referenced
)
select
  _record::integer as _record,
  {columns},
  hash({key}) as _hash,
  case when {is_bad} then list_filter([
      {reasons}
  ], lambda reason: reason is not null) end as _reasons,
  case when {is_bad} then to_json(struct_pack({fields}))::varchar end as _raw{marks}
from validated
"""


def compile_date_order(column: Column, source: str) -> str:
    """Return the query that counts the dates of a column whose patterns allow to confuse day and month.

    `source` is a relation as for `compile_query`. The query returns one row: the numbers of dates that are valid in the
    declared order, in both orders, and only in the other order, and the first three of the latter with `record` and
    `text`.
    """
    return f"""
with dates as (
  select
    _record::bigint as record,
    {identifier(f"_raw_{column.name}")} as text,
    {read_forms(column, confusable_forms(column))} as declared,
    {read_forms(column, swapped_forms(column))} as other
  from {source}
)
select
  count(declared),
  count(*) filter (declared is not null and other is not null),
  count(*) filter (declared is null and other is not null),
  arg_min(struct_pack(record, text), record, 3) filter (declared is null and other is not null)
from dates
"""
