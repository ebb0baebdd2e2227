"""The plan of Terraform, applied to an emulator of AWS: files notify queues, plain HTTP is denied, faults are found.

The plan is that of dev, by the program that TF_OFFLINE names; without it these tests are skipped.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from collections.abc import Iterator
from types import ModuleType
from typing import Any
from urllib.parse import unquote_plus

import boto3
import pytest
from moto import mock_aws

from rights.calls import BUCKETS
from rights.policies import VALUES
from rights.policies import policy as policy_file
from waybill.settings import PROJECT_ROOT

OFFLINE = os.environ.get("TF_OFFLINE", "")
pytestmark = pytest.mark.skipif(not OFFLINE, reason="TF_OFFLINE is not set: there is no plan")
REGION, ACCOUNT = "eu-central-1", "123456789012"


@pytest.fixture(scope="module")
def smoke() -> ModuleType:
    spec = importlib.util.spec_from_file_location("smoke", PROJECT_ROOT / "deploy" / "smoke.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("plan") / "plan.json"
    subprocess.run(["make", "--silent", str(PROJECT_ROOT / ".waybill" / "terraform")], cwd=PROJECT_ROOT, check=True)
    command = [OFFLINE, "plan", "terraform/environments/dev", "--tree", ".", "--allow", "terraform/offline.txt"]
    command += ["-var-file=terraform.tfvars.example", "-o", str(file)]
    subprocess.run(command, cwd=PROJECT_ROOT / ".waybill" / "terraform", check=True)
    planned: dict[str, Any] = json.loads(file.read_text())["planned_values"]
    return planned


def resources(module: dict[str, Any], kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (address, values) of the planned resources of a type."""
    yield from ((one["address"], one.get("values", {})) for one in module.get("resources", []) if one["type"] == kind)
    for child in module.get("child_modules", []):
        yield from resources(child, kind)


def filled(values: dict[str, Any], **names: str) -> dict[str, Any]:
    """Return the planned values as arguments of boto3."""
    return {there: values[here] for here, there in names.items() if values.get(here) not in (None, [], {})}


class Made:
    """The planned resources, created in the emulator."""

    def __init__(self, root: dict[str, Any], outputs: dict[str, Any]) -> None:
        self.outputs = outputs
        self.s3, self.sqs, self.cloudwatch, self.sns = map(self.client, ("s3", "sqs", "cloudwatch", "sns"))
        self._root = root
        buckets = {address.rpartition(".aws_")[0]: values["bucket"] for address, values in self._all("aws_s3_bucket")}
        for bucket in buckets.values():
            self.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        self._buckets(buckets)
        self._queues()
        planned = next(values for _, values in self._all("aws_s3_bucket_notification"))
        self.s3.put_bucket_notification_configuration(
            Bucket=planned["bucket"],
            NotificationConfiguration={
                "QueueConfigurations": [
                    {
                        "Id": queue["id"],
                        "QueueArn": queue["queue_arn"],
                        "Events": queue["events"],
                        "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": queue["filter_prefix"]}]}},
                    }
                    for queue in planned["queue"]
                ]
            },
        )
        for _, topic in self._all("aws_sns_topic"):
            self.sns.create_topic(Name=topic["name"])
        for _, alarm in self._all("aws_cloudwatch_metric_alarm"):
            self._alarm(alarm)

    @staticmethod
    def client(service: str) -> Any:
        return boto3.client(service, region_name=REGION)

    def _all(self, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        return resources(self._root, kind)

    def _buckets(self, buckets: dict[str, str]) -> None:
        def of(kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
            for address, values in self._all(kind):
                yield buckets[address.rpartition(".aws_")[0]], values

        for bucket, values in of("aws_s3_bucket_versioning"):
            status = values["versioning_configuration"][0]["status"]
            self.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})
        for bucket, values in of("aws_s3_bucket_public_access_block"):
            names = {"block_public_acls": "BlockPublicAcls", "block_public_policy": "BlockPublicPolicy"}
            names |= {"ignore_public_acls": "IgnorePublicAcls", "restrict_public_buckets": "RestrictPublicBuckets"}
            self.s3.put_public_access_block(
                Bucket=bucket, PublicAccessBlockConfiguration={there: values[here] for here, there in names.items()}
            )
        for bucket, values in of("aws_s3_bucket_server_side_encryption_configuration"):
            # Unknown if it depends on a key that does not exist yet.
            by = values["rule"][0]["apply_server_side_encryption_by_default"][0].get("sse_algorithm", "aws:kms")
            rules = [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": by}}]
            self.s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": rules})
        policies = {bucket: values.get("policy") for bucket, values in of("aws_s3_bucket_policy")}
        lake = self.outputs["lake_bucket"]["value"]
        for bucket, policy in policies.items():
            # The dashboard's policy names a distribution that does not exist yet; the lake's has the common statements.
            self.s3.put_bucket_policy(Bucket=bucket, Policy=policy or str(policies[lake]).replace(lake, bucket))
        for bucket, values in of("aws_s3_bucket_lifecycle_configuration"):
            self.s3.put_bucket_lifecycle_configuration(
                Bucket=bucket, LifecycleConfiguration={"Rules": [self._rule(rule) for rule in values["rule"]]}
            )

    @staticmethod
    def _rule(rule: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {"ID": rule["id"], "Status": rule["status"]}
        made["Filter"] = {"Prefix": (rule["filter"] or [{}])[0].get("prefix") or ""}
        for expiry in rule["noncurrent_version_expiration"]:
            made["NoncurrentVersionExpiration"] = {"NoncurrentDays": expiry["noncurrent_days"]}
        for expiry in rule["expiration"]:
            made["Expiration"] = {"Days": expiry["days"]}
        if rule["transition"]:
            made["Transitions"] = [
                {"Days": one["days"], "StorageClass": one["storage_class"]} for one in rule["transition"]
            ]
        return made

    def _queues(self) -> None:
        names = [values["name"] for _, values in self._all("aws_sqs_queue")]
        for name in sorted(names, key=lambda name: not name.endswith("-dead")):
            attributes = {"MessageRetentionPeriod": "1209600"}
            if f"{name}-dead" in names:  # a plan does not know the ARN of a queue that is not made yet
                dead = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}-dead"
                attributes["RedrivePolicy"] = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": 5})
            self.sqs.create_queue(QueueName=name, Attributes=attributes)
        for address, values in self._all("aws_sqs_queue_policy"):
            name = json.loads(values["policy"])["Statement"][0]["Resource"].rpartition(":")[2]
            assert f'["{name.removeprefix("waybill-dev-")}"]' in address
            url = self.sqs.get_queue_url(QueueName=name)["QueueUrl"]
            self.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": values["policy"]})

    def _alarm(self, alarm: dict[str, Any]) -> None:
        simple = filled(
            alarm, namespace="Namespace", metric_name="MetricName", statistic="Statistic", period="Period"
        ) | filled(alarm, threshold="Threshold", evaluation_periods="EvaluationPeriods", alarm_name="AlarmName")
        simple |= filled(alarm, comparison_operator="ComparisonOperator", treat_missing_data="TreatMissingData")
        if alarm.get("dimensions"):
            simple["Dimensions"] = [
                {"Name": name, "Value": value or "-"} for name, value in alarm["dimensions"].items()
            ]
        if alarm["metric_query"]:
            simple["Metrics"] = [
                {"Id": query["id"], "ReturnData": bool(query["return_data"])}
                | filled(query, expression="Expression", period="Period")
                | (
                    {
                        "MetricStat": {
                            "Metric": filled(query["metric"][0], namespace="Namespace", metric_name="MetricName"),
                            "Stat": query["metric"][0]["stat"],
                            "Period": query["metric"][0]["period"],
                        }
                    }
                    if query["metric"]
                    else {}
                )
                for query in alarm["metric_query"]
            ]
        topic = self.outputs["alerts_topic_arn"]["value"]
        assert len(alarm["alarm_actions"]) == 1  # its ARN is not known before it is made
        self.cloudwatch.put_metric_alarm(**simple, AlarmActions=[topic])


@pytest.fixture
def made(plan: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield Made(plan["root_module"], plan["outputs"])


def keys_told(made: Made, queue: dict[str, str]) -> list[str]:
    """Return the keys of the objects in the messages of a queue."""
    url = made.sqs.get_queue_url(QueueName=queue["name"])["QueueUrl"]
    messages = made.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    bodies = [json.loads(message["Body"]) for message in messages]
    return [unquote_plus(record["s3"]["object"]["key"]) for body in bodies for record in body.get("Records", [])]


def test_the_plan_has_the_policies_that_are_compared_with_calls(plan: dict[str, Any]) -> None:
    name, root = "waybill-dev", plan["root_module"]
    output = {name: one.get("value") for name, one in plan["outputs"].items()}
    values = VALUES | {
        "name": name,
        **{bucket: f"arn:aws:s3:::{output[f'{bucket}_bucket']}" for bucket in BUCKETS},
        "connections_prefix": f"{name}/airflow/connections",
        "settings_secret_name": output["settings_secret"],
        "output_role_arn": f"arn:aws:iam::{ACCOUNT}:role/{name}-output-writer",
        "landed_queue_arns": json.dumps([queue["arn"] for queue in output["landed_queues"].values()]),
        "dead_letter_queue_arns": json.dumps([queue["dead_arn"] for queue in output["landed_queues"].values()]),
        "alerts_topic_arn": output["alerts_topic_arn"],
        "metrics_namespace": output["metrics"]["namespace"],
    }
    planned = {
        address.rpartition(".")[2]: json.loads(one["policy"])["Statement"]
        for kind in ("aws_iam_policy", "aws_iam_role_policy")
        for address, one in resources(root, kind)
        if address.startswith(("module.security.", "module.airflow.")) and one.get("policy")
    }
    assert planned["boundary"] == policy_file("security", "boundary", values)
    assert planned["read_input"] == policy_file("security", "read-input", values)
    assert planned["write_output"] == policy_file("security", "write-output", values)
    assert planned["work"] == policy_file("airflow", "application", values)


def test_a_landed_file_notifies_only_the_queue_of_its_pipeline(made: Made) -> None:
    raw, queues = made.outputs["raw_bucket"]["value"], made.outputs["landed_queues"]["value"]
    orders, purchases = "raw/orders/lines/a b.csv", "datalake/bronze/year=2026/month=03/day=01/p.csv"
    made.s3.delete_bucket_policy(Bucket=raw)  # the emulator looks at no condition, and would deny TLS as well
    for key in (orders, purchases, "raw/shop/reviews/dt=2026-03-01/r.csv"):
        made.s3.put_object(Bucket=raw, Key=key, Body=b"x")
    assert keys_told(made, queues["orders"]) == [orders]
    assert keys_told(made, queues["purchases"]) == [purchases]


def test_all_planned_resources_pass(made: Made, smoke: ModuleType) -> None:
    assert list(smoke.problems(made.outputs, made.client)) == []
    assert len(made.outputs["alarm_names"]["value"]) > 20


def test_each_fault_is_found(made: Made, smoke: ModuleType) -> None:
    value = {name: output.get("value") for name, output in made.outputs.items()}
    made.s3.put_bucket_versioning(Bucket=value["lake_bucket"], VersioningConfiguration={"Status": "Suspended"})
    made.s3.delete_public_access_block(Bucket=value["reports_bucket"])
    only_objects = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": f"arn:aws:s3:::{value['raw_bucket']}/*",
    }
    only_objects["Condition"] = {"Bool": {"aws:SecureTransport": "false"}}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [only_objects]})
    made.s3.put_bucket_policy(Bucket=value["raw_bucket"], Policy=policy)
    made.s3.put_bucket_notification_configuration(Bucket=value["raw_bucket"], NotificationConfiguration={})
    made.cloudwatch.delete_alarms(AlarmNames=["waybill-dev-run-failed"])
    found = "\n".join(smoke.problems(made.outputs, made.client))
    for what in (
        f"{value['lake_bucket']}: versioning is not enabled",
        "NoSuchPublicAccessBlockConfiguration",
        f"{value['raw_bucket']}: its policy allows plain HTTP",
        "it does not notify the queue of orders",
        "it does not notify the queue of purchases",
        "alarm waybill-dev-run-failed: it does not exist",
    ):
        assert what in found
    assert len(found.splitlines()) == 6


def test_lifecycle_is_as_planned(made: Made, plan: dict[str, Any]) -> None:
    retention = 14  # dev's settings.auto.tfvars
    for bucket in ("raw_bucket", "lake_bucket", "reports_bucket"):
        rules = made.s3.get_bucket_lifecycle_configuration(Bucket=made.outputs[bucket]["value"])["Rules"]
        expiry = [rule["NoncurrentVersionExpiration"]["NoncurrentDays"] for rule in rules if rule["ID"] == "tidy"]
        assert expiry == [retention]
