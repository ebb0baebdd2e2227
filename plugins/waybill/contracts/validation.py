"""Compile a contract into one DuckDB query that types every row and collects all reasons against it.

The text forms that a type accepts are regular expressions here, because DuckDB's casts are lenient:
`1.5`, `1e3` and `1_000` all cast to an integer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import date, datetime

from waybill.blanks import BLANKS
from waybill.contracts.contract import Column, Contract, numeric_digits
from waybill.period import Period
from waybill.settings import settings

_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_DATE = rf"\s*{_DAY}\s*"
_TIME = "[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)?"
_TIMESTAMP = rf"\s*{_DAY}[ T]{_TIME}\s*"
_MONTH_FIRST = "[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}"
_FORMS = {
    "integer": r"\s*[+-]?[0-9]+\s*",
    "bigint": r"\s*[+-]?[0-9]+\s*",
    "date": _DATE,
    "timestamptz": _TIMESTAMP,
    "boolean": r"\s*(?i:true|false|t|f|1|0)\s*",
    "uuid": r"\s*[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\s*",
}
_DATE_PATTERNS = {"YYYY-MM-DD": _DAY, "M/D/YYYY": _MONTH_FIRST}


def identifier(name: str) -> str:
    """`name` quoted for DuckDB."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    """`value` as a DuckDB literal; only for text of the contract, data never becomes SQL."""
    if isinstance(value, bool | int | float):
        return str(value).lower()
    return "'" + str(value).replace("'", "''") + "'"


def duckdb_type(column: Column) -> str:
    """The DuckDB type whose Arrow form PostgreSQL reads as the column's physical type."""
    if digits := numeric_digits(column.physical_type):
        return f"decimal({digits[0]},{digits[1]})"
    return "varchar" if column.physical_type == "text" else column.physical_type


def _form(column: Column) -> str | None:
    if digits := numeric_digits(column.physical_type):
        fraction = rf"([.][0-9]{{1,{digits[1]}}})?" if digits[1] else ""
        return rf"\s*[+-]?[0-9]+{fraction}\s*"
    if "M/D/YYYY" in column.date_forms:
        return rf"\s*({'|'.join(_DATE_PATTERNS[form] for form in column.date_forms)})\s*"
    return _FORMS.get(column.physical_type)


def _cast(column: Column) -> str:
    raw = _present(column)
    kind = duckdb_type(column)
    if "M/D/YYYY" in column.date_forms:
        return f"coalesce(try_cast({raw} as date), try_strptime(trim({raw}), '%m/%d/%Y')::date)"
    if kind == "timestamptz":  # the cast wants seconds before an offset
        seconds = rf"regexp_replace({raw}, '([ T][0-9]{{2}}:[0-9]{{2}})(Z|[+-])', '\1:00\2')"
        return f"coalesce(try_cast({raw} as {kind}), try_cast({seconds} as {kind}))"
    if kind in ("boolean", "uuid"):  # these casts do not pass over blanks
        raw = f"trim({raw})"
    return f"nullif(trim({raw}), '')" if kind == "varchar" else f"try_cast({raw} as {kind})"


def _result(column: Column) -> str:
    """The typed value in the form that PostgreSQL's binary COPY takes: a UUID is 16 bytes."""
    value = identifier(column.name)
    if column.physical_type == "uuid":
        return f"unhex(replace({value}::varchar, '-', '')) as {value}"
    return value


def _typed(column: Column) -> str:
    """The cast value if the text has the type's form."""
    raw, value, form = identifier(f"raw_{column.name}"), identifier(f"cast_{column.name}"), _form(column)
    if form is None:
        return value
    has_form = f"regexp_full_match({raw}, {literal(form)})"
    if column.logical_type in ("integer", "number", "date"):
        # A value that prints as its text needs no pattern, which is dearer than the cast.
        has_form = f"({value}::varchar = {raw} or {has_form})"
    if column.logical_type in ("date", "timestamp"):
        # Neither infinity nor the years that Python does not know, be it in another time zone.
        last = "<= '9999-12-31'" if column.physical_type == "date" else "< '9999-12-31'"
        has_form += f" and {value} >= '0001-01-01' and {value} {last}"
    return f"case when {has_form} then {value} end"


_LIMITS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


def _value_rules(column: Column) -> list[tuple[str, str]]:
    """(reason, condition that holds for a good, present value) for each rule of the column."""
    rules = _own_rules(column)
    if column.checked_reference:
        rules.append(("in_force" if column.in_force_on else "reference", identifier(f"known_{column.name}")))
    return rules


def _own_rules(column: Column) -> list[tuple[str, str]]:
    """Those that need nothing but the value."""
    value = identifier(column.name)
    rules: list[tuple[str, str]] = []
    bounds = [
        f"{value} {sign} {literal(column.options[name])}" for name, sign in _LIMITS.items() if name in column.options
    ]
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
    return rules


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


def _present(column: Column) -> str:
    """The text as it arrived, or null if it is a word that stands for an absent value."""
    raw = identifier(f"raw_{column.name}")
    if not column.null_words:
        return raw
    words = ", ".join(literal(word.lower()) for word in column.null_words)
    return f"(case when lower(trim({raw})) not in ({words}) then {raw} end)"


def _is_blank(column: Column) -> str:
    return f"coalesce(trim({_present(column)}), '') = ''"


def _is_filtered(contract: Contract) -> str:
    """The condition that a row has a value that nobody asked for; one that breaks the column's own rules is bad."""
    column = contract.filter_column
    assert column
    value = identifier(column.name)
    kept = ", ".join(literal(one) for one in contract.kept_values or [])
    conditions = [f"{value} not in ({kept})", *(f"({good})" for _, good in _own_rules(column))]
    return f"coalesce({' and '.join(conditions)}, false)"


def _raw(contract: Contract, name: str, period: Period) -> str:
    """The text of a column that the source does not have: computed from the others, or absent."""
    if name == contract.landing_day_column:
        return literal(period.start)
    if name == contract.occurrence_column:
        rest = ", ".join(f"trim({identifier(f'raw_{key}')})" for key in contract.key if key != name)
        return f"(row_number() over (partition by {rest} order by record::integer))::varchar"
    return "null::varchar"


def _good(contract: Contract, period: Period) -> str:
    """One condition for a good row, as cheap as it can be: nearly all rows are good."""
    conditions = []
    for column in contract.columns:
        value = identifier(column.name)
        rules = " and ".join(f"({good})" for _, good in _value_rules(column))
        if column.required:
            conditions.append(rules or f"{value} is not null")
        else:
            conditions.append(f"case when {value} is null then {_is_blank(column)} else {rules or 'true'} end")
    conditions += [good for _, good in (*_period_rules(contract, period), *_row_rules(contract))]
    # A missing value makes its condition, and so the whole, null. As a case each condition looks only at the rows that
    # met those before it, and no column of truth values is kept of any.
    return "case when " + "\n    and ".join(conditions) + " then true else false end"


def _reasons(contract: Contract, period: Period) -> list[str]:
    """For each rule an expression that gives its reason if a bad row breaks it."""
    found: list[tuple[str, str]] = []
    for column in contract.columns:
        value, blank = identifier(column.name), _is_blank(column)
        if column.required:
            found.append((f"required:{column.name}", blank))
        if _form(column) is not None:
            found.append((f"type:{column.name}", f"{value} is null and not ({blank})"))
        found += [(f"{rule}:{column.name}", f"not ({good})") for rule, good in _value_rules(column)]
    rules = (*_period_rules(contract, period), *_row_rules(contract))
    found += [(reason, f"not ({good})") for reason, good in rules]
    return [f"case when {condition} then {literal(reason)} end" for reason, condition in found]


def _may_be_header(contract: Contract, present: Callable[[str], bool], names: Collection[str]) -> str:
    """The condition that a row may be a header: two of its fields, or its only one, are among the `names`."""
    raws = [identifier(f"raw_{name}") for name in contract.names if present(name)]
    words = ", ".join(literal(name) for name in sorted(names))
    hits = " + ".join(f"coalesce(lower(trim({raw}, {literal(BLANKS)})) in ({words}), false)::integer" for raw in raws)
    condition = f"{hits} >= {min(2, len(raws))}"
    if any(_form(column) is not None and present(column.name) for column in contract.columns):
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
    With `header_names`, lower-case names of columns, `_may_be_header` says which rows may be a header.
    `present` tells which columns the source has. An absent column is computed, if the contract says how, else null
    throughout.
    """
    raws = [
        identifier(f"raw_{name}") if present(name) else f"{_raw(contract, name, period)} as {identifier(f'raw_{name}')}"
        for name in contract.names
    ]
    casts = [f"{_cast(column)} as {identifier(f'cast_{column.name}')}" for column in contract.columns]
    typed = [f"{_typed(column)} as {identifier(column.name)}" for column in contract.columns]
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
    filtered = f", {_is_filtered(contract)} as _is_filtered" if contract.filter_column else ""
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
  select *, {", ".join(casts)} from fields
),
typed as (
  select *, {", ".join(typed)} from casts
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
