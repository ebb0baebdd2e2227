"""deploy/terraform.sh gives Terraform the digest of the image. Small programs replace aws and terraform."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from waybill.settings import PROJECT_ROOT

DIGEST = "sha256:" + "1" * 64
REPOSITORY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/waybill-dev"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for folder in ("deploy", "terraform/environments/dev", "bin"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(PROJECT_ROOT / "deploy" / "terraform.sh", tmp_path / "deploy")
    program(tmp_path, "terraform", 'echo "$1 ${TF_VAR_image:-none}"')
    return tmp_path


def program(tree: Path, name: str, body: str) -> None:
    path = tree / "bin" / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def plan(tree: Path, **more: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": f"{tree}/bin:{os.environ['PATH']}", "ACCOUNT": "123456789012", "AWS_REGION": "eu-central-1"}
    command = [str(tree / "deploy" / "terraform.sh"), "dev", "plan", "-out=tfplan"]
    return subprocess.run(command, env={**env, "VALUES": 'owner = "a"', **more}, capture_output=True, text=True)


def test_the_digest_of_the_workflow_is_used(tree: Path) -> None:
    program(tree, "aws", "echo 'aws was called' >&2; exit 1")
    assert plan(tree, DIGEST=DIGEST).stdout == f"plan {REPOSITORY}@{DIGEST}\n"
    values = (tree / "terraform/environments/dev/terraform.tfvars").read_text()
    assert 'state_bucket = "waybill-state-123456789012"\nowner = "a"\n' in values


def test_without_a_digest_it_is_that_of_the_newest_image(tree: Path) -> None:
    program(tree, "aws", f"echo {DIGEST}")
    assert plan(tree).stdout == f"plan {REPOSITORY}@{DIGEST}\n"


@pytest.mark.parametrize("answer", ["echo None", "echo 'RepositoryNotFoundException: waybill-dev' >&2; exit 254"])
def test_before_the_first_image_there_is_none(tree: Path, answer: str) -> None:
    program(tree, "aws", answer)
    assert plan(tree).stdout == "plan none\n"


def test_another_error_of_aws_ends_it(tree: Path) -> None:
    program(tree, "aws", "echo AccessDenied >&2; exit 254")
    done = plan(tree)
    assert done.returncode != 0
    assert done.stdout == ""
    assert "AccessDenied" in done.stderr
