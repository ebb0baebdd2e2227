"""Compare the calls of AWS that tests record with the policies that Terraform gives to the role of the caller."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from string import Template
from typing import Any

import yaml

from rights.calls import (
    ACCOUNT,
    AIRFLOW,
    APPLICATION,
    BUCKETS,
    CONSUMER,
    DEAD_LETTERS,
    JOB,
    NAME,
    PERSON,
    QUEUE,
    REGION,
    SECRETS,
    SETTINGS,
    SPARK_ROLE,
    STREAM,
    TOPIC,
    WRITER,
    Request,
)
from waybill.settings import PROJECT_ROOT, Settings

MODULES = PROJECT_ROOT / "terraform" / "modules"
EXCEPTIONS = PROJECT_ROOT / "terraform" / "rights.yaml"
VALUES = {
    "name": NAME,
    "account_id": ACCOUNT,
    "region": REGION,
    **{bucket: f"arn:aws:s3:::{bucket}" for bucket in BUCKETS},
    "connections_prefix": f"{NAME}/airflow/connections",
    "settings_secret_name": SETTINGS,
    "airflow_secret_name": SECRETS["airflow"],
    "master_secret_arns": json.dumps([f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{SECRETS['admin']}-AbCdEf"]),
    "job_arn": JOB,
    "application_arn": APPLICATION,
    "spark_role_arn": SPARK_ROLE,
    "stream_arn": STREAM,
    "archive": "arn:aws:s3:::raw/raw/",
    "output_role_arn": f"arn:aws:iam::{ACCOUNT}:role/{NAME}-output-writer",
    "landed_queue_arns": json.dumps([QUEUE]),
    "dead_letter_queue_arns": json.dumps([DEAD_LETTERS]),
    "alerts_topic_arn": TOPIC,
    "metrics_namespace": "Waybill",
    "catalog_database": Settings.model_fields["lake_database"].default,
    "training_database": Settings.model_fields["training_database"].default,
}
POLICIES = {
    AIRFLOW: (
        *(("security", "read-input"), ("security", "write-output"), ("airflow", "application")),
        *(("compute", "run-glue"), ("compute", "run-emr")),
    ),
    WRITER: (("security", "write-output"),),
    CONSUMER: (("streaming", "consume"), ("consumer", "consumer")),
    "bootstrap": (("airflow", "bootstrap"),),
    "books": (("airflow", "books"),),
}
"""Modules and names of the policies of each role."""
Statement = Mapping[str, Any]


def policy(module: str, name: str, values: Mapping[str, str] = VALUES) -> list[Statement]:
    """Return the statements of a policy file of a Terraform module."""
    text = (MODULES / module / "policies" / f"{name}.json.tftpl").read_text()
    statements: list[Statement] = json.loads(Template(text).substitute(values))["Statement"]
    return statements


@cache
def granted(role: str) -> list[Statement]:
    """Return the statements that grant rights to a role. A person has those of Airflow, and needs some more."""
    return [one for module, name in _policies(role) for one in policy(module, name)]


def _policies(role: str) -> tuple[tuple[str, str], ...]:
    return POLICIES[AIRFLOW if role == PERSON else role]


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
            if not (call.role == PERSON and call.action in reasons["commands"]):
                where = f"{' or '.join(call.resources)} {dict(call.context)}"
                yield f"{call.action} is called by {call.role} and not allowed on {where}"
    if complete:
        uncalled = {
            action for one in {two for some in POLICIES.values() for two in some} for action in _unused(one, calls)
        }
        for action in sorted(uncalled - reasons["uncalled"].keys()):
            yield f"{action} is allowed and never called: remove it, or give a reason in {EXCEPTIONS.name}"
        for action in sorted(reasons["uncalled"].keys() - uncalled):
            yield f"{action} is called or not allowed: remove it from `uncalled` in {EXCEPTIONS.name}"
        for action in sorted(reasons["commands"].keys() - needed):
            yield f"{action}: no command needs it. Remove it from `commands` in {EXCEPTIONS.name}"


def _unused(one: tuple[str, str], calls: Collection[Request]) -> set[str]:
    """Return the actions of a policy that no role with this policy calls."""
    called = {call.action for call in calls if one in _policies(call.role) and is_allowed(call)}
    return {action for statement in policy(*one) for action in listed(statement["Action"])} - called


def is_allowed(call: Request) -> bool:
    """Return whether the policies and the boundary allow a call on one of its resources."""
    return any(
        _effects(granted(call.role), call, resource) == {"Allow"} and _effects(boundary(), call, resource) == {"Allow"}
        for resource in call.resources
    )


def _effects(statements: Iterable[Statement], call: Request, resource: str) -> set[str]:
    """Return the effects of the statements that match."""
    role = f"arn:aws:iam::{ACCOUNT}:role/{NAME}-{call.role}"
    context = {"aws:ResourceAccount": ACCOUNT, "aws:PrincipalArn": role, **dict(call.context)}
    return {
        statement["Effect"]
        for statement in statements
        if any(_matches(pattern.lower(), call.action.lower()) for pattern in listed(statement["Action"]))
        and any(_matches(pattern, resource) for pattern in listed(statement["Resource"]))
        and all(_holds(*condition, context) for condition in statement.get("Condition", {}).items())
    }


def _holds(operator: str, wanted: Mapping[str, str | list[str]], context: Mapping[str, str]) -> bool:
    """Return whether a condition is met. Raises KeyError for an operator that is not known here."""
    equal = {
        "StringEquals": True,
        "ForAnyValue:StringEquals": True,
        "StringNotEquals": False,
        "ArnNotEquals": False,
    }[operator]
    return all((context.get(key) in listed(values)) is equal for key, values in wanted.items())


def _matches(pattern: str, text: str) -> bool:
    return fnmatchcase(text, re.sub(r"\[", "[[]", pattern))


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
