"""Documents agree with the code: the site has no dead link, and each alarm has a section."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest
import typer.main

from waybill.cli import app
from waybill.contracts import load_all
from waybill.contracts.domains import domain_names
from waybill.contracts.feature_views import FeatureView, feature_views
from waybill.contracts.namesakes import namesake_warnings
from waybill.contracts.odcs import load
from waybill.intake.ledger import COUNTS
from waybill.ops.alerts import MessageKind
from waybill.settings import PREFIX, PROJECT_ROOT, Settings
from waybill.views.operations.problem import SECTIONS, Topic

DOCS = PROJECT_ROOT / "docs"
RUNBOOK = (DOCS / "do" / "runbook.md").read_text()
PAGES = [PROJECT_ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")]
"""Pages that are no part of the site."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site as `make docs` does. A dead link or anchor fails, and so does a page that the navigation lacks."""
    folder = tmp_path_factory.mktemp("site")
    command = (sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder))
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_site_has_a_page_for_every_table(site: Path) -> None:
    tables = {contract.table for contract in load_all().values()}
    assert {path.parent.name for path in site.glob("reference/tables/*/index.html")} == tables


def test_the_site_lists_every_dag(site: Path) -> None:
    ids = re.findall(r'dag_id="(\w+)"', "".join(path.read_text() for path in (PROJECT_ROOT / "dags").rglob("*.py")))
    assert len(ids) >= 3
    assert re.findall(
        r'<tr>\s*<td><a href="#\w+"><code>(\w+)</code>', (site / "reference/dags/index.html").read_text()
    ) == sorted(ids)


def test_the_site_lists_every_feature_view_with_its_features(site: Path) -> None:
    text = (site / "reference/feature-views/index.html").read_text()
    views = [view for domain in domain_names() for view in feature_views(domain)]
    assert len(views) >= 5
    for view in views:
        assert re.search(
            rf"<code>{view.name}</code></a></td>(\s*<td>.*</td>){{2}}\s*<td>{len(view.features)}</td>", text
        )
        assert [column.name for column in view.features if f"<code>{column.name}</code>" not in text] == []


def test_the_site_lists_every_setting(site: Path) -> None:
    text = (site / "reference/settings/index.html").read_text()
    for name, field in Settings.model_fields.items():
        variable = field.validation_alias or PREFIX + name.upper()
        assert re.search(rf"<code>{variable}</code></td>(\s*<td>.*</td>){{2}}\s*<td>\w", text), name


def sections(text: str) -> dict[str, str]:
    """Return the text below each heading of the third level."""
    parts = re.split(r"(?m)^### (.*)$", text)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_kind_of_message_and_every_alarm_has_its_section() -> None:
    kinds = {*get_args(MessageKind)}
    folder = PROJECT_ROOT / "terraform" / "modules" / "monitoring"
    alarms_tf = (folder / "alarms.tf").read_text()
    single = set(re.findall(r"(?m)^    ([a-z][a-z-]+) = \{$", alarms_tf))
    families = {
        re.sub(r"\$\{.*\}", "", name).strip("-") for name in re.findall(r'"((?:[a-z-]|\$\{.*?\})+)" => ', alarms_tf)
    }
    assert single >= {"run-failed", "dag-import-errors", "scheduler-heartbeat", "api-errors", "root-use"}
    databases = {f"database-{what}" for what in ("cpu", "storage", "memory", "connections", "credits")}
    others = {"stale", "slow-load", "queue-age", "queue-depth", "dead-letters", "memory"}
    assert families == databases | others | {"stream-lag", "stream-silent", "stream-age"}
    # Each alarm takes its name from one of these locals.
    sources = set(re.findall(r"for_each += local\.(\w+)", alarms_tf))
    assert sources == {
        "application_alarms",
        "freshness_alarms",
        "slow_load_alarms",
        "operations_alarms",
        "api_alarms",
        "trail_alarms",
    }
    budgets = re.findall(r'resource "aws_budgets_budget"', (folder / "topics.tf").read_text())
    found = sections(RUNBOOK)
    assert kinds | single | families | {"budget" for _ in budgets} <= found.keys()
    for name, text in found.items():
        for step in ("**Meaning.**", "**Check.**", "**Fix.**", "**Afterwards.**"):
            assert step in text, f"{name} lacks {step}"


def test_each_problem_of_the_views_has_a_section(site: Path) -> None:
    assert SECTIONS.keys() == {*get_args(Topic)}
    for place in SECTIONS.values():
        page, _, anchor = place.partition(".md")
        text = (site / page / "index.html").read_text()
        assert not anchor or f'id="{anchor[1:]}"' in text, place


def test_the_sum_of_the_books_is_that_of_the_ledger() -> None:
    found = {}
    for path in [PROJECT_ROOT / "README.md", *DOCS.rglob("*.md")]:
        for terms in re.findall(r"(?m)rows[_ ]in = ([a-z+ ]+)$", path.read_text()):
            found[path.name] = tuple(terms.split(" + "))
    assert {"README.md", "intake.md", "architecture.md", "0002-ledger.md"} <= found.keys()
    assert {*found.values()} == {COUNTS[1:]}


def test_the_architecture_names_every_package() -> None:
    text = (DOCS / "why" / "architecture.md").read_text()
    package = PROJECT_ROOT / "plugins" / "waybill"
    packages = {path.parent.name for path in package.glob("*/__init__.py")}
    assert set(re.findall(r"(?m)^\| `(\w+)` \|", text)) == packages
    ground = re.search(r"Ground floor\]\n +(.*)", text)
    assert ground
    modules = {path.stem for path in package.glob("*.py")} - {"__init__", "__main__"}
    assert set(ground[1].split(" & ")) == modules
    named = re.findall(r"`((?:checks|derived|outputs|ops)/\w+)`", text)
    assert [name for name in named if not (package / f"{name}.py").exists()] == []
    steps = re.findall(r"->>\w: ([\w/, ]+): ", text)
    modules = {name if "/" in name else f"intake/{name}" for step in steps for name in re.split(", | or ", step)}
    assert len(modules) > 8
    assert [name for name in sorted(modules) if not (package / f"{name}.py").exists()] == []


def test_the_picture_of_the_packages_has_the_layers_that_the_linter_enforces() -> None:
    text = (DOCS / "why" / "architecture.md").read_text()
    pictures = re.findall(r"(?s)```mermaid\n(.*?)```", text)
    [picture] = [one for one in pictures if "subgraph ground" in one]
    chains = re.findall(r"(?m)^  (\w.*-->.*)$", picture)
    arrows = {
        (lower, upper)
        for chain in chains
        for left, right in pairwise(chain.split(" --> "))
        for lower in left.split(" & ")
        for upper in right.split(" & ")
    }
    linter = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [layer.split(" | ") for one in linter if one["type"] == "layers" for layer in reversed(one["layers"])]
    packages = [[name for name in layer if (PROJECT_ROOT / "plugins/waybill" / name).is_dir()] for layer in layers]
    steps = [["ground"], *filter(None, packages)]
    expected = {(lower, upper) for below, above in pairwise(steps) for lower in below for upper in above}
    assert arrows - {("operators", "dags[dags/]")} == expected


def test_every_decision_has_status_date_and_alternatives() -> None:
    folder = DOCS / "why" / "decisions"
    index = (folder / "index.md").read_text()
    rows = re.findall(r"(?m)^\| \[(\d+)\]\((\S+)\) \| (.*?) \| (\w+) \| (\d{4}-\d\d-\d\d) \|$", index)
    assert {name for _, name, *_ in rows} == {path.name for path in folder.glob("0*.md")}
    for number, name, title, status, day in rows:
        text = (folder / name).read_text()
        assert text.startswith(f"# {number}. {title}\n"), name
        assert f"\n{status} on {day}." in text, name
        parts = dict(re.findall(r"(?ms)^\*\*(\w+)\.\*\*(.*?)(?=^\*\*|\Z)", text))
        assert list(parts) == ["Context", "Decision", "Alternatives", "Consequences"], name
        assert parts["Alternatives"].count("\n* ") >= 1, name


def test_every_operations_table_is_described() -> None:
    folder = PROJECT_ROOT / "plugins/waybill/warehouse/migrations/versions"
    ddl = "".join(path.read_text() for path in sorted(folder.glob("*.py")))
    tables = set(re.findall(r"create table waybill\.(\w+)", ddl))
    for old, new in re.findall(r"alter table waybill\.(\w+) rename to (\w+)", ddl):
        tables = tables - {old} | {new}
    headings = re.findall(r"(?m)^### `waybill\.(\w+)`$", (DOCS / "reference/operations-tables.md").read_text())
    assert sorted(headings) == sorted(tables)


def test_the_commands_that_documents_print_exist() -> None:
    printed = [
        (path.name, line)
        for path in [PROJECT_ROOT / "README.md", *DOCS.rglob("*.md")]
        for line in re.findall(r"(?m)(?:^|`|\$ |python -m )waybill ([a-z][^`\n#]*)", path.read_text())
    ]
    assert len(printed) > 50
    for page, line in printed:
        command: Any = typer.main.get_command(app)
        words = line.split()
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        if default := getattr(command, "default", None):
            command = command.commands[default]
        assert not hasattr(command, "commands"), f"{page}: there is no command waybill {line}"
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, f"{page}: waybill {line}"


def test_the_example_of_a_feature_view_gives_no_warning(tmp_path: Path) -> None:
    [text] = re.findall(r"(?s)```yaml\n(.*?)```", (DOCS / "do" / "add-features.md").read_text())
    path = tmp_path / "shop_feature" / "customer_amount_v1.yaml"
    path.parent.mkdir()
    path.write_text(text)
    example = load(path)
    assert FeatureView.of(example).name == "customer_amount:1"
    assert namesake_warnings("shop", [*load_all().values(), example]) == []


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT_ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        path, _, heading = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        assert other.exists(), f"{page.name}: {target}"
        if heading:
            headings = re.findall(r"(?m)^#+ (.*)$", other.read_text())
            assert heading in map(anchor, headings), f"{page.name}: {target}"


def test_paths_that_documents_name_are_there() -> None:
    """Files of the project in back quotes, in the documents about shipping."""
    for name in ("do/deployment.md", "do/aws.md", "why/security.md", "why/architecture.md"):
        for path in re.findall(
            r"`((?:deploy|terraform|plugins|docs|jobs|tests|\.github)/[\w./-]+)`", (DOCS / name).read_text()
        ):
            assert (PROJECT_ROOT / path).exists(), f"{name}: {path}"


def test_the_readme_fits_on_a_few_screens() -> None:
    assert len((PROJECT_ROOT / "README.md").read_text().splitlines()) <= 120


def test_the_glossary_is_short_and_sorted() -> None:
    words = re.findall(r"(?m)^\| \*\*(.+?)\*\* \|", (DOCS / "start" / "glossary.md").read_text())
    assert 15 < len(words) <= 30
    assert words == sorted(words)


@pytest.mark.skipif(not (PROJECT_ROOT / ".git").exists() or shutil.which("git") is None, reason="no clone of git's")
def test_no_ignored_file_is_part_of_the_project() -> None:
    """Ignored files are generated; some contain paths of this machine."""
    git = ("git", "-C", str(PROJECT_ROOT), "ls-files", "--cached", "--ignored", "--exclude-standard")
    assert subprocess.run(git, capture_output=True, text=True, check=True).stdout.split() == []
