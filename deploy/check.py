"""Say what is missing before an environment is applied: `python deploy/check.py dev`, or `make deploy-check`.

Needs the credentials that Terraform will use. It only reads, and reads no secret. The exit code is 1 if anything is
missing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.error import URLError
from urllib.request import Request, urlopen

import boto3
import tfvars
from botocore.exceptions import BotoCoreError, ClientError

ROOT: Final = Path(__file__).resolve().parent.parent
PLATFORM: Final = ROOT / "terraform" / "shared" / "platform" / "variables.tf"
EXAMPLE: Final = re.compile(r"example\.com|\b123456789012\b|\b203\.0\.113\.|example/|\.\.\.|11111111-2222")
"""What only the values of terraform.tfvars.example contain."""
ISSUER: Final = "token.actions.githubusercontent.com"
BUCKETS: Final = ("raw", "lake", "reports", "dashboard", "logs", "airflow")
TIMEOUT: Final = 10
"""Seconds for the answer of the OIDC issuer."""


class Problem(NamedTuple):
    """What is missing, and the next step."""

    text: str
    step: str


class Quota(NamedTuple):
    """A limit of the account, and its code at Service Quotas."""

    service: str
    code: str
    what: str


VCPUS: Final = Quota("fargate", "L-3032A538", "vCPUs of Fargate")
SPOT_VCPUS: Final = Quota("fargate", "L-36FBB829", "vCPUs of Fargate Spot")
VPCS: Final = Quota("vpc", "L-F678F1CE", "VPCs in the region")
ADDRESSES: Final = Quota("ec2", "L-0263D0A3", "Elastic IP addresses")
INSTANCES: Final = Quota("rds", "L-7B6409FD", "RDS instances")

SERVICES: Final = ("ecs.amazonaws.com", "rds.amazonaws.com", "elasticache.amazonaws.com")
"""Services that use a role of their own in the account."""

Client = Callable[..., Any]
"""Returns the boto3 client of a service, for the environment's region or the one that is given."""
Values = dict[str, Any]


def tools() -> Iterator[Problem]:
    """Yield the programs that `terraform apply` needs and that are not on the PATH."""
    for program in ("terraform", "aws", "python3"):
        if shutil.which(program) is None:
            yield Problem(f"The program {program} is not on the PATH", "Install it: docs/do/deploy-aws.md, step 1.")


def settings(folder: Path) -> tuple[Values, list[Problem]]:
    """Return the values of an environment by variable, and what is wrong with them."""
    file = folder / "terraform.tfvars"
    own = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
    if not file.exists():
        step = f"cp {own}.example {own}, then fill it in: docs/do/deploy-aws.md, step 5."
        return {}, [Problem(f"{own} does not exist", step)]
    try:
        values = tfvars.load(file) | tfvars.load(folder / "settings.auto.tfvars")
    except ValueError as error:
        return {}, [Problem(str(error), "Correct the line.")]
    declared = tfvars.declared(PLATFORM)
    found = [
        Problem(f"{own}: {name} has no value", "terraform.tfvars.example shows its form.")
        for name, needed in declared.items()
        if needed and name not in values
    ]
    found += [
        Problem(f"{own}: {name} is no variable", "Remove it, or correct its spelling.")
        for name in sorted(values.keys() - declared.keys())
    ]
    found += [
        Problem(f"{own}: {name} still has the value of the example", "Replace it by your own.")
        for name, value in values.items()
        if EXAMPLE.search(json.dumps(value))
    ]
    found += [
        Problem(f"{own}: {name} has no value, and Airflow needs it", f"docs/do/deploy-aws.md, step {step}.")
        for name, step in {"airflow_address": 3, "oidc": 4}.items()
        if not values.get(name)
    ]
    return values, found


def region(values: Values, environment: dict[str, str]) -> Iterator[Problem]:
    """Yield a problem if the AWS CLI would use another region than Terraform."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        if environment.get(name, values["region"]) != values["region"]:
            yield Problem(f"{name} is {environment[name]}, not {values['region']}", f"export {name}={values['region']}")


def credentials(client: Client, values: Values) -> Iterator[Problem]:
    """Yield a problem if there are no valid credentials, or those of another account."""
    try:
        caller = client("sts").get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        yield Problem(f"AWS accepts no credentials: {error}", "Log in: docs/do/deploy-aws.md, step 1.")
        return
    if caller["Account"] != values["account_id"]:
        step = "Use credentials of this account, or correct account_id."
        yield Problem(f"The credentials are of account {caller['Account']}, not {values['account_id']}", step)


def zones(client: Client, values: Values) -> Iterator[Problem]:
    """Yield the availability zones that the region does not have."""
    there = {zone["ZoneName"] for zone in client("ec2").describe_availability_zones()["AvailabilityZones"]}
    wanted = {values["region"] + letter for letter in values.get("availability_zones") or ["a", "b"]}
    if missing := sorted(wanted - there):
        step = f"Set availability_zones to letters of: {', '.join(sorted(there))}."
        yield Problem(f"The account has no zone {', '.join(missing)}", step)


def state_bucket(client: Client, values: Values) -> Iterator[Problem]:
    """Yield a problem if the bucket of Terraform's state is missing, somebody else's or without versions."""
    name, s3 = values["state_bucket"], client("s3")
    status = _bucket_status(s3, name, values["account_id"])
    if status == 404:
        yield Problem(f"The state bucket {name} does not exist", "Create it: docs/do/deploy-aws.md, step 2.")
    elif status != 200:
        yield Problem(f"The state bucket {name} cannot be used: status {status}", "Correct state_bucket or the region.")
    elif s3.get_bucket_versioning(Bucket=name).get("Status") != "Enabled":
        step = f"aws s3api put-bucket-versioning --bucket {name} --versioning-configuration Status=Enabled"
        yield Problem(f"The state bucket {name} keeps no versions", step)


def buckets(client: Client, values: Values) -> Iterator[Problem]:
    """Yield the names of buckets that belong to somebody else. Those of the account itself count as ours."""
    for purpose in BUCKETS:
        name = f"waybill-{values['environment']}-{purpose}-{values['account_id']}"
        status = _bucket_status(client("s3"), name, values["account_id"])
        if status not in (200, 404):
            step = "Ask the owner to delete it. The name consists of environment, purpose and account."
            yield Problem(f"The bucket {name} belongs to another account or region: status {status}", step)


def _bucket_status(s3: Any, name: str, owner: str) -> int:
    try:
        s3.head_bucket(Bucket=name, ExpectedBucketOwner=owner)
    except ClientError as error:
        return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
    return 200


def certificates(client: Client, values: Values) -> Iterator[Problem]:
    """Yield what is wrong with the certificates of Airflow and of the dashboard."""
    if address := values.get("airflow_address"):
        yield from _certificate(client, address["certificate_arn"], address["host"], values["region"])
    if certificate := values.get("dashboard_certificate"):
        yield from _certificate(client, certificate["acm_arn"], certificate["host"], "us-east-1")


def _certificate(client: Client, arn: str, host: str, place: str) -> Iterator[Problem]:
    step = "docs/do/deploy-aws.md, step 3."
    if arn.split(":")[2:4] != ["acm", place]:
        yield Problem(f"The certificate of {host} is no ACM certificate in {place}: {arn}", f"Request it there: {step}")
        return
    try:
        found = client("acm", place).describe_certificate(CertificateArn=arn)["Certificate"]
    except ClientError as error:
        yield Problem(f"The certificate of {host} cannot be read: {error}", step)
        return
    if found["Status"] != "ISSUED":
        yield Problem(f"The certificate of {host} is {found['Status']}", f"Create its DNS record, and wait: {step}")
    names = {found.get("DomainName", ""), *found.get("SubjectAlternativeNames", [])}
    if not names & {host, "*." + host.partition(".")[2]}:
        yield Problem(f"The certificate is for {', '.join(sorted(names))}, not for {host}", f"Request another: {step}")


def issuer(fetch: Callable[[str], bytes], values: Values) -> Iterator[Problem]:
    """Yield a problem if the OIDC issuer does not publish its addresses under its own name.

    Args:
        fetch: returns the content of an address; raises `OSError`.
        values: values by variable.
    """
    if not (oidc := values.get("oidc")):
        return
    name, step = oidc["issuer"], "Correct oidc.issuer: docs/do/deploy-aws.md, step 4."
    if not name.startswith("https://"):
        yield Problem(f"The OIDC issuer {name} does not use HTTPS", step)
        return
    address = name.rstrip("/") + "/.well-known/openid-configuration"
    try:
        document = json.loads(fetch(address))
    except (OSError, ValueError) as error:
        yield Problem(f"The OIDC issuer does not answer at {address}: {error}", step)
        return
    if not isinstance(document, dict) or document.get("issuer") != name:
        yield Problem(f"{address} does not name the issuer {name}", f"Use exactly the name that it has there. {step}")
    elif not {"authorization_endpoint", "token_endpoint", "jwks_uri"} <= document.keys():
        yield Problem(f"{address} lacks addresses for log-in", step)


def _fetch(address: str) -> bytes:
    try:
        with urlopen(Request(address, headers={"Accept": "application/json"}), timeout=TIMEOUT) as answer:
            return bytes(answer.read(1_000_000))
    except URLError as error:
        raise OSError(error.reason) from None


def vcpus(values: Values) -> float:
    """Return the most vCPUs that services of Airflow use: all workers, and twice of all during a deployment."""
    airflow = values["airflow"]
    services, workers = airflow["services"], airflow.get("max_workers", 1)
    most = {name: max(one["tasks"], workers * (name == "worker")) for name, one in services.items()}
    return float(2 * sum(one["cpu"] / 1024 * most[name] for name, one in services.items()))


def quotas(client: Client, values: Values) -> Iterator[Problem]:
    """Yield the quotas that are too low for what the environment needs beside what others use."""
    name, ec2 = f"waybill-{values['environment']}", client("ec2")
    spot = values["airflow"]["spot"]
    used = dict.fromkeys((VCPUS, SPOT_VCPUS), 0.0)
    for cpu, on_spot in _fargate_tasks(client("ecs"), name):
        used[SPOT_VCPUS if on_spot else VCPUS] += cpu
    used[VPCS] = sum(_tag(vpc, "Name") != name for vpc in ec2.describe_vpcs()["Vpcs"])
    used[ADDRESSES] = sum(
        not _tag(one, "Name").startswith(f"{name}-nat-") for one in ec2.describe_addresses()["Addresses"]
    )
    pages = client("rds").get_paginator("describe_db_instances").paginate()
    ours = {f"{name}-warehouse", f"{name}-metadata"}
    used[INSTANCES] = sum(one["DBInstanceIdentifier"] not in ours for page in pages for one in page["DBInstances"])
    wanted = {
        VCPUS: 0.5 + (0 if spot else vcpus(values)),  # 0.5 of a task that runs once
        SPOT_VCPUS: vcpus(values) if spot else 0,
        VPCS: 1,
        ADDRESSES: values["network"]["nat_gateways"],
        INSTANCES: len(ours),
    }
    for quota, need in wanted.items():
        if need and (limit := _limit(client("service-quotas"), quota)) < used[quota] + need:
            step = (
                f"aws service-quotas request-service-quota-increase --service-code {quota.service} "
                f"--quota-code {quota.code} --desired-value {-(-(used[quota] + need) // 1):.0f}"
            )
            text = f"{quota.what}: {limit:g} allowed, {used[quota]:g} used by others, {need:g} needed"
            yield Problem(text, step)


def _limit(client: Any, quota: Quota) -> float:
    """Return the account's limit, or the limit of all accounts if the account has none of its own."""
    asked = {"ServiceCode": quota.service, "QuotaCode": quota.code}
    try:
        found = client.get_service_quota(**asked)
    except client.exceptions.NoSuchResourceException:
        found = client.get_aws_default_service_quota(**asked)
    return float(found["Quota"]["Value"])


def _fargate_tasks(ecs: Any, ours: str) -> Iterator[tuple[float, bool]]:
    """Yield the vCPUs of each task of other clusters, and whether it runs on Spot."""
    for clusters in ecs.get_paginator("list_clusters").paginate():
        for cluster in clusters["clusterArns"]:
            if cluster.endswith(f"/{ours}"):
                continue
            for page in ecs.get_paginator("list_tasks").paginate(cluster=cluster, launchType="FARGATE"):
                if page["taskArns"]:
                    for task in ecs.describe_tasks(cluster=cluster, tasks=page["taskArns"])["tasks"]:
                        yield int(task.get("cpu", 0)) / 1024, task.get("capacityProviderName") == "FARGATE_SPOT"


def _tag(resource: dict[str, Any], name: str) -> str:
    return next((tag["Value"] for tag in resource.get("Tags", []) if tag["Key"] == name), "")


def service_roles(client: Client, values: Values) -> Iterator[Problem]:
    """Yield the service-linked roles that are missing. AWS creates them too late for the first apply."""
    iam = client("iam")
    for service in SERVICES:
        needed = service != "elasticache.amazonaws.com" or values.get("broker")
        if needed and not iam.list_roles(PathPrefix=f"/aws-service-role/{service}/")["Roles"]:
            step = f"aws iam create-service-linked-role --aws-service-name {service}"
            yield Problem(f"The role of {service} does not exist", step)


def github(client: Client, values: Values) -> Iterator[Problem]:
    """Yield a problem if the account knows GitHub's OIDC provider and Terraform would create it, or the reverse."""
    declared, arn = bool(values.get("oidc_provider_is_there")), f":oidc-provider/{ISSUER}"
    iam = client("iam")
    there = [one["Arn"] for one in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]]
    found = next((one for one in there if one.endswith(arn)), None)
    if found is None:
        if declared:
            yield Problem("The account does not know GitHub's OIDC provider", "Remove oidc_provider_is_there.")
        return
    made_here = _tag(iam.get_open_id_connect_provider(OpenIDConnectProviderArn=found), "Environment")
    if made_here == values["environment"] and declared:
        step = "Remove oidc_provider_is_there. Otherwise Terraform deletes the provider."
        yield Problem("GitHub's OIDC provider was created by this environment", step)
    elif made_here != values["environment"] and not declared:
        yield Problem("The account knows GitHub's OIDC provider already", "Set oidc_provider_is_there = true.")


def cost_monitor(client: Client, values: Values) -> Iterator[Problem]:
    """Yield a problem if the account has a monitor of its services already: there can be only one."""
    if values.get("anomaly_usd") is None:
        return
    try:
        monitors = client("ce", "us-east-1").get_anomaly_monitors()["AnomalyMonitors"]
    except ClientError as error:
        step = "Open Cost Explorer in the console once, and wait a day; or set anomaly_usd = null until then."
        yield Problem(f"Cost Anomaly Detection does not answer: {error}", step)
        return
    declared, own = values.get("anomaly_monitor_arn"), f"waybill-{values['environment']}-services"
    there = {one["MonitorArn"]: one["MonitorName"] for one in monitors if one.get("MonitorDimension") == "SERVICE"}
    if declared and declared not in there:
        yield Problem(f"The account has no monitor {declared}", "Correct or remove anomaly_monitor_arn.")
    for arn, name in there.items():
        if not declared and name != own:
            text = "The account has a monitor of its services already, and can have only one"
            yield Problem(text, f'Set anomaly_monitor_arn = "{arn}".')


def image(client: Client, values: Values) -> Iterator[Problem]:
    """Yield what is missing for Airflow, once there is an image: the image, and the secret of the OIDC client."""
    if not values.get("image"):
        return
    repository, _, digest = values["image"].partition("@")
    ecr, secrets = client("ecr"), client("secretsmanager")
    try:
        ecr.describe_images(repositoryName=repository.partition("/")[2], imageIds=[{"imageDigest": digest}])
    except (ecr.exceptions.ImageNotFoundException, ecr.exceptions.RepositoryNotFoundException):
        step = "Push it, or remove `image` for an apply without Airflow: docs/do/deploy-aws.md, step 9."
        yield Problem(f"The image {values['image']} does not exist", step)
    name = f"waybill-{values['environment']}/airflow"
    try:
        described = secrets.describe_secret(SecretId=name)
    except secrets.exceptions.ResourceNotFoundException:
        described = {}
    if not described.get("VersionIdsToStages"):
        step = "Write the secret of the OIDC client into it: docs/do/deploy-aws.md, step 10."
        yield Problem(f"The secret {name} has no value", step)


def problems(client: Client, fetch: Callable[[str], bytes], values: Values) -> Iterator[Problem]:
    """Yield everything that is missing beside values. A check that AWS denies is a problem, too."""
    wrong = list(credentials(client, values))
    yield from wrong
    yield from _with_errors("issuer", issuer(fetch, values))
    if wrong:
        yield Problem("The account was not checked", "Run the check again with valid credentials.")
        return
    for check in (zones, state_bucket, buckets, certificates, quotas, service_roles, github, cost_monitor, image):
        yield from _with_errors(check.__name__.replace("_", " "), check(client, values))


def _with_errors(check: str, found: Iterator[Problem]) -> Iterator[Problem]:
    try:
        yield from found
    except (BotoCoreError, ClientError) as error:
        yield Problem(f"Not checked ({check}): {error}", "Use credentials of an administrator.")
    except KeyError as error:
        yield Problem(
            f"Not checked ({check}): {error} has no value", "terraform.tfvars.example shows the form of values."
        )


def main() -> None:
    """Print all problems, each with the next step."""
    if len(sys.argv) != 2 or sys.argv[1] not in ("dev", "staging", "prod"):
        sys.exit("Name the environment: make deploy-check ENVIRONMENT=dev (or staging, or prod)")
    values, found = settings(ROOT / "terraform" / "environments" / sys.argv[1])
    found += tools()
    if {"account_id", "region", "state_bucket"} <= values.keys():

        def client(service: str, place: str = values["region"]) -> Any:
            return boto3.client(service, region_name=place)

        found += region(values, dict(os.environ))
        found += problems(client, _fetch, values)
    else:
        found.append(Problem("The account was not checked", "Run the check again with these values."))
    for number, problem in enumerate(found, 1):
        print(f"{number}. {problem.text}.\n   {problem.step}")
    print(f"{len(found)} problems." if found else "Nothing is missing.")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
