"""What Waybill makes of each property of the Open Data Contract Standard, and the check of a document against that.

Every property of the standard, at every place, is one of three: *honoured* changes what Waybill does;
*documentation* informs readers; *refused* is an error that says what the property would mean and what to write
instead. A property that is in none of the three is unknown, and an error, too.

https://bitol-io.github.io/open-data-contract-standard/
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache, cached_property, reduce
from importlib import resources
from operator import getitem
from pathlib import Path
from typing import Any, Final, NamedTuple

Steps = tuple[str | int, ...]
"""Where in a document something is: the keys and positions that lead to it."""


class Problem(NamedTuple):
    """Something in a contract that is wrong."""

    steps: Steps
    text: str
    has_form: bool = True
    """Whether the document has the form of the standard nevertheless, so that its values can be looked at."""
    is_readable: bool = True
    """Whether the contract can be read nevertheless, so that what is wrong with it as a whole is found, too."""


def unreadable(problems: Iterable[Problem]) -> Iterator[Problem]:
    """The problems, as such that keep the contract from being read."""
    return (problem._replace(is_readable=False) for problem in problems)


class Refused(NamedTuple):
    """A property of the standard that Waybill does not honour."""

    meaning: str
    """What it would say."""
    instead: str
    """What to do or to write instead."""


@dataclass(frozen=True)
class Place:
    """The properties of one kind of object in a contract."""

    honoured: str = ""
    documentation: str = ""
    refused: Mapping[str, Refused] = field(default_factory=dict)
    nested: Mapping[str, str] = field(default_factory=dict)
    """The kind of object that a property holds, one or a list."""

    @cached_property
    def known(self) -> frozenset[str]:
        """The properties that may be written."""
        return frozenset((*self.honoured.split(), *self.documentation.split()))


_NO_CUSTOM = Refused(
    "something to another tool",
    "Remove it. Waybill reads custom properties of the schema object, of its columns and of their relationships.",
)
_SCHEDULE = Refused("when it runs", "Remove it. The DAG of the domain has the schedule.")
_STRUCTURE = Refused("what is inside a nested value", "Remove it. Declare one column for each value.")
_OTHER_NAME = Refused(
    "that the warehouse uses another name", "Remove it. Tables and columns have the names of the contract."
)
_FORMAT_OF_TEXT = Refused(
    "which kind of text the column holds",
    "Write a `pattern`, or the physicalType `uuid`, for which `format: uuid` is allowed.",
)
_TIMES = Refused("how instants are written", "Remove it. Instants are read in the forms of ISO 8601.")
_FORMAT_OF_DATE = Refused(
    "how dates are written",
    "Write the custom property `dateForms`; without it, and with `format: yyyy-MM-dd`, dates are like 2026-03-31.",
)
_ARGUMENT = Refused("what the metric counts", "Write a check of the type `sql`.")
_BETWEEN = Refused(
    "two limits at once", "Write two checks, with `mustBeGreaterOrEqualTo` and with `mustBeLessOrEqualTo`."
)
_BOUNDS = "minimum maximum exclusiveMinimum exclusiveMaximum"
_WITH_CUSTOM = {"customProperties": "custom property", "authoritativeDefinitions": "definition"}

PLACES: Mapping[str, Place] = {
    "contract": Place(
        honoured="apiVersion description domain kind schema slaProperties status version",
        documentation="authoritativeDefinitions context contractCreatedTs dataProduct id name price support tags team "
        "tenant",
        refused={
            "servers": Refused(
                "where the files are and how they are written (format, delimiter, encoding)",
                "Remove it. Waybill finds files by the layout of the raw bucket and reads CSV with commas, and JSON "
                "lines, in UTF-8.",
            ),
            "roles": Refused(
                "who may read the data", "Remove it. Waybill grants every table to the role `waybill_reader`."
            ),
            "slaDefaultElement": Refused(
                "what service levels are about", "Write the `element` at each of the slaProperties."
            ),
            "customProperties": Refused(
                "something to another tool",
                "Move Waybill's custom properties to the schema object, its columns or their relationships.",
            ),
        },
        nested={
            "authoritativeDefinitions": "definition",
            "context": "context",
            "description": "description",
            "price": "price",
            "schema": "table",
            "slaProperties": "service level",
            "support": "support",
            "team": "team",
        },
    ),
    "description": Place(
        honoured="purpose",
        documentation="authoritativeDefinitions limitations usage",
        refused={"customProperties": _NO_CUSTOM},
        nested={"authoritativeDefinitions": "definition"},
    ),
    "table": Place(
        honoured="customProperties dataGranularityDescription name physicalType properties quality",
        documentation="authoritativeDefinitions businessName context deprecated description id logicalType tags",
        refused={
            "physicalName": _OTHER_NAME,
            "relationships": Refused(
                "which table the rows refer to", "Write `relationships` at the column that refers."
            ),
            "synonyms": Refused(
                "other names of the table", "Remove it. Files are found by the name of the dataset alone."
            ),
        },
        nested={
            "authoritativeDefinitions": "definition",
            "context": "context",
            "customProperties": "custom property",
            "properties": "column",
            "quality": "check",
        },
    ),
    "column": Place(
        honoured="businessName classification customProperties description enum logicalType logicalTypeOptions name "
        "partitionKeyPosition partitioned physicalType primaryKey primaryKeyPosition quality relationships required "
        "synonyms unique",
        documentation="authoritativeDefinitions criticalDataElement deprecated examples id semanticType tags "
        "transformDescription",
        refused={
            "encryptedName": Refused(
                "that another column holds the value encrypted",
                "Write `classification: restricted`; then the value leaves the warehouse only as a pseudonym.",
            ),
            "items": _STRUCTURE,
            "map": _STRUCTURE,
            "physicalName": _OTHER_NAME,
            "properties": _STRUCTURE,
            "transformLogic": Refused(
                "how the value is computed",
                "Remove it. The SQL file of a derived table computes it; describe it in `transformDescription`.",
            ),
            "transformSourceObjects": Refused(
                "from which tables the value comes", "Remove it. Waybill finds the tables in the SQL file."
            ),
        },
        nested={
            **_WITH_CUSTOM,
            "enum": "allowed value",
            "quality": "check",
            "relationships": "relationship",
            "synonyms": "synonym",
        },
    ),
    "options of the logicalType string": Place(
        honoured="format maxLength minLength pattern",
    ),
    "options of the logicalType date": Place(honoured=f"format {_BOUNDS}"),
    "options of the logicalType timestamp": Place(
        honoured=f"defaultTimezone timezone {_BOUNDS}", refused={"format": _TIMES}
    ),
    "options of the logicalType integer": Place(
        honoured=f"format {_BOUNDS}",
        refused={
            "multipleOf": Refused(
                "that every value is a multiple of a number",
                "Write a row rule as a custom property of the schema object, like `{property: rowRules, value: "
                "[{name: quantity_dozens, expression: 'quantity % 12 = 0'}]}`.",
            )
        },
    ),
    "options of the logicalType number": Place(
        honoured=_BOUNDS,
        refused={
            "format": Refused(
                "that numbers are binary floating point", "Remove it. The physicalType `numeric(p,s)` is exact."
            ),
            "multipleOf": Refused(
                "that every value is a multiple of a number",
                "Choose the digits after the point by the physicalType `numeric(p,s)`, or write a row rule as a custom "
                "property of the schema object.",
            ),
        },
    ),
    "options of the logicalType boolean": Place(),
    "allowed value": Place(
        honoured="value",
        documentation="authoritativeDefinitions description id label tags",
        refused={"customProperties": _NO_CUSTOM},
        nested={"authoritativeDefinitions": "definition"},
    ),
    "synonym": Place(
        honoured="synonym",
        documentation="description id locale source",
        refused={
            "customProperties": _NO_CUSTOM,
            "status": Refused("whether the synonym is in use", "Remove it. Every synonym is accepted in a header."),
        },
    ),
    "relationship": Place(
        honoured="customProperties to type",
        documentation="id",
        refused={
            "from": Refused("which column refers", "Remove it. The column that has the relationship refers."),
        },
        nested={"customProperties": "custom property"},
    ),
    "check": Place(
        honoured="arguments metric mustBe mustBeGreaterOrEqualTo mustBeGreaterThan mustBeLessOrEqualTo mustBeLessThan "
        "mustNotBe name query severity type unit description",
        documentation="authoritativeDefinitions businessImpact dimension id method tags",
        refused={
            "customProperties": _NO_CUSTOM,
            "engine": Refused("that another engine runs the check", "Write a check of the type `sql`."),
            "implementation": Refused("how another engine runs the check", "Write a check of the type `sql`."),
            "mustBeBetween": _BETWEEN,
            "mustNotBeBetween": Refused("what lies outside two limits", "Write a check of the type `sql`."),
            "rule": Refused("what the check counts", "Write `metric`."),
            "schedule": Refused("when the check runs", "Remove it. Checks run with every load or build."),
            "scheduler": Refused("what starts the check", "Remove it. Checks run with every load or build."),
        },
        nested={"arguments": "arguments of a check", "authoritativeDefinitions": "definition"},
    ),
    "arguments of a check": Place(
        honoured="properties",
        refused={"missingValues": _ARGUMENT, "pattern": _ARGUMENT, "validValues": _ARGUMENT},
    ),
    "service level": Place(
        honoured="element property unit value",
        documentation="authoritativeDefinitions description driver id",
        refused={
            "customProperties": _NO_CUSTOM,
            "schedule": _SCHEDULE,
            "scheduler": _SCHEDULE,
            "valueExt": Refused("a second limit", "Remove it. A service level has one `value`."),
        },
        nested={"authoritativeDefinitions": "definition"},
    ),
    "custom property": Place(
        honoured="property value",
        documentation="description id",
        refused={
            "vendor": Refused(
                "that the property is another tool's", "Remove it. Waybill reads all custom properties as its own."
            )
        },
    ),
    "definition": Place(documentation="description id type url"),
    "context": Place(
        documentation="constraints instructions verifiedStatements",
        nested={"constraints": "statement", "verifiedStatements": "statement"},
    ),
    "statement": Place(
        documentation="answer authoritativeDefinitions constraint id question tags",
        refused={"customProperties": _NO_CUSTOM},
        nested={"authoritativeDefinitions": "definition"},
    ),
    "price": Place(documentation="id priceAmount priceCurrency priceUnit"),
    "support": Place(
        documentation="channel description id invitationUrl scope tool url", refused={"customProperties": _NO_CUSTOM}
    ),
    "team": Place(
        documentation="authoritativeDefinitions description id members name tags",
        refused={"customProperties": _NO_CUSTOM},
        nested={"authoritativeDefinitions": "definition", "members": "member"},
    ),
    "member": Place(
        documentation="authoritativeDefinitions dateIn dateOut description id name replacedByUsername role tags "
        "username",
        refused={"customProperties": _NO_CUSTOM},
        nested={"authoritativeDefinitions": "definition"},
    ),
}
"""Each kind of object of the standard, with its properties."""
LOGICAL_TYPES: Final = ("boolean", "date", "integer", "number", "string", "timestamp")
"""Those that Waybill has; the standard has others for nested values, vectors and times of the day."""
_OTHER_LOGICAL_TYPES: Final = ("array", "map", "object", "time", "vector")
_ARTICLES: Final = {
    "allowed value": "an",
    **dict.fromkeys(
        ("check", "column", "custom property", "definition", "member", "relationship", "service level", "statement"),
        "a",
    ),
}


def place_of(kind: str, name: str, parent: Mapping[str, Any], value: object) -> str | None:
    """The kind of object that a property of an object of `kind` holds; None if it holds none that is known."""
    if name == "logicalTypeOptions":
        options = f"options of the logicalType {parent.get('logicalType')}"
        return options if options in PLACES else None
    if name == "team" and isinstance(value, list):  # the form of version 3.0
        return "member"
    return PLACES[kind].nested.get(name)


def likeliest(name: str, known: frozenset[str] | set[str]) -> str:
    """`did you mean x?` if a name is near to a known one, else the known names; as the end of a sentence."""
    if near := get_close_matches(name, sorted(known), n=1, cutoff=0.6):
        return f"did you mean `{near[0]}`?"
    if same := [one for one in sorted(known) if one.lower() == name.lower()]:
        return f"did you mean `{same[0]}`?"
    return f"known are {', '.join(sorted(known))}" if known else "there are none"


def unread_properties(document: Mapping[str, Any], kind: str = "contract", steps: Steps = ()) -> Iterator[Problem]:
    """Every property of a document that is refused or unknown."""
    place = PLACES[kind]
    for name, value in document.items():
        here = (*steps, name)
        if kind == "column" and name == "logicalType" and value in _OTHER_LOGICAL_TYPES:
            yield Problem(here, f"the logicalType {value!r} is not honoured: write one of {', '.join(LOGICAL_TYPES)}")
            continue
        if refused := place.refused.get(name):
            yield Problem(here, f"`{name}` is not honoured: it would say {refused.meaning}. {refused.instead}")
        elif name not in place.known:
            text = f"unknown property `{name}` of {_ARTICLES.get(kind, 'the')} {kind}: {likeliest(name, place.known)}"
            yield Problem(here, text, is_readable=False)
        elif held := place_of(kind, name, document, value):
            items = enumerate(value) if isinstance(value, list) else [(None, value)]
            for position, item in items:
                if isinstance(item, dict):
                    yield from unread_properties(item, held, here if position is None else (*here, position))


@cache
def _validator() -> Any:
    import jsonschema_rs

    return jsonschema_rs.validator_for(schema())


def schema() -> Any:
    """The standard's own JSON schema."""
    return json.loads(resources.files("open_data_contract_standard").joinpath("schema.json").read_text("utf-8"))


def problems_of_form(document: Any) -> list[Problem]:
    """What the standard and Waybill say against the properties of a document, whatever their values mean."""
    if not isinstance(document, dict):
        return [*departures(document)]
    unread = [*unread_properties(document)]
    # What is refused needs no form; and what another logical type would need is nobody's question.
    refused = [problem.steps[:-1] if problem.steps[-1] == "logicalType" else problem.steps for problem in unread]
    return unread + [
        problem
        for problem in departures(document)
        if not any(problem.steps[: len(steps)] == steps for steps in refused)
    ]


def departures(document: Any) -> Iterator[Problem]:
    """What the standard's own JSON schema says against a document, but for names of properties and for checks.

    `unread_properties` finds the former with what was probably meant, and the reader of checks the latter.
    """
    seen = set()
    try:
        errors = [*_validator().iter_errors(document)]
    except ValueError as refusal:  # an alias of YAML within itself
        yield Problem((), f"cannot be checked: {refusal}", has_form=False, is_readable=False)
        return
    for error in errors:
        steps = tuple(error.instance_path)
        if error.kind.name in ("additionalProperties", "unevaluatedProperties"):
            continue
        if error.kind.name == "oneOf" and steps[-2:-1] == ("quality",):
            continue
        problem = Problem(steps, _sentence(error, reduce(getitem, steps, document)), has_form=False, is_readable=False)
        if problem not in seen:
            seen.add(problem)
            yield problem


def _sentence(error: Any, value: Any) -> str:
    """A message of the JSON schema library about a value as a sentence."""
    kind = error.kind
    if kind.name == "enum":
        return f"{value!r} is not one of {', '.join(str(option) for option in kind.options)}"
    if kind.name == "required":
        return f"lacks `{kind.property}`, which the standard requires"
    if kind.name == "type":
        return f"must be of the type {' or '.join(kind.types)}, not {str(value)[:80]!r}"
    if kind.name in ("oneOf", "anyOf"):
        return f"{str(value)[:80]!r} does not have a form that the standard allows"
    return str(error.message)[:200]


def in_words(path: Path, document: Any, problems: Sequence[Problem]) -> str:
    """All problems of a file, each on a line with its place if there are several."""
    lines = [f"{_place(document, problem.steps)}: {problem.text}" for problem in problems]
    if len(lines) == 1:
        return f"{path}: {lines[0]}"
    return f"{path}: {len(lines)} problems:" + "".join(f"\n  {line}" for line in lines)


def _place(document: Any, steps: Steps) -> str:
    """Where in the document a problem is, with the column's name: `$.schema[0].properties[2].required (order_date)`."""
    place = "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    if steps[:1] != ("schema",) or steps[2:3] != ("properties",) or len(steps) < 4:
        return place
    column = document["schema"][steps[1]]["properties"][steps[3]]
    name = column.get("name") if isinstance(column, dict) else None
    return f"{place} ({name})" if name else place
