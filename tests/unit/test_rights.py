"""Recorded calls of AWS are compared with the policies of Terraform, in both directions."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rights import policies
from rights.calls import DEPLOY, PLUGINS, QUEUE, STREAM, TASK_RUNNER, TOPIC, Request, caller, requests
from rights.policies import exceptions, granted, is_allowed, problems

RAW, LAKE = "arn:aws:s3:::raw", "arn:aws:s3:::lake"
OPERATIONS_KEY = (("kms:ResourceAliases", "alias/waybill-test-operations"),)


def actions(service: str, operation: str, **params: Any) -> set[tuple[str, tuple[str, ...]]]:
    return {(one.action, one.resources) for one in requests(service, operation, params)}


def called_from(*places: str) -> str | None:
    """Return the role of a call from these files and functions (file:function), the outermost first."""
    call: Callable[[], str | None] = caller
    for place in reversed(places):
        file, _, name = place.partition(":")
        name = name or "outer"
        names: dict[str, Any] = {"call": call}
        exec(compile(f"def {name}():\n    return call()", file, "exec"), names)
        call = names[name]
    return call()


def test_each_exception_names_an_action_of_the_policies() -> None:
    allowed = {
        action
        for role in policies.POLICIES
        for statement in granted(role)
        for action in policies.listed(statement["Action"])
    }
    assert exceptions()["uncalled"].keys() <= allowed
    assert all(reason for reasons in exceptions().values() for reason in reasons.values())


@pytest.mark.parametrize(
    "call",
    [
        Request("s3:GetObject", (f"{RAW}/raw/object",)),
        Request("s3:getobject", (f"{RAW}/datalake/object",)),
        Request("s3:DeleteObject", (f"{RAW}/raw/object", f"{LAKE}/processed/object")),
        Request("cloudwatch:PutMetricData", ("*",), (("cloudwatch:namespace", "Waybill"),)),
        Request(
            "kms:Decrypt",
            ("arn:aws:kms:eu-central-1:123456789012:key/operations",),
            (*OPERATIONS_KEY, ("kms:ViaService", "sqs.eu-central-1.amazonaws.com")),
        ),
    ],
    ids=str,
)
def test_calls_that_the_policies_allow(call: Request) -> None:
    assert is_allowed(call)


@pytest.mark.parametrize(
    "call",
    [
        Request("s3:DeleteObject", (f"{RAW}/raw/object",)),
        Request("s3:GetObject", ("arn:aws:s3:::elsewhere/raw/object",)),
        Request("s3:ListBucket", (f"{RAW}/raw/object",)),
        Request("s3:DeleteObjectVersion", (f"{LAKE}/processed/object",)),
        Request("glue:CreateDatabase", ("arn:aws:glue:eu-central-1:123456789012:catalog",)),
        Request("cloudwatch:PutMetricData", ("*",), (("cloudwatch:namespace", "AWS/EC2"),)),
        Request("cloudwatch:PutMetricData", ("*",)),
        Request(
            "kms:Decrypt",
            ("arn:aws:kms:eu-central-1:123456789012:key/operations",),
            (*OPERATIONS_KEY, ("kms:ViaService", "kinesis.eu-central-1.amazonaws.com")),
        ),
    ],
    ids=str,
)
def test_calls_that_the_policies_do_not_allow(call: Request) -> None:
    assert not is_allowed(call)


MASTER = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!db-0-AbCdEf"


@pytest.mark.parametrize(
    ("action", "resource", "roles"),
    [
        ("s3:GetObject", f"{RAW}/raw/object", {"airflow", "person"}),
        ("s3:PutObject", f"{LAKE}/processed/object", {"airflow", "person", "output-writer"}),
        ("s3:PutObject", f"{RAW}/raw/object", {"consumer"}),
        ("kinesis:GetRecords", STREAM, {"consumer"}),
        ("s3:ListBucket", RAW, {"airflow", "person", "books"}),
        ("secretsmanager:GetSecretValue", MASTER, {"bootstrap"}),
    ],
)
def test_each_role_has_its_own_rights(action: str, resource: str, roles: set[str]) -> None:
    everyone = (*policies.POLICIES, "person")
    assert {role for role in everyone if is_allowed(Request(action, (resource,), (), role))} == roles


def test_the_boundary_leaves_master_passwords_to_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "granted", lambda _: [{"Effect": "Allow", "Action": "*", "Resource": "*"}])
    call = Request("secretsmanager:GetSecretValue", (MASTER,))
    assert not is_allowed(call)
    assert is_allowed(replace(call, role="bootstrap"))


def test_the_boundary_denies_what_a_policy_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = [{"Effect": "Allow", "Action": "*", "Resource": "*"}]
    monkeypatch.setattr(policies, "granted", lambda _: everything)
    assert is_allowed(Request("s3:PutObject", ("*",)))
    assert not is_allowed(Request("s3:PutBucketPolicy", ("*",)))
    assert not is_allowed(Request("s3:PutObject", ("*",), (("aws:ResourceAccount", "999999999999"),)))
    assert not is_allowed(Request("iam:CreateRole", ("*",)))


def test_a_condition_that_is_not_known_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"IpAddress": {"aws:SourceIp": "::1"}}}
    monkeypatch.setattr(policies, "granted", lambda _: [statement])
    with pytest.raises(KeyError, match="IpAddress"):
        is_allowed(Request("s3:GetObject", ("*",)))


def test_operations_become_the_actions_that_iam_evaluates() -> None:
    key = ("arn:aws:kms:eu-central-1:123456789012:key/data",)
    raw = {"Bucket": "waybill-raw", "Key": "raw/shop/a.csv"}
    assert actions("s3", "ListObjectsV2", Bucket="waybill-raw", Prefix="raw/") == {("s3:ListBucket", (RAW,))}
    assert actions("s3", "ListObjectVersions", Bucket="waybill-raw") == {("s3:ListBucketVersions", (RAW,))}
    assert actions("s3", "HeadObject", **raw) == {
        ("s3:GetObject", (f"{RAW}/raw/object",)),
        ("s3:ListBucket", (RAW,)),
    }
    assert actions("s3", "GetObject", **raw, VersionId="1") == {
        ("s3:GetObjectVersion", (f"{RAW}/raw/object",)),
        ("s3:ListBucket", (RAW,)),
        ("kms:Decrypt", key),
    }
    lake = {"Bucket": "waybill-lake", "Key": "processed/a.parquet"}
    assert actions("s3", "DeleteObject", **lake, VersionId="1") == {
        ("s3:DeleteObjectVersion", (f"{LAKE}/processed/object",))
    }
    several = {"Objects": [{"Key": "processed/a.parquet"}, {"Key": "processed/b.parquet"}, {"Key": "datalake/c"}]}
    assert actions("s3", "DeleteObjects", Bucket="waybill-lake", Delete=several) == {
        ("s3:DeleteObject", (f"{LAKE}/processed/object",)),
        ("s3:DeleteObject", (f"{LAKE}/datalake/object",)),
    }
    uploaded = set().union(*(actions("s3", name, **lake) for name in ("CreateMultipartUpload", "UploadPart")))
    assert uploaded == {("s3:PutObject", (f"{LAKE}/processed/object",)), ("kms:GenerateDataKey", key)}
    glue = "arn:aws:glue:eu-central-1:123456789012:"
    tables = {(f"{glue}catalog",), (f"{glue}database/d",), (f"{glue}table/d/t",)}
    for arguments in ({"TableInput": {"Name": "t"}}, {"Name": "t"}, {"TableName": "t"}):
        found = actions("glue", "UpdateTable", DatabaseName="d", **arguments)
        assert found == {("glue:UpdateTable", resources) for resources in tables}
    assert ("glue:CreateDatabase", (f"{glue}catalog",)) in actions(
        "glue", "CreateDatabase", DatabaseInput={"Name": "d"}
    )
    stream = ("kinesis:GetRecords", (STREAM,))
    assert actions("kinesis", "GetRecords", ShardIterator="i") == {stream, ("kms:Decrypt", key)}
    assert actions("ec2", "RunInstances") == {("ec2:RunInstances", ("*",))}


def test_queues_and_topics_are_named_by_purpose(monkeypatch: pytest.MonkeyPatch) -> None:
    from waybill.settings import settings

    queue, topic = "http://127.0.0.1:1/123456789012/waybill-orders", "arn:aws:sns:eu-central-1:123456789012:some"
    monkeypatch.setenv("WAYBILL_QUEUE_URLS", '{"*": "http://127.0.0.1:1/123456789012/waybill-{domain}"}')
    monkeypatch.setenv("AIRFLOW_CONN_WAYBILL_ALERTS_SNS", f'{{"extra": {{"topic_arn": "{topic}"}}}}')
    settings.cache_clear()
    try:
        assert ("sqs:DeleteMessage", (QUEUE,)) in actions("sqs", "DeleteMessageBatch", QueueUrl=queue)
        assert ("sns:Publish", (TOPIC,)) in actions("sns", "Publish", TargetArn=topic)
        other = "http://127.0.0.1:1/123456789012/other"
        assert ("sqs:ReceiveMessage", (f"{QUEUE.rpartition(':')[0]}:other",)) in actions(
            "sqs", "ReceiveMessage", QueueUrl=other
        )
    finally:
        settings.cache_clear()


def test_calls_of_tests_and_tools_are_left_out() -> None:
    library, test, own = f"{sys.prefix}/lib/boto3/session.py", "/elsewhere/tests/test_x.py", f"{PLUGINS}waybill/x.py"
    assert called_from(test, library) is None
    assert called_from(test, own, library) == "airflow"
    assert called_from(own, test, library) is None
    assert called_from(test, f"{DEPLOY}x.py", own, library) is None
    assert called_from(test, f"{sys.prefix}/{TASK_RUNNER}", library) == "airflow"


def test_each_call_has_the_role_of_the_code_that_makes_it() -> None:
    library, test, own = f"{sys.prefix}/lib/boto3/session.py", "/elsewhere/tests/test_x.py", f"{PLUGINS}waybill/x.py"
    terminal, cli = f"{PLUGINS}waybill/cli/terminal.py", f"{PLUGINS}waybill/cli/"
    publish, site = f"{PLUGINS}waybill/outputs/publish.py", f"{PLUGINS}waybill/views/site.py:publish_dashboard"
    assert called_from(test, terminal, f"{cli}files.py", own, library) == "person"
    assert (
        called_from(test, terminal, f"{cli}operations.py", f"{PLUGINS}waybill/ops/bootstrap.py", library) == "bootstrap"
    )
    assert called_from(test, terminal, f"{cli}reconciliation.py:books", own, library) == "books"
    assert called_from(test, terminal, f"{cli}reconciliation.py:trace", own, library) == "person"
    assert called_from(f"{sys.prefix}/{TASK_RUNNER}", own, publish, library) == "output-writer"
    assert called_from(f"{sys.prefix}/{TASK_RUNNER}", own, site, own, library) == "output-writer"
    assert called_from(test, terminal, f"{cli}operations.py", site, library) == "person"
    assert called_from(test, terminal, f"{cli}stream.py", f"{PLUGINS}waybill/stream/reader.py", library) == "consumer"


def test_each_difference_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    reasons: dict[str, dict[str, str]] = {
        "uncalled": {"s3:GetObject": "called after all"},
        "commands": {"s3:PutObject": "needed", "sqs:SendMessage": "not needed"},
    }
    statement = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}
    monkeypatch.setattr(policies, "exceptions", lambda: reasons)
    monkeypatch.setattr(policies, "POLICIES", {"airflow": (("module", "policy"),)})
    monkeypatch.setattr(policies, "policy", lambda *_: [statement])
    monkeypatch.setattr(policies, "granted", lambda _: [statement])
    monkeypatch.setattr(policies, "boundary", lambda: [statement])
    calls = [
        Request("s3:GetObject", ("a",)),
        Request("s3:PutObject", ("a",), (), "person"),
        Request("s3:PutObject", ("b",)),
        Request("sns:Publish", ("c",), (), "person"),
    ]
    denied = [
        "s3:PutObject is called by airflow and not allowed on b {}",
        "sns:Publish is called by person and not allowed on c {}",
    ]
    assert [*problems(calls, complete=False)] == denied
    assert [*problems(calls, complete=True)] == [
        *denied,
        "s3:ListBucket is allowed and never called: remove it, or give a reason in rights.yaml",
        "s3:GetObject is called or not allowed: remove it from `uncalled` in rights.yaml",
        "sqs:SendMessage: no command needs it. Remove it from `commands` in rights.yaml",
    ]
