"""The values for Airflow's chart. The workflow `checks` renders the chart with them, which needs Helm and the chart."""

from __future__ import annotations

import configparser
import re
from typing import Any

import pytest
import yaml

from waybill.settings import PROJECT_ROOT

FILE = PROJECT_ROOT / "deploy" / "helm" / "values.yaml"
# Sections of the chart's values that may be used. The chart is not in any registry of packages, and its schema has
# 400 kB: here, only the names of the sections are compared.
SECTIONS = {
    "airflowLocalSettings", "airflowVersion", "apiSecretKeySecretName", "apiServer", "config", "createUserJob",
    "dagProcessor", "data", "env", "executor", "fernetKeySecretName", "ingress", "jwtSecretName", "migrateDatabaseJob",
    "postgresql", "redis", "scheduler", "secret", "statsd", "triggerer", "workers",
}  # fmt: skip
ELSEWHERE = {"celery", "celery_broker_transport_options"}


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return loaded


def locked(package: str) -> str:
    text = "".join((PROJECT_ROOT / name).read_text() for name in ("requirements.txt", "requirements-image.txt"))
    [version] = set(re.findall(rf"(?m)^{package}==(\S+)", text))
    return str(version)


def test_only_known_sections_are_used(values: dict[str, Any]) -> None:
    assert values.keys() == SECTIONS


def test_versions_are_those_of_the_image(values: dict[str, Any]) -> None:
    assert values["airflowVersion"] == locked("apache-airflow")
    assert values["executor"] == "KubernetesExecutor"
    assert locked("apache-airflow-providers-cncf-kubernetes")
    chart = re.findall(r"1\.\d+\.\d+", FILE.read_text().splitlines()[0])
    for text in ("docs/do/kubernetes.md", ".github/workflows/checks.yaml"):
        assert re.findall(r"--version (\S+)", (PROJECT_ROOT / text).read_text()) == chart


def test_secrets_come_from_an_existing_secret(values: dict[str, Any]) -> None:
    names = {values[key] for key in ("fernetKeySecretName", "apiSecretKeySecretName", "jwtSecretName")}
    names |= {values["data"]["metadataSecretName"], *(one["secretName"] for one in values["secret"])}
    assert names == {"waybill"}
    guide = (PROJECT_ROOT / "docs" / "do" / "kubernetes.md").read_text()
    created = set(re.findall(r"--from-literal=([a-z-]+)=", guide))
    read_by_the_chart = {"connection", "fernet-key", "api-secret-key", "jwt-secret"}
    assert created == read_by_the_chart | {one["secretKey"] for one in values["secret"]}
    assert not {one["name"] for one in values["env"]} & {one["envName"] for one in values["secret"]}


def test_nothing_is_reached_from_outside(values: dict[str, Any]) -> None:
    assert values["ingress"] == {"apiServer": {"enabled": False}}
    assert values["apiServer"]["service"] == {"type": "ClusterIP"}
    assert values["config"]["core"]["auth_manager"].endswith("FabAuthManager")
    assert values["createUserJob"]["defaultUser"]["enabled"] is False


def test_settings_are_those_of_the_image(values: dict[str, Any]) -> None:
    shared = configparser.ConfigParser(interpolation=None)
    shared.read(PROJECT_ROOT / "containers" / "airflow.cfg")
    for section in set(shared.sections()) - ELSEWHERE:
        given = {option: str(value) for option, value in values["config"][section].items()}
        assert given.items() >= dict(shared[section]).items(), section


def test_each_component_has_resources_and_a_probe_that_the_image_can_run(values: dict[str, Any]) -> None:
    for name in ("apiServer", "scheduler", "dagProcessor", "triggerer", "workers"):
        assert values[name]["resources"]["limits"].keys() == {"memory"}, name
        assert values[name]["resources"]["requests"].keys() == {"cpu", "memory"}, name
    for name in ("scheduler", "dagProcessor", "triggerer"):
        assert values[name]["livenessProbe"]["command"][:3] == ["airflow", "jobs", "check"]
        assert values[name]["logGroomerSidecar"] == {"enabled": False}
    assert values["migrateDatabaseJob"]["args"][-1] == "waybill migrate && exec airflow db migrate"
