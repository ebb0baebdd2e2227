"""The plans of all environments: services change after the migration, dev leaves nothing behind, prod keeps its data.

The plans are made by the program that TF_OFFLINE names; without it these tests are skipped.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from waybill.settings import PROJECT_ROOT

OFFLINE = os.environ.get("TF_OFFLINE", "")
TREE = PROJECT_ROOT / ".waybill" / "terraform"
pytestmark = pytest.mark.skipif(not OFFLINE, reason="TF_OFFLINE is not set: there is no plan")


@pytest.fixture(scope="module")
def plans() -> dict[str, Any]:
    subprocess.run(["make", "--silent", "plans", f"TF_OFFLINE={OFFLINE}"], cwd=PROJECT_ROOT, check=True)
    return {name: json.loads((TREE / f"plan-{name}.json").read_text()) for name in ("dev", "staging", "prod")}


def planned(plan: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Return the values of the planned resources of a type, by address."""

    def walk(module: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        yield from ((one["address"], one["values"]) for one in module.get("resources", []) if one["type"] == kind)
        for child in module.get("child_modules", []):
            yield from walk(child)

    return dict(walk(plan["planned_values"]["root_module"]))


def values(plan: dict[str, Any], kind: str, name: str) -> set[Any]:
    """Return the different values of an attribute of the planned resources of a type."""
    found = [resource.get(name) for resource in planned(plan, kind).values()]
    assert found, kind
    return set(found)


def test_services_wait_for_the_migration_and_it_for_bootstrap(plans: dict[str, Any]) -> None:
    for plan in plans.values():
        airflow = plan["configuration"]["root_module"]["module_calls"]["airflow"]["module"]["resources"]
        needs = {one["address"]: set(one.get("depends_on", [])) for one in airflow}

        def behind(address: str, needs: dict[str, set[str]] = needs) -> set[str]:
            direct = needs.get(address, set())
            return direct.union(*(behind(one) for one in direct))

        services = [address for address in needs if address.startswith("aws_ecs_service.")]
        assert len(services) == 3
        for service in services:
            assert {"terraform_data.migrate", "terraform_data.bootstrap"} <= behind(service), service
        assert "terraform_data.bootstrap" in behind("terraform_data.migrate")


def test_dev_is_one_service_without_a_broker(plans: dict[str, Any]) -> None:
    services = {name: len(planned(plan, "aws_ecs_service")) for name, plan in plans.items()}
    assert services == {"dev": 1, "staging": 5, "prod": 5}
    brokers = {name: len(planned(plan, "aws_elasticache_replication_group")) for name, plan in plans.items()}
    assert brokers == {"dev": 0, "staging": 1, "prod": 1}


def test_dev_can_be_destroyed_and_applied_again_and_again(plans: dict[str, Any]) -> None:
    dev = plans["dev"]
    assert values(dev, "aws_s3_bucket", "force_destroy") == {True}
    assert values(dev, "aws_athena_workgroup", "force_destroy") == {True}
    assert values(dev, "aws_ecr_repository", "force_delete") == {True}
    assert values(dev, "aws_db_instance", "skip_final_snapshot") == {True}
    assert values(dev, "aws_db_instance", "deletion_protection") == {False}
    assert values(dev, "aws_secretsmanager_secret", "recovery_window_in_days") == {0}
    assert values(dev, "aws_lb", "enable_deletion_protection") == {False}


def test_prod_keeps_its_data(plans: dict[str, Any]) -> None:
    prod = plans["prod"]
    assert values(prod, "aws_s3_bucket", "force_destroy") == {False}
    assert values(prod, "aws_ecr_repository", "force_delete") == {False}
    assert values(prod, "aws_db_instance", "skip_final_snapshot") == {False}
    assert values(prod, "aws_db_instance", "deletion_protection") == {True}
    assert values(prod, "aws_secretsmanager_secret", "recovery_window_in_days") == {7}
    names = values(prod, "aws_db_instance", "final_snapshot_identifier")
    assert len(names) == 2


def test_no_ingress_is_open(plans: dict[str, Any]) -> None:
    for plan in plans.values():
        sources = values(plan, "aws_vpc_security_group_ingress_rule", "cidr_ipv4")
        assert not {one for one in sources if one and one.endswith("/0")}
        assert not planned(plan, "aws_security_group_rule")
        assert {bool(one.get("ingress")) for one in planned(plan, "aws_security_group").values()} == {False}


def test_all_groups_of_logs_expire(plans: dict[str, Any]) -> None:
    kept = {name: values(plan, "aws_cloudwatch_log_group", "retention_in_days") for name, plan in plans.items()}
    assert kept == {"dev": {30}, "staging": {90}, "prod": {365}}


def test_the_first_deployment_tells_how_much_a_plan_creates(plans: dict[str, Any]) -> None:
    page = (PROJECT_ROOT / "docs" / "do" / "deploy-aws.md").read_text()
    first, then = map(int, re.findall(r"Plan: (\d+) to add, 0 to change", page))
    created = sum(one["change"]["actions"] == ["create"] for one in plans["dev"]["resource_changes"])
    assert f"dev has {created} resources" in page
    assert f"the same {created} resources in two steps ({first} and {then})" in page
    assert created == first + then
