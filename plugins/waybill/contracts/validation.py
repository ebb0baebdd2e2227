"""Compile a contract into one DuckDB query that types every row and collects all reasons against it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import date, datetime

from waybill.contracts.contract import Column, Contract
from waybill.contracts.quoting import identifier, literal
from waybill.contracts.values import (
    cast,
    is_blank,
    other_order,
    read_slashed,
    slashed_form,
    stripped,
    typed,
)
from waybill.period import Period
from waybill.settings import settings

_EARLIEST = "1900-01-01"
"""An earlier date is implausible unless the contract has a minimum of its own."""
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
"""What programs write in place of a text that is missing or could not be computed."""


def _result(column: Column) -> str:
    """The typed value in the form that PostgreSQL's binary COPY takes: a UUID is 16 bytes."""
    value = identifier(column.name)
    if column.physical_type == "uuid":
        return f"unhex(replace({value}::varchar, '-', '')) as {value}"
    return value


_LIMITS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


def _value_rules(column: Column, period: Period) -> list[tuple[str, str]]:
    """(reason, condition that holds for a good, present value) for each rule of the column."""
    rules = _own_rules(column, period)
    if column.checked_reference:
        rules.append(("in_force" if column.in_force_on else "reference", identifier(f"known_{column.name}")))
    return rules


def _own_rules(column: Column, period: Period) -> list[tuple[str, str]]:
    """Those that need nothing but the value."""
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
    if lengths:
        rules.append(("length", " and ".join(lengths)))
    if "pattern" in column.options:
        rules.append(("pattern", f"regexp_full_match({value}, {literal(column.options['pattern'])})"))
    if column.enum:
        rules.append(("enum", f"{value} in ({', '.join(literal(item) for item in column.enum)})"))
    elif column.physical_type == "text" and not column.allows_placeholders:
        rules.append(("placeholder", _is_no_placeholder(value)))
    return rules


def _is_no_placeholder(value: str) -> str:
    # Not a list of them, which DuckDB makes a join of.
    words = literal("|".join(map(re.escape, PLACEHOLDERS)))
    longest = max(len(word) for word in PLACEHOLDERS if not word.startswith("#"))
    is_none = f"strlen({value}) > {longest} and not starts_with({value}, '#')"  # cheap, and true of nearly all values
    return f"case when {is_none} then true else not regexp_full_match({value}, {words}) end"


def _plausible(column: Column, period: Period) -> list[str]:
    """The bounds of a date or instant for which the contract has none; they depend on the file's period alone."""
    value, found = identifier(column.name), []
    if column.physical_type in ("date", "timestamptz"):
        if not {"minimum", "exclusiveMinimum"} & column.options.keys():
            found.append(f"{value} >= {literal(_EARLIEST)}")
        if not {"maximum", "exclusiveMaximum"} & column.options.keys():
            found.append(f"{value} < {literal(_years_after(period.end, column.max_years_ahead))}")
    return found


def _years_after(day: date, years: int) -> date:
    """The same day of a later year, 1 March for 29 February; never after the year 9999."""
    year = min(day.year + years, date.max.year)
    return date(year, 3, 1) if (day.month, day.day) == (2, 29) else day.replace(year=year)


def reference_table(column: Column) -> str:
    """Name of the DuckDB table that holds the values the column may refer to, and since when if that matters."""
    return f"reference_{column.name}"


def _is_known(column: Column) -> str:
    """The condition that a present value is among those the column may refer to."""
    value, table = identifier(column.name), identifier(reference_table(column))
    if column.in_force_on is None:
        return f"{value} in (from {table})"
    # Looked up in one value, because a join might change the order of rows. Without a date nothing is asked.
    since, on = f"(select map(list(value), list(since)) from {table})[{value}]", identifier(column.in_force_on)
    return f"case when {value} is not null then coalesce({since} <= {on}, {on} is null) end"


def _period_rules(contract: Contract, period: Period) -> list[tuple[str, str]]:
    """(reason, condition that holds for a good value) of the column that says to which period a row belongs.

    Instants compare with the midnights of the business time zone. What lands at any time has no such rule.
    """
    column = next((column for column in contract.columns if column.name == contract.period_column), None)
    if column is None or contract.lands_any_time:
        return []

    def bounds(period: Period) -> tuple[str, str]:
        start_and_end: tuple[date | datetime, ...] = (period.start, period.end)
        if column.physical_type == "timestamptz":
            start_and_end = period.instants(settings().timezone)
        start, end = (f"{column.physical_type} {literal(bound)}" for bound in start_and_end)
        return start, end

    value = identifier(column.name)
    rules = [("after_period", f"{value} < {bounds(period)[1]}")]
    if contract.lookback_periods is not None:
        rules.append(("too_late", f"{value} >= {bounds(period.shift(-contract.lookback_periods))[0]}"))
    return rules


def _row_rules(contract: Contract) -> list[tuple[str, str]]:
    """(reason, condition that holds for a good row) of the rules over several columns.

    A rule that a missing value makes null does not judge the row; one that cannot be computed does not hold.
    """
    found = []
    for rule in contract.row_rules:
        is_missing = " or ".join(f"{identifier(name)} is null" for name in contract.names if name in rule.words)
        found.append((f"rule:{rule.name}", f"coalesce(try({rule.expression}), {is_missing or 'false'})"))
    return found


def _is_filtered(contract: Contract, period: Period) -> str:
    """The condition that a row has a value that nobody asked for; one that breaks the column's own rules is bad."""
    column = contract.filter_column
    assert column
    value = identifier(column.name)
    kept = ", ".join(literal(one) for one in contract.kept_values or [])
    conditions = [f"{value} not in ({kept})", *(f"({good})" for _, good in _own_rules(column, period))]
    return f"coalesce({' and '.join(conditions)}, false)"


def _raw(contract: Contract, name: str, period: Period) -> str:
    """The text of a column that the source does not have: computed from the others, or absent."""
    if name == contract.landing_day_column:
        return literal(period.start)
    if name == contract.occurrence_column:
        rest = ", ".join(stripped(identifier(f"raw_{key}")) for key in contract.key if key != name)
        return f"(row_number() over (partition by {rest} order by record::integer))::varchar"
    return "null::varchar"


def _good(contract: Contract, period: Period) -> str:
    """One condition for a good row, as cheap as it can be: nearly all rows are good."""
    conditions = []
    for column in contract.columns:
        value = identifier(column.name)
        rules = " and ".join(f"({good})" for _, good in _value_rules(column, period))
        if column.required:
            conditions.append(rules or f"{value} is not null")
        else:
            conditions.append(f"case when {value} is null then {is_blank(column)} else {rules or 'true'} end")
    conditions += [good for _, good in (*_period_rules(contract, period), *_row_rules(contract))]
    # A missing value makes its condition, and so the whole, null. As a case each condition looks only at the rows that
    # met those before it, and no column of truth values is kept of any.
    return "case when " + "\n    and ".join(conditions) + " then true else false end"


def date_order_reason(column: Column) -> str:
    """The reason against a row whose date reads only with month and day the other way round."""
    return f"date_order:{column.name}"


def _reasons(contract: Contract, period: Period) -> list[str]:
    """For each rule an expression that gives its reason if a bad row breaks it."""
    found: list[tuple[str, str]] = []
    for column in contract.columns:
        value, blank = identifier(column.name), is_blank(column)
        if column.required:
            found.append((f"required:{column.name}", blank))
        rule = "control" if column.physical_type == "text" else "type"
        found.append((f"{rule}:{column.name}", f"{value} is null and not ({blank})"))
        if form := slashed_form(column):
            other = read_slashed(column, other_order(form))
            found.append((date_order_reason(column), f"{value} is null and {other} is not null"))
        found += [(f"{rule}:{column.name}", f"not ({good})") for rule, good in _value_rules(column, period)]
    rules = (*_period_rules(contract, period), *_row_rules(contract))
    found += [(reason, f"not ({good})") for reason, good in rules]
    return [f"case when {condition} then {literal(reason)} end" for reason, condition in found]


def _may_be_header(contract: Contract, present: Callable[[str], bool], names: Collection[str]) -> str:
    """The condition that a row may be a header: two of its fields, or its only one, are among the `names`."""
    raws = [identifier(f"raw_{name}") for name in contract.names if present(name)]
    # Not a list: DuckDB makes a join of that, which looks at every row.
    words = "|".join(re.escape(name).replace("_", r"[\s_.\-]*") for name in sorted(names))
    pattern = literal(f"(?i)({words})")
    hits = " + ".join(f"coalesce(regexp_full_match({stripped(raw)}, {pattern}), false)::integer" for raw in raws)
    condition = f"{hits} >= {min(2, len(raws))}"
    if any(column.physical_type != "text" and present(column.name) for column in contract.columns):
        # A name is no number or date: a header is among the bad rows, and they are few.
        condition = f"case when not is_good then {condition} else false end"
    return condition


def compile_query(
    contract: Contract,
    period: Period,
    source: str,
    present: Callable[[str], bool],
    header_names: Collection[str] = (),
) -> str:
    """The query over `source`, a DuckDB relation with `record` and one `raw_<column>` varchar per present column.

    It yields `_record`, the typed columns, `_hash` (of the row's key), and for bad rows alone `_reasons`
    (list of text) and `_raw` (the fields as JSON text); both are null for good rows. If the contract filters
    rows, `_is_filtered` says of which, good or bad, nothing else is asked.
    With `header_names`, normalised names of columns, `_may_be_header` says which rows may be a header.
    `present` tells which columns the source has. An absent column is computed, if the contract says how, else null
    throughout.
    """
    raws = [
        identifier(f"raw_{name}") if present(name) else f"{_raw(contract, name, period)} as {identifier(f'raw_{name}')}"
        for name in contract.names
    ]
    casts = [
        f"{expression} as {identifier(f'cast_{column.name}')}"
        for column in contract.columns
        if (expression := cast(column))
    ]
    values = [f"{typed(column)} as {identifier(column.name)}" for column in contract.columns]
    known = [
        f"{_is_known(column)} as {identifier(f'known_{column.name}')}"
        for column in contract.columns
        if column.checked_reference
    ]
    reasons = ",\n      ".join(_reasons(contract, period))
    fields = ", ".join(
        f"{identifier(name)} := {identifier(f'raw_{name}')}"
        for name in contract.names
        if present(name) or name == contract.occurrence_column  # it cannot be told again from some rows of a file
    )
    columns = ", ".join(_result(column) for column in contract.columns)
    filtered = f", {_is_filtered(contract, period)} as _is_filtered" if contract.filter_column else ""
    marks = ", _is_filtered" if filtered else ""
    is_bad = "not is_good and not _is_filtered" if filtered else "not is_good"
    if header_names:
        marks += f", {_may_be_header(contract, present, header_names)} as _may_be_header"
    key = ", ".join(identifier(name) for name in contract.row_key)
    return f"""
with fields as (
  select record, {", ".join(raws)} from {source}
),
casts as (
  select {", ".join(["*", *casts])} from fields
),
typed as (
  select *, {", ".join(values)} from casts
),
referenced as (
  select {", ".join(["*", *known])} from typed
),
judged as (
  select *, {_good(contract, period)} as is_good{filtered} from referenced
)
select
  record::integer as _record,
  {columns},
  hash({key}) as _hash,
  case when {is_bad} then list_filter([
      {reasons}
  ], lambda reason: reason is not null) end as _reasons,
  case when {is_bad} then to_json(struct_pack({fields}))::varchar end as _raw{marks}
from judged
"""


def compile_date_order(column: Column, source: str) -> str:
    """The query that counts how the dates with slashes of a column read in `source`, a relation as of `compile_query`.

    It yields one row: how many read in the declared form, how many in both orders, how many only in the other one, and
    of these the first three, each with its `record` and `text`.
    """
    declared = slashed_form(column)
    assert declared
    other = other_order(declared)
    return f"""
with dates as (
  select
    record::bigint as record,
    {identifier(f"raw_{column.name}")} as text,
    {read_slashed(column, declared)} as declared,
    {read_slashed(column, other)} as other
  from {source}
)
select
  count(declared),
  count(*) filter (declared is not null and other is not null),
  count(*) filter (declared is null and other is not null),
  arg_min(struct_pack(record, text), record, 3) filter (declared is null and other is not null)
from dates
"""
