"""Whether events agree with the specification of OpenLineage.

Its JSON schemas are in no package. The classes of `openlineage-python` are generated from them: names, types, required
fields, and the address of the schema of each facet. Events are checked against these classes.
"""

from __future__ import annotations

import importlib
import pkgutil
import types
from datetime import datetime
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints
from urllib.parse import urlparse
from uuid import UUID

import attr
from openlineage.client import event_v2, generated
from openlineage.client.generated import base

HIDDEN = ("_producer", "_schemaURL", "_deleted")


@cache
def facets() -> dict[str, type]:
    """Return the class of each facet by the address of its schema."""
    for module in pkgutil.iter_modules(generated.__path__):
        importlib.import_module(f"{generated.__name__}.{module.name}")
    found, waiting = dict[str, type](), [base.BaseFacet]
    while waiting:
        one = waiting.pop()
        found[one._get_schema()] = one
        waiting += one.__subclasses__()
    return found


def faults(event: dict[str, Any]) -> list[str]:
    """Return what is wrong with an event, with the place of each fault."""
    found = _object(event, event_v2.RunEvent, "event")
    if event.get("eventType") not in [one.value for one in event_v2.RunState]:
        found.append("event.eventType is unknown")
    if datetime.fromisoformat(event["eventTime"]).tzinfo is None:
        found.append("event.eventTime has no time zone")
    if not urlparse(event["producer"]).scheme:
        found.append("event.producer is no URI")
    UUID(event["run"]["runId"])
    return found


def _object(value: Any, wanted: type, place: str) -> list[str]:
    """Return the faults of an object that a class of the client describes."""
    if not isinstance(value, dict):
        return [f"{place} is no object"]
    hints = get_type_hints(wanted)
    fields = {one.name: one for one in attr.fields(wanted)}
    found = [
        f"{place}.{name} is missing"
        for name, one in fields.items()
        if one.default is attr.NOTHING and one.init and name not in value
    ]
    for name, one in value.items():
        here = f"{place}.{name}"
        if name in ("facets", "inputFacets", "outputFacets"):
            for facet, content in one.items():
                found += _facet(content, f"{here}.{facet}")
        elif name in fields:
            found += _value(one, hints[name], here)
        elif name not in (*HIDDEN, "schemaURL"):
            found.append(f"{here} is not in the specification")
    return found


def _facet(value: dict[str, Any], place: str) -> list[str]:
    found = [f"{place}.{name} is no URI" for name in HIDDEN[:2] if not urlparse(value.get(name, "")).scheme]
    if value.get("_schemaURL") not in facets():
        return [*found, f"{place} has the unknown schema {value.get('_schemaURL')}"]
    return found + _object(value, facets()[value["_schemaURL"]], place)


def _value(value: Any, wanted: Any, place: str) -> list[str]:
    """Return the faults of a value of this type."""
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        return min((_value(value, one, place) for one in inner), key=len)
    if origin is list and isinstance(value, list):
        return [fault for number, one in enumerate(value) for fault in _value(one, inner[0], f"{place}[{number}]")]
    if origin is dict and isinstance(value, dict):
        return [fault for name, one in value.items() for fault in _value(one, inner[1], f"{place}.{name}")]
    if wanted is not Any and attr.has(wanted):
        return _object(value, wanted, place)
    kind = object if wanted is Any else str if wanted is event_v2.RunState else origin or wanted
    is_right = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
    return [] if is_right else [f"{place} is {type(value).__name__}, not {kind.__name__}"]
