"""`deploy/check.py` names everything that is missing before an apply, each with the next step. moto answers for AWS."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import boto3
import pytest
from moto import mock_aws
from moto.acm import acm_backends

from waybill.settings import PROJECT_ROOT

ACCOUNT, REGION, HOST = "123456789012", "eu-central-1", "airflow-dev.waybill.test"
ISSUER = "https://login.waybill.test/pool"
DISCOVERY = {"issuer": ISSUER, "authorization_endpoint": "a", "token_endpoint": "t", "jwks_uri": "j"}
DIGEST = "sha256:" + "0" * 64
DEV = PROJECT_ROOT / "terraform" / "environments" / "dev"


@pytest.fixture(scope="module")
def check() -> Iterator[ModuleType]:
    sys.path.insert(0, str(PROJECT_ROOT / "deploy"))
    yield importlib.import_module("check")
    sys.path.pop(0)


class Account:
    """An account in which nothing is missing, and the values of dev."""

    def __init__(self, check: ModuleType) -> None:
        self.check, self.limits, self.page = check, dict[str, float](), json.dumps(DISCOVERY).encode()
        self.monitors: list[dict[str, str]] = []
        arn = self.client("acm").request_certificate(DomainName=HOST, ValidationMethod="DNS")["CertificateArn"]
        self.certificate = acm_backends[ACCOUNT][REGION]._certificates[arn]
        self.certificate.status = "ISSUED"
        self.values = {
            **check.tfvars.load(DEV / "settings.auto.tfvars"),
            "account_id": ACCOUNT,
            "region": REGION,
            "state_bucket": "state",
            "airflow_address": {"host": HOST, "certificate_arn": arn},
            "oidc": {"issuer": ISSUER},
        }
        self.create_bucket("state")
        versioned = {"Status": "Enabled"}
        self.client("s3").put_bucket_versioning(Bucket="state", VersioningConfiguration=versioned)
        for service in check.SERVICES:
            self.client("iam").create_service_linked_role(AWSServiceName=service)

    def client(self, service: str, region: str = REGION) -> Any:
        if service == "service-quotas":  # moto knows quotas of VPC only
            exceptions = boto3.client("service-quotas", region_name=region).exceptions
            return Mock(get_service_quota=self.quota, exceptions=exceptions)
        if service == "ce":  # nor monitors of costs
            return Mock(get_anomaly_monitors=lambda: {"AnomalyMonitors": self.monitors})
        return boto3.client(service, region_name=region)  # type: ignore[call-overload]

    def quota(self, QuotaCode: str, **_: str) -> dict[str, Any]:  # noqa: N803
        return {"Quota": {"Value": self.limits.get(QuotaCode, 100.0)}}

    def create_bucket(self, name: str) -> None:
        place: Any = {"LocationConstraint": REGION}
        self.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration=place)

    def problems(self) -> list[str]:
        found = self.check.problems(self.client, lambda _: self.page, self.values)
        return [f"{problem.text}: {problem.step}" for problem in found]

    def problem(self) -> str:
        [problem] = self.problems()
        return problem


@pytest.fixture
def account(check: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        yield Account(check)


def test_a_prepared_account_has_no_problems(account: Account) -> None:
    assert account.problems() == []


def test_all_problems_are_found_at_once(account: Account) -> None:
    account.values |= {"state_bucket": "none", "oidc_provider_is_there": True, "availability_zones": ["a", "f"]}
    account.page, account.certificate.status = b"<html>", "PENDING_VALIDATION"
    assert [problem.split(":")[0] for problem in account.problems()] == [
        "The OIDC issuer does not answer at https",
        "The account has no zone eu-central-1f",
        "The state bucket none does not exist",
        f"The certificate of {HOST} is PENDING_VALIDATION",
        "The account does not know GitHub's OIDC provider",
    ]


def test_credentials_of_another_account_are_refused_before_its_resources_are_read(account: Account) -> None:
    account.values["account_id"] = "210987654321"
    first, second = account.problems()
    assert first.startswith(f"The credentials are of account {ACCOUNT}, not 210987654321")
    assert second.startswith("The account was not checked")


def test_a_state_bucket_without_versions_is_found(account: Account) -> None:
    account.client("s3").put_bucket_versioning(Bucket="state", VersioningConfiguration={"Status": "Suspended"})
    assert account.problem().startswith("The state bucket state keeps no versions: aws s3api put-bucket-versioning")


def test_buckets_of_the_account_are_ours_and_those_of_others_are_not(account: Account) -> None:
    account.create_bucket(f"waybill-dev-raw-{ACCOUNT}")
    assert account.problems() == []
    taken = account.check.ClientError({"Error": {}, "ResponseMetadata": {"HTTPStatusCode": 403}}, "HeadBucket")
    s3 = Mock(head_bucket=Mock(side_effect=taken))
    found = list(account.check.buckets(lambda _: s3, account.values))
    assert len(found) == 6
    assert found[0].text == f"The bucket waybill-dev-raw-{ACCOUNT} belongs to another account or region: status 403"


@pytest.mark.parametrize(
    ("host", "covered"), [(HOST, True), ("*.waybill.test", True), ("waybill.test", False), ("*.test", False)]
)
def test_a_certificate_must_be_for_the_host(account: Account, host: str, covered: bool) -> None:
    account.values["airflow_address"]["certificate_arn"] = arn = account.client("acm").request_certificate(
        DomainName=host
    )["CertificateArn"]
    acm_backends[ACCOUNT][REGION]._certificates[arn].status = "ISSUED"
    assert account.problems() == [] if covered else f"is for {host}, not for {HOST}" in account.problem()


def test_a_certificate_must_be_in_the_region(account: Account) -> None:
    arn = f"arn:aws:acm:us-east-1:{ACCOUNT}:certificate/1"
    account.values["airflow_address"]["certificate_arn"] = arn
    assert account.problem().startswith(f"The certificate of {HOST} is no ACM certificate in eu-central-1")
    missing = arn.replace("us-east-1", REGION)
    account.values["airflow_address"]["certificate_arn"] = missing
    assert account.problem().startswith(f"The certificate of {HOST} cannot be read")


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        ({"issuer": "https://other.test"}, f"does not name the issuer {ISSUER}"),
        ({"token_endpoint": None}, "lacks addresses for log-in"),
    ],
)
def test_an_issuer_must_publish_its_addresses(account: Account, page: dict[str, str | None], problem: str) -> None:
    document = {name: value for name, value in {**DISCOVERY, **page}.items() if value}
    account.page = json.dumps(document).encode()
    assert problem in account.problem()


def test_an_issuer_must_use_https_and_answer(account: Account) -> None:
    def refused(_: str) -> bytes:
        raise TimeoutError("timed out")

    [problem] = account.check.issuer(refused, account.values)
    assert problem.text.endswith(f"does not answer at {ISSUER}/.well-known/openid-configuration: timed out")
    account.values["oidc"] = {"issuer": "http://login.waybill.test"}
    assert "does not use HTTPS" in account.problem()


def test_quotas_count_what_others_use_and_not_what_the_environment_has(account: Account) -> None:
    account.limits = {"L-F678F1CE": 2, "L-0263D0A3": 1, "L-36FBB829": 2, "L-3032A538": 0.5}
    ec2 = account.client("ec2")  # has one default VPC
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    assert account.problem().startswith("VPCs in the region: 2 allowed, 2 used by others, 1 needed: aws service-quotas")
    ec2.create_tags(Resources=[vpc], Tags=[{"Key": "Name", "Value": "waybill-dev"}])
    assert account.problems() == []


def test_quotas_fit_the_settings_of_prod(account: Account) -> None:
    prod = account.check.tfvars.load(DEV.parent / "prod" / "settings.auto.tfvars")
    account.values |= {name: prod[name] for name in ("airflow", "network")}
    account.limits = {"L-3032A538": 6, "L-0263D0A3": 1}
    found = [problem.split(": aws")[0] for problem in account.problems()]
    assert found == [
        "vCPUs of Fargate: 6 allowed, 0 used by others, 52.5 needed",
        "Elastic IP addresses: 1 allowed, 0 used by others, 2 needed",
    ]


def test_a_missing_service_role_is_found(account: Account) -> None:
    iam = account.client("iam")
    for service in ("ecs", "elasticache"):  # dev has no broker
        [role] = iam.list_roles(PathPrefix=f"/aws-service-role/{service}.amazonaws.com/")["Roles"]
        iam.delete_service_linked_role(RoleName=role["RoleName"])
    step = "aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com"
    assert account.problem() == f"The role of ecs.amazonaws.com does not exist: {step}"


def test_the_provider_of_github_exists_as_declared(account: Account) -> None:
    iam = account.client("iam")
    arn = iam.create_open_id_connect_provider(Url=f"https://{account.check.ISSUER}", ThumbprintList=[])
    assert "Set oidc_provider_is_there = true" in account.problem()
    account.values["oidc_provider_is_there"] = True
    assert account.problems() == []
    tags = [{"Key": "Environment", "Value": "dev"}]
    iam.tag_open_id_connect_provider(OpenIDConnectProviderArn=arn["OpenIDConnectProviderArn"], Tags=tags)
    assert "Otherwise Terraform deletes the provider" in account.problem()
    account.values["oidc_provider_is_there"] = False
    assert account.problems() == []


def test_an_account_has_one_monitor_of_its_services(account: Account) -> None:
    account.monitors = [
        {"MonitorArn": "arn:1", "MonitorName": "Default-Services-Monitor", "MonitorDimension": "SERVICE"}
    ]
    assert account.problem().endswith('Set anomaly_monitor_arn = "arn:1".')
    account.values["anomaly_monitor_arn"] = "arn:1"
    assert account.problems() == []
    account.values["anomaly_monitor_arn"] = "arn:2"
    assert account.problem().startswith("The account has no monitor arn:2")
    account.values["anomaly_monitor_arn"] = None
    account.monitors[0]["MonitorName"] = "waybill-dev-services"
    assert account.problems() == []
    account.values["anomaly_usd"] = None
    account.monitors = []
    assert account.problems() == []


def test_an_image_must_exist_and_the_client_secret_with_it(account: Account) -> None:
    account.values["image"] = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/waybill-dev@{DIGEST}"
    secrets = account.client("secretsmanager")
    secrets.create_secret(Name="waybill-dev/airflow")
    image, secret = account.problems()
    assert image.startswith(f"The image {account.values['image']} does not exist")
    assert secret.startswith("The secret waybill-dev/airflow has no value")
    secrets.put_secret_value(SecretId="waybill-dev/airflow", SecretString="hidden")
    assert account.problem() == image


def test_a_denied_call_is_a_problem_and_the_other_checks_run(account: Account) -> None:
    account.quota = Mock(side_effect=account.check.ClientError({"Error": {"Code": "AccessDenied"}}, "GetQuota"))  # type: ignore[method-assign]
    account.values["availability_zones"] = ["f"]
    zones, quotas = account.problems()
    assert "no zone" in zones
    assert quotas.startswith("Not checked (quotas)")
    assert "AccessDenied" in quotas


def test_values_must_be_complete_known_and_own(check: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "settings.auto.tfvars").write_text((DEV / "settings.auto.tfvars").read_text())
    assert "cp " in check.settings(tmp_path)[1][0].step
    (tmp_path / "terraform.tfvars").write_text((DEV / "terraform.tfvars.example").read_text())
    named = {name for _, problems in [check.settings(tmp_path)] for name in (p.text.split()[1] for p in problems)}
    assert named >= {"account_id", "alert_emails", "airflow_address", "oidc", "state_bucket", "github_repository"}
    (tmp_path / "terraform.tfvars").write_text('region = "eu-central-1"\nairflow_adress = null\n')
    texts = [problem.text.split(": ", 1)[1] for problem in check.settings(tmp_path)[1]]
    assert texts[:2] == ["account_id has no value", "owner has no value"]
    assert "airflow_adress is no variable" in texts
    assert "airflow_address has no value, and Airflow needs it" in texts
    (tmp_path / "terraform.tfvars").write_text('region = "eu\n')
    assert check.settings(tmp_path)[1][0].text.endswith("terraform.tfvars, line 1: cannot read '\"eu'")


def test_every_environment_and_every_variable_is_understood(check: ModuleType) -> None:
    declared = check.tfvars.declared(check.PLATFORM)
    assert len(declared) == check.PLATFORM.read_text().count('\nvariable "')
    for environment in ("dev", "staging", "prod"):
        folder = DEV.parent / environment
        example, settings = folder / "terraform.tfvars.example", folder / "settings.auto.tfvars"
        values = check.tfvars.load(example) | check.tfvars.load(settings)
        assert {name for name, needed in declared.items() if needed} <= values.keys() <= declared.keys()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a = "x\\n\\"y\\" # no" # yes', {"a": 'x\n"y" # no'}),
        ("a = -1.5\n// b\n/* c = 2\n*/ d = true", {"a": -1.5, "d": True}),
        ('a = { b = 1, "c-d" : [null, false,], e = {} }', {"a": {"b": 1, "c-d": [None, False], "e": {}}}),
        ("a = [\n  1,\n  2\n]\n", {"a": [1, 2]}),
        ("", {}),
    ],
)
def test_values_of_terraform_are_read(check: ModuleType, tmp_path: Path, text: str, expected: dict[str, Any]) -> None:
    (tmp_path / "a.tfvars").write_text(text)
    assert check.tfvars.load(tmp_path / "a.tfvars") == expected


@pytest.mark.parametrize(
    "text", ["a", "a =", "a = [1 2]", "a = [1", "a = {b = 1", "a = b", "= 1", "a = 1 }", "a = <<E"]
)
def test_what_cannot_be_read_names_its_line(check: ModuleType, tmp_path: Path, text: str) -> None:
    (tmp_path / "a.tfvars").write_text(f"# first\n{text}")
    with pytest.raises(ValueError, match=r"a\.tfvars, line 2: cannot read"):
        check.tfvars.load(tmp_path / "a.tfvars")
