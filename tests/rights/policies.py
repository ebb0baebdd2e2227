"""Compare the calls of AWS that tests record with the policies that Terraform gives to the application."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from string import Template
from typing import Any

import yaml

from rights.calls import ACCOUNT, BUCKETS, NAME, QUEUE, REGION, SETTINGS, TOPIC, Request
from waybill.contracts.locations import CATALOG_DATABASE
from waybill.settings import PROJECT_ROOT

MODULES = PROJECT_ROOT / "terraform" / "modules"
EXCEPTIONS = PROJECT_ROOT / "terraform" / "rights.yaml"
VALUES = {
    "name": NAME,
    "account_id": ACCOUNT,
    "region": REGION,
    **{bucket: f"arn:aws:s3:::{bucket}" for bucket in BUCKETS},
    "connections_prefix": f"{NAME}/airflow/connections",
    "settings_secret_name": SETTINGS,
    "output_role_arn": f"arn:aws:iam::{ACCOUNT}:role/{NAME}-output-writer",
    "landed_queue_arns": json.dumps([QUEUE]),
    "alerts_topic_arn": TOPIC,
    "metrics_namespace": "Waybill",
    "catalog_database": CATALOG_DATABASE,
}
Statement = Mapping[str, Any]


def policy(module: str, name: str, values: Mapping[str, str] = VALUES) -> list[Statement]:
    """Return the statements of a policy file of a Terraform module."""
    text = (MODULES / module / "policies" / f"{name}.json.tftpl").read_text()
    statements: list[Statement] = json.loads(Template(text).substitute(values))["Statement"]
    return statements


@cache
def granted() -> list[Statement]:
    """Return the statements that grant rights to the application."""
    return [*policy("security", "read-input"), *policy("security", "write-output"), *policy("airflow", "application")]


@cache
def boundary() -> list[Statement]:
    """Return the statements that bound the rights of all roles."""
    return policy("security", "boundary")


def exceptions() -> dict[str, dict[str, str]]:
    """Return the reasons for actions that are never called, and for calls of commands that are not allowed."""
    found: dict[str, dict[str, str]] = yaml.safe_load(EXCEPTIONS.read_text())
    return found


def problems(calls: Collection[Request], *, complete: bool) -> Iterator[str]:
    """Yield each disagreement of calls, policies and exceptions.

    `complete` tells that all tests ran: then each allowed action must be called, or have a reason.
    """
    reasons, needed = exceptions(), set()
    for call in sorted(calls, key=str):
        if not is_allowed(call):
            needed.add(call.action)
            if not (call.command and call.action in reasons["commands"]):
                yield f"{call.action} is called and not allowed on {' or '.join(call.resources)} {dict(call.context)}"
    if complete:
        called = {call.action for call in calls if is_allowed(call)}
        uncalled = {action for statement in granted() for action in listed(statement["Action"])} - called
        for action in sorted(uncalled - reasons["uncalled"].keys()):
            yield f"{action} is allowed and never called: remove it, or give a reason in {EXCEPTIONS.name}"
        for action in sorted(reasons["uncalled"].keys() - uncalled):
            yield f"{action} is called or not allowed: remove it from `uncalled` in {EXCEPTIONS.name}"
        for action in sorted(reasons["commands"].keys() - needed):
            yield f"{action}: no command needs it. Remove it from `commands` in {EXCEPTIONS.name}"


def is_allowed(call: Request) -> bool:
    """Return whether the policies and the boundary allow a call on one of its resources."""
    return any(
        _effects(granted(), call, resource) == {"Allow"} and _effects(boundary(), call, resource) == {"Allow"}
        for resource in call.resources
    )


def _effects(statements: Iterable[Statement], call: Request, resource: str) -> set[str]:
    """Return the effects of the statements that match."""
    context = {"aws:ResourceAccount": ACCOUNT, **dict(call.context)}
    return {
        statement["Effect"]
        for statement in statements
        if any(_matches(pattern.lower(), call.action.lower()) for pattern in listed(statement["Action"]))
        and any(_matches(pattern, resource) for pattern in listed(statement["Resource"]))
        and all(_holds(*condition, context) for condition in statement.get("Condition", {}).items())
    }


def _holds(operator: str, wanted: Mapping[str, str | list[str]], context: Mapping[str, str]) -> bool:
    """Return whether a condition is met. Raises KeyError for an operator that is not known here."""
    equal = {"StringEquals": True, "ForAnyValue:StringEquals": True, "StringNotEquals": False}[operator]
    return all((context.get(key) in listed(values)) is equal for key, values in wanted.items())


def _matches(pattern: str, text: str) -> bool:
    return fnmatchcase(text, re.sub(r"\[", "[[]", pattern))


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
