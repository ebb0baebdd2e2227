"""Commands of feature views: features list, features get, features new-version, features retire."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from waybill.cli.arguments import Domain
from waybill.cli.terminal import app, operating_system_user, print_line, report_errors

if TYPE_CHECKING:
    from waybill.features.versions import VersionState

features_app = typer.Typer(no_args_is_help=True, help="Feature views for models: list, read, copy and retire them.")
app.add_typer(features_app, name="features")

View = Annotated[str, typer.Argument(help="A version of a feature view, such as payer_spend:1.")]


@features_app.command("list")
@report_errors
def features_list(
    domain: Domain = None, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """List the versions of feature views, with their owners, entities and newest values."""
    from waybill.cli import tables
    from waybill.contracts.domains import domain_names, load_manifest
    from waybill.features.versions import version_states
    from waybill.formatting import iso_or_text
    from waybill.warehouse.connection import connect

    if domain:
        load_manifest(domain)  # an unknown domain is an error
    with connect() as connection:
        found = {one: version_states(connection, one) for one in ([domain] if domain else domain_names())}
    if as_json:
        print(
            json.dumps(
                [_as_data(state) for states in found.values() for state in states], default=iso_or_text, indent=2
            )
        )
    elif any(found.values()):
        tables.print_tables(*(tables.versions_table(one, states) for one, states in found.items() if states))
    else:
        print_line("There is no feature view. docs/do/add-features.md tells how to add one.")


def _as_data(state: VersionState) -> dict[str, Any]:
    view = state.view
    return {
        "view": view.name,
        "table": view.table,
        "owner": view.contract.owner,
        "entity": view.entity,
        "features": [column.name for column in view.features],
        "created_at": state.created_at,
        "retired_at": state.retired_at,
        "entities": state.entities,
        "newest": state.newest,
    }


@features_app.command("get")
@report_errors
def features_get(
    view: View,
    key: Annotated[
        list[str] | None, typer.Option(help="A column of the entity and its value: payer_id=123. Repeatable.")
    ] = None,
    domain: Domain = None,
    restricted: Annotated[bool, typer.Option("--restricted", help="Also print restricted features.")] = False,
) -> None:
    """Print the newest values of an entity as JSON. Values that are older than the ttl are null."""
    from waybill.contracts.feature_views import find_feature_view
    from waybill.errors import CommandFailed, DataError
    from waybill.features.online import as_json, read_latest
    from waybill.formatting import in_series
    from waybill.warehouse.connection import connect

    found = find_feature_view(view, domain)
    pairs = [one.partition("=") for one in key or []]
    if sorted(name for name, is_given, _ in pairs if is_given) != sorted(found.entity):
        wanted = " ".join(f"--key {name}=123" for name in found.entity)
        raise DataError(f"{found.name} is found by {in_series(found.entity)}: write it like {wanted}")
    entity = {name: value for name, _, value in pairs}
    with connect() as connection, connection.transaction():
        latest = read_latest(connection, found, entity, with_restricted=restricted)
    if latest is None:
        raise CommandFailed(f"{found.name} has no values of this entity")
    print_line(as_json(found, latest, indent=2))


@features_app.command("new-version")
@report_errors
def features_new_version(view: View, domain: Domain = None) -> None:
    """Copy the contract and the SQL of a version as those of the next one."""
    from waybill.contracts.feature_views import find_feature_view
    from waybill.features.versions import new_version
    from waybill.settings import in_project

    for path in new_version(find_feature_view(view, domain)):
        print_line(f"Wrote {in_project(path)}")
    print_line("Change the copy, and deploy it. Runs keep both versions up to date until the old one is retired.")


@features_app.command("retire")
@report_errors
def features_retire(
    view: View,
    domain: Domain = None,
    force: Annotated[bool, typer.Option("--force", help="Also if training sets rest on it.")] = False,
) -> None:
    """End a version: runs no longer build it, and its newest values are dropped. Its log stays for training sets."""
    from waybill.contracts.feature_views import find_feature_view
    from waybill.features.versions import retire
    from waybill.warehouse.connection import connect

    found = find_feature_view(view, domain)
    with connect() as connection:
        print_line(retire(connection, found, operating_system_user(), is_forced=force))
