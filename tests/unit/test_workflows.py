"""Workflows of GitHub follow the rules of this project that no linter checks."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from waybill.settings import PROJECT_ROOT

FILES = sorted((PROJECT_ROOT / ".github" / "workflows").glob("*.yaml"))


def read(name: str) -> dict[str, Any]:
    # YAML 1.1 takes the word `on` for true.
    document = yaml.safe_load((PROJECT_ROOT / ".github" / "workflows" / name).read_text())
    return {str(key): value for key, value in document.items()}


def test_there_are_the_workflows_that_the_deployment_guide_lists() -> None:
    guide = (PROJECT_ROOT / "docs" / "do" / "deployment.md").read_text().split("## The workflows")[1]
    assert set(re.findall(r"(?m)^\| `([a-z-]+)` \|", guide)) == {file.stem for file in FILES}


@pytest.mark.parametrize("name", [file.name for file in FILES])
def test_actions_are_pinned_to_commits_and_jobs_declare_permissions(name: str) -> None:
    workflow = read(name)
    assert workflow["permissions"] == {}
    text = (PROJECT_ROOT / ".github" / "workflows" / name).read_text()
    for action in re.findall(r"uses: ([^$\s].*)$", text, flags=re.MULTILINE):
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action
    for job_name, job in workflow["jobs"].items():
        assert "permissions" in job, job_name
        assert "uses" in job or job["timeout-minutes"] <= 120, job_name


def test_only_workflows_without_code_of_a_branch_may_write() -> None:
    writers = {
        (file.name, job_name): job
        for file in FILES
        for job_name, job in read(file.name)["jobs"].items()
        if {"contents", "pull-requests", "packages"} & {k for k, v in job["permissions"].items() if v == "write"}
    }
    assert writers.keys() == {("pull-request.yaml", "comment"), ("main.yaml", "release")}
    for place, job in writers.items():
        assert not any("actions/checkout" in step.get("uses", "") for step in job["steps"]), place


def test_each_workflow_has_its_triggers() -> None:
    triggers = {file.name: read(file.name)["True"] for file in FILES}
    assert set(triggers["pull-request.yaml"]) == {"pull_request"}
    assert triggers["main.yaml"] == {"push": {"branches": ["main"]}}
    assert triggers["data-quality.yaml"]["schedule"] == [{"cron": "23 */6 * * *"}]
    jobs = read("deploy.yaml")["jobs"]
    assert jobs["apply"]["environment"] == "${{ inputs.environment }}"
    assert [job.get("needs") for job in jobs.values()] == [None, "upload", "apply", "smoke"]


def test_roles_and_names_are_those_of_terraform() -> None:
    """The role of each job is one that `terraform/modules/ci` makes, for the identity that the job has."""
    ci = (PROJECT_ROOT / "terraform" / "modules" / "ci" / "main.tf").read_text()
    subjects = dict(re.findall(r"(?m)^    (\w+) += \[(.*)\]$", ci))
    assert subjects.keys() == {"plan", "publish", "deploy"}
    used = {
        (file.stem, job_name): re.findall(r"-github-(\w+)", str(job["steps"]))
        for file in FILES
        for job_name, job in read(file.name)["jobs"].items()
        if "steps" in job and "role-to-assume" in str(job["steps"])
    }
    assert used == {
        ("pull-request", "plan"): ["plan"],
        ("deploy", "upload"): ["publish"],
        ("deploy", "apply"): ["deploy"],
        ("deploy", "smoke"): ["plan"],
    }
    assert ":pull_request" in subjects["plan"]
    assert "refs/heads/main" in subjects["plan"]
    assert "refs/heads/main" in subjects["publish"]
    assert ":environment:" in subjects["deploy"]
    outputs = set(
        re.findall(r'(?m)^output "(\w+)"', (PROJECT_ROOT / "terraform/shared/platform/outputs.tf").read_text())
    )
    asked = set(re.findall(r"\$\(output (\w+)\)", (PROJECT_ROOT / "deploy" / "private.sh").read_text()))
    assert len(asked) >= 8
    assert asked <= outputs
    named = re.findall(r'value\["(\w+)"\]|"(\w+_bucket)"', (PROJECT_ROOT / "deploy" / "smoke.py").read_text())
    assert {one or other for one, other in named} <= outputs


def test_the_spark_job_is_started_with_valid_arguments() -> None:
    job = (PROJECT_ROOT / "jobs" / "transform.py").read_text()
    known = set(re.findall(r'add_argument\("(--\w+)"', job))
    compute = (PROJECT_ROOT / "terraform" / "modules" / "compute" / "main.tf").read_text()
    given = set(re.findall(r'(?m)^    "(--(?:processed|output|first|last|ranks))" ', compute))
    assert given == {"--processed", "--output"}
    assert given | {"--first", "--last", "--ranks"} == known
