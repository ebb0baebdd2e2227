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


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in read(name)["jobs"].values() for step in job.get("steps", [])]


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
    assert [name for name, job in jobs.items() if "environment" in job] == ["apply"]
    assert jobs["apply"]["environment"] == "${{ inputs.environment }}"
    needs = {name: job.get("needs") for name, job in jobs.items()}
    assert needs == {
        "build": None,
        "image": "build",
        "plan": "image",
        "apply": ["image", "plan"],
        "smoke": "apply",
    }


def test_exactly_the_approved_plan_is_applied() -> None:
    """One job makes the plan's file; the job that waits for approval applies the same file, by its checksum."""
    jobs = read("deploy.yaml")["jobs"]
    assert jobs["plan"]["with"]["digest"] == "${{ needs.image.outputs.digest }}"
    assert jobs["plan"]["with"]["save"] is True
    [step] = [step for step in jobs["apply"]["steps"] if "terraform.sh" in step.get("run", "")]
    assert step["env"]["CHECKSUM"] == "${{ needs.plan.outputs.checksum }}"
    checked, applied = step["run"].index("sha256sum --check"), step["run"].index("apply -lock-timeout=15m tfplan")
    assert checked < applied
    assert "auto-approve" not in step["run"]
    assert 'saved="s3://waybill-state-$ACCOUNT/plans/' in step["run"]
    bootstrap = (PROJECT_ROOT / "terraform" / "bootstrap" / "main.tf").read_text()
    assert 'expire_after_days = { "plans/" = 30 }' in bootstrap, "plans that nobody applies expire"
    texts = {file.name: file.read_text() for file in FILES}
    assert [name for name, text in texts.items() if " plan -lock-timeout" in text] == ["plan.yaml"]
    assert [name for name, text in texts.items() if " apply -" in text] == ["deploy.yaml"]
    uploaded = [step["with"]["path"] for step in steps("plan.yaml") if "upload-artifact" in step.get("uses", "")]
    assert uploaded == ["plans/"]  # the text: the plan itself may hold sensitive values


def test_an_image_is_built_for_both_processors_scanned_and_signed() -> None:
    jobs = read("deploy.yaml")["jobs"]
    runners = {one["platform"]: one["runner"] for one in jobs["build"]["strategy"]["matrix"]["include"]}
    assert runners == {"amd64": "ubuntu-24.04", "arm64": "ubuntu-24.04-arm"}
    assert read("checks.yaml")["jobs"]["image"]["strategy"]["matrix"]["runner"] == list(runners.values())
    assert jobs["build"]["outputs"].keys() == runners.keys()
    build = str(jobs["build"]["steps"])
    for needed in ("--sbom=true", "--provenance=mode=max", "push-by-digest=true", "anchore/scan-action@"):
        assert needed in build
    [sign] = [step["run"] for step in jobs["image"]["steps"] if "cosign sign" in step.get("run", "")]
    assert "$REPOSITORY@$DIGEST" in sign


Names = dict[str, str]


def outcome(name: str, variables: Names, event: Names) -> Names:
    """Return how each job of a workflow ends if all jobs that run succeed: `success` or `skipped`."""
    results: Names = {}
    for job_name, job in read(name)["jobs"].items():
        needs = [job["needs"]] if isinstance(job.get("needs"), str) else job.get("needs", [])
        condition = str(job.get("if", "success()")).removeprefix("${{").removesuffix("}}").strip()
        known = {f"needs.{need}.result": results[need] for need in needs} | event
        text = re.sub(r"vars\.(\w+)", lambda found: repr(variables.get(found[1], "")), condition)
        for key, value in sorted(known.items(), reverse=True):
            text = text.replace(key, repr(value))
        text = text.replace("contains(needs.*.result, 'success')", repr("success" in map(results.get, needs)))
        text = (
            text.replace("&&", " and ")
            .replace("||", " or ")
            .replace("!cancelled()", "True")
            .replace("always()", "True")
        )
        text = text.replace("success()", "True")
        # Without a status function in its condition, a job runs only if all that it needs have succeeded.
        implied = re.search(r"cancelled\(\)|always\(\)|failure\(\)", condition) is None
        ready = not implied or all(results[need] == "success" for need in needs)
        assert not re.search(r"[a-z]+\.[a-z]", re.sub(r"'[^']*'", "", text)), f"{name}, {job_name}: {text}"
        results[job_name] = "success" if ready and eval(text, {"__builtins__": {}}) else "skipped"
    return results


OWN = {"github.event.pull_request.head.repo.full_name": "example/waybill", "github.repository": "example/waybill"}
FOREIGN = OWN | {"github.event.pull_request.head.repo.full_name": "somebody/waybill"}
ALL = {f"{environment}_ACCOUNT_ID": "123456789012" for environment in ("DEV", "STAGING", "PROD")}


@pytest.mark.parametrize(
    ("workflow", "variables", "event", "running"),
    [
        ("pull-request.yaml", {}, OWN, {"checks"}),
        ("pull-request.yaml", {"DEV_ACCOUNT_ID": "1"}, OWN, {"checks", "dev", "comment"}),
        ("pull-request.yaml", ALL, OWN, {"checks", "dev", "staging", "prod", "comment"}),
        ("pull-request.yaml", ALL, FOREIGN, {"checks"}),
        ("main.yaml", {}, OWN, {"checks", "notify"}),
        ("main.yaml", {"DEV_ACCOUNT_ID": "1"}, OWN, {"checks", "dev", "notify"}),
        (
            "main.yaml",
            {"DEV_ACCOUNT_ID": "1", "PROD_ACCOUNT_ID": "2"},
            OWN,
            {"checks", "dev", "prod", "release", "notify"},
        ),
        ("main.yaml", ALL, OWN, {"checks", "dev", "staging", "prod", "release", "notify"}),
        ("data-quality.yaml", {"DEV_ACCOUNT_ID": "1"}, OWN, set()),
        ("data-quality.yaml", ALL, OWN, {"books"}),
    ],
)
def test_jobs_that_need_an_account_are_skipped_without_its_variables(
    workflow: str, variables: Names, event: Names, running: set[str]
) -> None:
    results = outcome(workflow, variables, event)
    assert {name for name, result in results.items() if result == "success"} == running


def test_a_fork_runs_no_job_that_needs_an_account() -> None:
    calls = {file.name for file in FILES if "workflow_call" in read(file.name)["True"]}
    assert calls == {"checks.yaml", "deploy.yaml", "plan.yaml"}
    assert "role-to-assume" not in (PROJECT_ROOT / ".github" / "workflows" / "checks.yaml").read_text()
    for name in ("pull-request.yaml", "main.yaml", "data-quality.yaml"):
        running = [job for job, result in outcome(name, {}, OWN).items() if result == "success"]
        for job in running:
            text = str(read(name)["jobs"][job])
            assert not re.search(r"role-to-assume|_ACCOUNT_ID|self-hosted|deploy\.yaml|plan\.yaml", text), (name, job)


def test_roles_and_names_are_those_of_terraform() -> None:
    """The role of each job is one that `terraform/modules/ci` makes, for the identity that the job has."""
    ci = (PROJECT_ROOT / "terraform" / "modules" / "ci" / "main.tf").read_text()
    subjects = dict(re.findall(r"(?m)^    (\w+) += \[(.*)\]$", ci))
    assert subjects.keys() == {"plan", "publish", "check", "deploy"}
    used = {
        (file.stem, job_name): re.findall(r"-github-(\w+)", str(job["steps"]))
        for file in FILES
        for job_name, job in read(file.name)["jobs"].items()
        if "steps" in job and "role-to-assume" in str(job["steps"])
    }
    assert used == {
        ("plan", "plan"): ["plan"],
        ("deploy", "build"): ["publish"],
        ("deploy", "image"): ["publish"],
        ("deploy", "apply"): ["deploy"],
        ("deploy", "smoke"): ["plan"],
        ("data-quality", "books"): ["check"],
    }
    assert ":pull_request" in subjects["plan"]
    assert "refs/heads/main" in subjects["plan"]
    assert "refs/heads/main" in subjects["publish"]
    assert "refs/heads/main" in subjects["check"]
    assert ":environment:" in subjects["deploy"]
    outputs = set(
        re.findall(r'(?m)^output "(\w+)"', (PROJECT_ROOT / "terraform/shared/platform/outputs.tf").read_text())
    )
    airflow = PROJECT_ROOT / "terraform" / "modules" / "airflow"
    tasks = set(re.findall(r'"(\w+)"', (airflow / "main.tf").read_text().split("tasks = toset(")[1].split(")")[0]))
    run = [step.get("run", "") for name in ("deploy.yaml", "data-quality.yaml") for step in steps(name)]
    started = [
        found for text in run for found in re.findall(r"run-task\.sh \S+ \"?(?:waybill-prod|\$NAME)-(\w+)", text)
    ]
    assert started == ["migrate", "books"]
    assert set(started) <= tasks
    named = re.findall(r'value\["(\w+)"\]|"(\w+_bucket)"', (PROJECT_ROOT / "deploy" / "smoke.py").read_text())
    assert {one or other for one, other in named} <= outputs
