"""The commands, variables and outputs of docs/do/deploy-aws.md exist. botocore knows those of the AWS CLI."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import botocore.session
import pytest
from botocore import xform_name

from waybill.settings import PROJECT_ROOT

PAGE = (PROJECT_ROOT / "docs" / "do" / "deploy-aws.md").read_text()
PLATFORM = PROJECT_ROOT / "terraform" / "shared" / "platform"
GLOBAL = {"query", "output", "region", "profile"}
OF_THE_CLI = {"configure", "login", "s3", "sso"}
"""Commands of the AWS CLI that are no operations of a service."""


def commands() -> Iterator[tuple[str, str, frozenset[str]]]:
    """Yield service, operation and options of each command of the AWS CLI."""
    text = PAGE.replace("\\\n", " ")
    for found in re.finditer(r"\baws ([a-z0-9-]+) ([a-z0-9-]+)([^\n`)|]*)", text):
        service, operation, rest = found.groups()
        if service not in OF_THE_CLI:
            options = frozenset(re.findall(r"(?:^|\s)--([a-z0-9-]+)", re.sub(r"'[^']*'|\"[^\"]*\"|<[^>]*>", "_", rest)))
            yield service, operation, options - GLOBAL


@pytest.mark.parametrize(("service", "operation", "options"), sorted(set(commands()), key=str))
def test_the_aws_cli_has_the_command(service: str, operation: str, options: frozenset[str]) -> None:
    session = botocore.session.get_session()
    model = session.get_service_model(service)
    operations = {xform_name(name, "-"): name for name in model.operation_names}
    if operation == "wait":
        return
    if (service, operation) == ("ecr", "get-login-password"):  # the CLI's own
        return
    shape = model.operation_model(operations[operation]).input_shape
    assert shape is not None
    known = {xform_name(name, "-") for name in shape.members}
    flags = {f"no-{name}" for name in known}
    assert options <= known | flags
    required = {xform_name(name, "-") for name in shape.required_members}
    if options:  # a mention without options names the command only
        assert required <= options


def test_the_page_has_every_command_of_a_service() -> None:
    services = {service for service, _, _ in commands()}
    assert {"acm", "cognito-idp", "ecr", "secretsmanager", "sns", "sts"} <= services


def test_outputs_exist() -> None:
    used = set(re.findall(r"output -raw (\w+)", PAGE))
    assert used
    assert used <= set(re.findall(r'^output "(\w+)"', (PLATFORM / "outputs.tf").read_text(), re.MULTILINE))


def test_every_value_that_is_asked_for_is_explained() -> None:
    example = (PROJECT_ROOT / "terraform" / "environments" / "dev" / "terraform.tfvars.example").read_text()
    asked = set(re.findall(r"^(?:# )?(\w+) +=", example, re.MULTILINE))
    section = PAGE.split("## 5.")[1].split("## 6.")[0]
    explained = {
        name.split(".")[0]
        for row in section.splitlines()
        for name in re.findall(r"`([\w.]+)`", row.split("|")[1] if "|" in row else "")
    }
    assert explained == asked


def test_steps_that_are_named_exist() -> None:
    steps = {int(number) for number in re.findall(r"^## (\d+)\. ", PAGE, re.MULTILINE)}
    assert steps == set(range(1, len(steps) + 1))
    check = (PROJECT_ROOT / "deploy" / "check.py").read_text()
    assert {int(number) for number in re.findall(r"deploy-aws\.md, step (\d+)", check)} <= steps
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL):
        shlex.split(block, comments=True)  # quotes are closed


def blocks() -> list[str]:
    """Return the code blocks of the page, in order."""
    return re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


def test_variables_are_set_before_they_are_used() -> None:
    known: set[str] = set()
    for line in "".join(blocks()).replace("\\\n", " ").splitlines():
        new = set(re.findall(r"(?:^|export |for |[A-Z]=\S* )(\w+)(?:=| in )", line))
        used = set(re.findall(r"\$\{?(\w+)", line))
        assert used <= known | new
        known |= new


def test_a_new_shell_gets_all_variables_of_other_steps() -> None:
    assigned = r"(?:^|export |[A-Z]=\S* )(\w+)="
    steps, again = PAGE.split("## In a new shell")
    of_steps = [
        set(re.findall(assigned, block, re.MULTILINE)) for block in re.findall(r"```sh\n(.*?)```", steps, re.DOTALL)
    ]
    uses = [set(re.findall(r"\$\{?(\w+)", part)) for part in re.split(r"\n## ", steps)]
    needed = {name for names in of_steps for name in names if sum(name in used for used in uses) > 1}
    block = re.findall(r"```sh\n(.*?)```", again, re.DOTALL)[0]
    assert needed <= set(re.findall(assigned, block, re.MULTILINE))
