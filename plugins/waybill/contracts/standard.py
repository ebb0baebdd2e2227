"""Declare the supported properties of the Open Data Contract Standard, and check a document against them.

Every property of the standard, at every place, belongs to one of three groups. *Supported* properties change what
Waybill does. *Documentation* informs readers. *Unsupported* properties are errors; the message says what the property
specifies and what to write instead. Any other property is unknown, which is an error, too.

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
"""A place in a document: the keys and positions that lead to it."""


class Problem(NamedTuple):
    """A problem in a contract."""

    steps: Steps
    text: str
    has_form: bool = True
    """Whether the document is still valid by the JSON schema, so that its values can be checked."""
    is_readable: bool = True
    """Whether the contract can still be read, so that its parts can be compared."""


def unreadable(problems: Iterable[Problem]) -> Iterator[Problem]:
    """Return the problems, marked so that the contract is not read."""
    return (problem._replace(is_readable=False) for problem in problems)


class Unsupported(NamedTuple):
    """A property of the standard that Waybill does not support."""

    meaning: str
    """What it specifies."""
    instead: str
    """What to write or do instead."""


@dataclass(frozen=True)
class Place:
    """The properties of one kind of object in a contract."""

    supported: str = ""
    documentation: str = ""
    unsupported: Mapping[str, Unsupported] = field(default_factory=dict)
    nested: Mapping[str, str] = field(default_factory=dict)
    """The kind of object, single or in a list, that a property contains."""

    @cached_property
    def known(self) -> frozenset[str]:
        """Return the allowed properties."""
        return frozenset((*self.supported.split(), *self.documentation.split()))


_NO_CUSTOM = Unsupported(
    "something to another tool",
    "Remove it. Waybill reads custom properties of the server, of the schema object, of its columns and of their "
    "relationships.",
)
_SCHEDULE = Unsupported("when it runs", "Remove it. The DAG of the domain has the schedule.")
_STRUCTURE = Unsupported(
    "the structure of a nested value",
    "Remove it. Declare one column for each value, or one column of the physicalType `jsonb`.",
)
_OTHER_NAME = Unsupported(
    "another name in the warehouse", "Remove it. Tables and columns have the names of the contract."
)
_FORMAT_OF_TEXT = Unsupported(
    "the kind of text in the column",
    "Write a `pattern`, or the physicalType `uuid`, for which `format: uuid` is allowed.",
)
_NO_ZONE = Unsupported("a time zone", "Remove it. A time of day has none.")
_ARGUMENT = Unsupported("what the metric counts", "Write a check of the type `sql`.")
_BETWEEN = Unsupported(
    "two limits at once", "Write two checks, with `mustBeGreaterOrEqualTo` and with `mustBeLessOrEqualTo`."
)
_LOCATION = Unsupported(
    "where the files are", "Remove it, with `type: custom`. Waybill finds files by the layout of the raw bucket."
)
_OTHER_SERVER = Unsupported("a server of another kind", "Remove it. The server of a contract describes its files.")
_OF_OTHER_SERVERS = (
    "account catalog catalogUrl database dataset endpointUrl host namespace port project region regionName schema "
    "serviceName stagingDir stream warehouse workgroup"
)
_OF_COLUMNS = (
    "classification customProperties encryptedName enum items logicalTypeOptions map partitionKeyPosition partitioned "
    "physicalName primaryKey primaryKeyPosition properties quality relationships required synonyms transformLogic "
    "transformSourceObjects unique"
)
"""Properties of a column that its items have in the standard, too."""
_BOUNDS = "minimum maximum exclusiveMinimum exclusiveMaximum"
_WITH_CUSTOM = {"customProperties": "custom property", "authoritativeDefinitions": "definition"}

PLACES: Mapping[str, Place] = {
    "contract": Place(
        supported="apiVersion description domain kind schema servers slaProperties status version",
        documentation="authoritativeDefinitions context contractCreatedTs dataProduct id name price support tags team "
        "tenant",
        unsupported={
            "roles": Unsupported(
                "who may read the data", "Remove it. Waybill grants every table to the role `waybill_reader`."
            ),
            "slaDefaultElement": Unsupported(
                "the element of service levels", "Write the `element` at each of the slaProperties."
            ),
            "customProperties": Unsupported(
                "something to another tool",
                "Move Waybill's custom properties to the server, the schema object, a column or a relationship.",
            ),
        },
        nested={
            "authoritativeDefinitions": "definition",
            "context": "context",
            "description": "description",
            "price": "price",
            "schema": "table",
            "servers": "server",
            "slaProperties": "service level",
            "support": "support",
            "team": "team",
        },
    ),
    "description": Place(
        supported="purpose",
        documentation="authoritativeDefinitions limitations usage",
        unsupported={"customProperties": _NO_CUSTOM},
        nested={"authoritativeDefinitions": "definition"},
    ),
    "server": Place(
        supported="customProperties delimiter encoding format server type",
        documentation="description environment id",
        unsupported={
            **dict.fromkeys(_OF_OTHER_SERVERS.split(), _OTHER_SERVER),
            **dict.fromkeys(("location", "path"), _LOCATION),
            "roles": Unsupported("who may read the files", "Remove it. The policies of the bucket say it."),
        },
        nested={"customProperties": "custom property"},
    ),
    "table": Place(
        supported="customProperties dataGranularityDescription name physicalType properties quality",
        documentation="authoritativeDefinitions businessName context deprecated description id logicalType tags",
        unsupported={
            "physicalName": _OTHER_NAME,
            "relationships": Unsupported(
                "which table the rows refer to", "Write `relationships` at the column that refers."
            ),
            "synonyms": Unsupported(
                "other names of the table", "Remove it. Files are found only by the name of the dataset."
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
        supported="businessName classification customProperties description enum items logicalType logicalTypeOptions "
        "name partitionKeyPosition partitioned physicalType primaryKey primaryKeyPosition quality relationships "
        "required synonyms unique",
        documentation="authoritativeDefinitions criticalDataElement deprecated examples id semanticType tags "
        "transformDescription",
        unsupported={
            "encryptedName": Unsupported(
                "the column with the encrypted value",
                "Write `classification: restricted`. Exports then replace the value by a pseudonym.",
            ),
            "map": _STRUCTURE,
            "physicalName": _OTHER_NAME,
            "properties": _STRUCTURE,
            "transformLogic": Unsupported(
                "how the value is computed",
                "Remove it. The SQL file of a derived table computes it. Describe it in `transformDescription`.",
            ),
            "transformSourceObjects": Unsupported(
                "from which tables the value comes", "Remove it. Waybill finds the tables in the SQL file."
            ),
        },
        nested={
            **_WITH_CUSTOM,
            "enum": "allowed value",
            "items": "items of an array",
            "quality": "check",
            "relationships": "relationship",
            "synonyms": "synonym",
        },
    ),
    "options of the logicalType string": Place(
        supported="format maxLength minLength pattern",
    ),
    "options of the logicalType date": Place(supported=f"format {_BOUNDS}"),
    "options of the logicalType time": Place(
        supported=f"format {_BOUNDS}", unsupported={"defaultTimezone": _NO_ZONE, "timezone": _NO_ZONE}
    ),
    "options of the logicalType timestamp": Place(supported=f"defaultTimezone format timezone {_BOUNDS}"),
    "options of the logicalType integer": Place(
        supported=f"format {_BOUNDS}",
        unsupported={
            "multipleOf": Unsupported(
                "a number of which every value is a multiple",
                "Write a row rule as a custom property of the schema object, like `{property: rowRules, value: "
                "[{name: quantity_dozens, expression: 'quantity % 12 = 0'}]}`.",
            )
        },
    ),
    "options of the logicalType number": Place(
        supported=f"format {_BOUNDS}",
        unsupported={
            "multipleOf": Unsupported(
                "a number of which every value is a multiple",
                "Choose the digits after the point by the physicalType `numeric(p,s)`, or write a row rule as a custom "
                "property of the schema object.",
            ),
        },
    ),
    "options of the logicalType boolean": Place(),
    "options of the logicalType array": Place(
        supported="maxItems minItems",
        unsupported={
            "uniqueItems": Unsupported(
                "whether the items are distinct",
                "Write a row rule as a custom property of the schema object, like `{property: rowRules, value: "
                "[{name: distinct_tags, expression: 'len(list_distinct(tags)) = len(tags)'}]}`.",
            )
        },
    ),
    "options of the logicalType object": Place(
        unsupported=dict.fromkeys(
            ("maxProperties", "minProperties", "required"),
            Unsupported(
                "the members of the object",
                "Write a row rule as a custom property of the schema object, like `{property: rowRules, value: "
                "[{name: has_city, expression: \"address ->> 'city' <> ''\"}]}`.",
            ),
        )
    ),
    "items of an array": Place(
        supported="logicalType physicalType",
        documentation="authoritativeDefinitions businessName criticalDataElement deprecated description examples id "
        "name semanticType tags transformDescription",
        unsupported=dict.fromkeys(
            _OF_COLUMNS.split(),
            Unsupported("a property of each item", "Write it at the column, or write a row rule."),
        ),
        nested={"authoritativeDefinitions": "definition"},
    ),
    "allowed value": Place(
        supported="value",
        documentation="authoritativeDefinitions description id label tags",
        unsupported={"customProperties": _NO_CUSTOM},
        nested={"authoritativeDefinitions": "definition"},
    ),
    "synonym": Place(
        supported="synonym",
        documentation="description id locale source",
        unsupported={
            "customProperties": _NO_CUSTOM,
            "status": Unsupported("whether the synonym is in use", "Remove it. Every synonym is accepted in a header."),
        },
    ),
    "relationship": Place(
        supported="customProperties to type",
        documentation="id",
        unsupported={
            "from": Unsupported("which column refers", "Remove it. The column with the relationship refers."),
        },
        nested={"customProperties": "custom property"},
    ),
    "check": Place(
        supported="arguments metric mustBe mustBeGreaterOrEqualTo mustBeGreaterThan mustBeLessOrEqualTo mustBeLessThan "
        "mustNotBe name query severity type unit description",
        documentation="authoritativeDefinitions businessImpact dimension id method tags",
        unsupported={
            "customProperties": _NO_CUSTOM,
            "engine": Unsupported("another engine for the check", "Write a check of the type `sql`."),
            "implementation": Unsupported("how another engine runs the check", "Write a check of the type `sql`."),
            "mustBeBetween": _BETWEEN,
            "mustNotBeBetween": Unsupported("two excluded limits", "Write a check of the type `sql`."),
            "rule": Unsupported("what the check counts", "Write `metric`."),
            "schedule": Unsupported("when the check runs", "Remove it. Checks run with every load or build."),
            "scheduler": Unsupported("what starts the check", "Remove it. Checks run with every load or build."),
        },
        nested={"arguments": "arguments of a check", "authoritativeDefinitions": "definition"},
    ),
    "arguments of a check": Place(
        supported="properties",
        unsupported={"missingValues": _ARGUMENT, "pattern": _ARGUMENT, "validValues": _ARGUMENT},
    ),
    "service level": Place(
        supported="element property unit value",
        documentation="authoritativeDefinitions description driver id",
        unsupported={
            "customProperties": _NO_CUSTOM,
            "schedule": _SCHEDULE,
            "scheduler": _SCHEDULE,
            "valueExt": Unsupported("a second limit", "Remove it. A service level has one `value`."),
        },
        nested={"authoritativeDefinitions": "definition"},
    ),
    "custom property": Place(
        supported="property value",
        documentation="description id",
        unsupported={
            "vendor": Unsupported(
                "another tool that reads the property", "Remove it. Waybill reads all custom properties."
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
        unsupported={"customProperties": _NO_CUSTOM},
        nested={"authoritativeDefinitions": "definition"},
    ),
    "price": Place(documentation="id priceAmount priceCurrency priceUnit"),
    "support": Place(
        documentation="channel description id invitationUrl scope tool url",
        unsupported={"customProperties": _NO_CUSTOM},
    ),
    "team": Place(
        documentation="authoritativeDefinitions description id members name tags",
        unsupported={"customProperties": _NO_CUSTOM},
        nested={"authoritativeDefinitions": "definition", "members": "member"},
    ),
    "member": Place(
        documentation="authoritativeDefinitions dateIn dateOut description id name replacedByUsername role tags "
        "username",
        unsupported={"customProperties": _NO_CUSTOM},
        nested={"authoritativeDefinitions": "definition"},
    ),
}
"""The properties of each kind of object of the standard."""
LOGICAL_TYPES: Final = ("array", "boolean", "date", "integer", "number", "object", "string", "time", "timestamp")
_OTHER_LOGICAL_TYPES: Final = ("map", "vector")
_ARTICLES: Final = {
    "allowed value": "an",
    **dict.fromkeys(
        (
            "check",
            "column",
            "custom property",
            "definition",
            "member",
            "relationship",
            "server",
            "service level",
            "statement",
        ),
        "a",
    ),
}


def place_of(kind: str, name: str, parent: Mapping[str, Any], value: object) -> str | None:
    """Return the kind of object that a property of an object of `kind` contains; None if it contains none."""
    if name == "logicalTypeOptions":
        options = f"options of the logicalType {parent.get('logicalType')}"
        return options if options in PLACES else None
    if name == "team" and isinstance(value, list):  # the form of version 3.0
        return "member"
    return PLACES[kind].nested.get(name)


def likeliest(name: str, known: frozenset[str] | set[str]) -> str:
    """Return `did you mean x?` for a name similar to a known one, else the list of known names.

    In names such as `schema.table`, the tables must be similar, too. The list has those of the schema if it is known.
    """
    schema, dot, table = name.rpartition(".")
    for near in get_close_matches(name, sorted(known), cutoff=0.6):
        if get_close_matches(table, [near.rpartition(".")[2]], cutoff=0.6):
            return f"did you mean `{near}`?"
    if same := [one for one in sorted(known) if one.lower() == name.lower()]:
        return f"did you mean `{same[0]}`?"
    of_schema = {one for one in known if one.startswith(f"{schema}{dot}")}
    return f"known are {', '.join(sorted(of_schema or known))}" if known else "there are none"


def unread_properties(document: Mapping[str, Any], kind: str = "contract", steps: Steps = ()) -> Iterator[Problem]:
    """Yield a problem for every unsupported or unknown property of a document."""
    place = PLACES[kind]
    for name, value in document.items():
        here = (*steps, name)
        if kind == "column" and name == "logicalType" and value in _OTHER_LOGICAL_TYPES:
            yield Problem(here, f"the logicalType {value!r} is not supported: write one of {', '.join(LOGICAL_TYPES)}")
            continue
        if unsupported := place.unsupported.get(name):
            yield Problem(here, f"`{name}` is not supported: it specifies {unsupported.meaning}. {unsupported.instead}")
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
    """Return the JSON schema of the standard."""
    return json.loads(resources.files("open_data_contract_standard").joinpath("schema.json").read_text("utf-8"))


def problems_of_form(document: Any) -> list[Problem]:
    """Return the problems of the properties of a document by the JSON schema and by their support in Waybill."""
    if not isinstance(document, dict):
        return [*departures(document)]
    unread = [*unread_properties(document)]
    # The values of unsupported properties are not checked, and neither are columns of an unsupported logicalType.
    ignored = [problem.steps[:-1] if problem.steps[-1] == "logicalType" else problem.steps for problem in unread]
    return unread + [
        problem
        for problem in departures(document)
        if not any(problem.steps[: len(steps)] == steps for steps in ignored)
    ]


def departures(document: Any) -> Iterator[Problem]:
    """Yield the violations of the JSON schema, except unknown properties and checks.

    `unread_properties` reports unknown properties with suggestions, and the `semantics` module reports checks.
    """
    seen = set()
    try:
        errors = [*_validator().iter_errors(document)]
    except ValueError as cause:  # a YAML alias within itself
        yield Problem((), f"cannot be checked: {cause}", has_form=False, is_readable=False)
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
    """Return a sentence for an error of the JSON schema library about a value."""
    kind = error.kind
    if kind.name == "enum":
        return f"{value!r} is not one of {', '.join(str(option) for option in kind.options)}"
    if kind.name == "required":
        return f"must have `{kind.property}`, which the standard requires"
    if kind.name == "type":
        return f"must be of the type {' or '.join(kind.types)}, not {str(value)[:80]!r}"
    if kind.name in ("oneOf", "anyOf"):
        return f"{str(value)[:80]!r} does not match any form that the standard allows"
    return str(error.message)[:200]


def in_words(path: Path, document: Any, problems: Sequence[Problem]) -> str:
    """Return a message with all problems of a file and their places, one per line."""
    lines = [f"{_place(document, problem.steps)}: {problem.text}" for problem in problems]
    if len(lines) == 1:
        return f"{path}: {lines[0]}"
    return f"{path}: {len(lines)} problems:" + "".join(f"\n  {line}" for line in lines)


def _place(document: Any, steps: Steps) -> str:
    """Return a place with the column's name, for example `$.schema[0].properties[2].required (order_date)`."""
    place = "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    if steps[:1] != ("schema",) or steps[2:3] != ("properties",) or len(steps) < 4:
        return place
    column = document["schema"][steps[1]]["properties"][steps[3]]
    name = column.get("name") if isinstance(column, dict) else None
    return f"{place} ({name})" if name else place
