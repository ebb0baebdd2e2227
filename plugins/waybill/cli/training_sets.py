"""Commands about training sets: features training-set, features training-sets, features delete-set."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated, Final

import typer

from waybill.cli.arguments import local_folder
from waybill.cli.features import features_app
from waybill.cli.terminal import operating_system_user, print_line, print_message, report_errors

if TYPE_CHECKING:
    from waybill.features.deleted_sets import Deletion
    from waybill.features.stored_sets import StoredSet
    from waybill.features.training_set import TrainingSet

_WIDTH: Final = 80
"""Of lines that are broken between words."""


@features_app.command("training-set")
@report_errors
def training_set(
    entities: Annotated[
        Path, typer.Option(help="A CSV or Parquet file of labels: the entity columns of the views and an instant.")
    ],
    views: Annotated[str, typer.Option(help="Versions of views with commas between them, such as payer_spend:1.")],
    as_of_now: Annotated[
        bool, typer.Option("--as-of-now", help="Take the values that are known now. Such a set leaks the future.")
    ] = False,
    time_column: Annotated[str, typer.Option(help="The column with the instant of each label.")] = "ts",
    domain: Annotated[str | None, typer.Option(help="The domain, if several have a view of the name.")] = None,
    name: Annotated[str | None, typer.Option(help="The name of the set. Default: the first view and a hash.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="A folder for the files. Default: `training/` in the lake's bucket.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest.")] = False,
) -> None:
    """Make a training set: for each label, the values that were known at its time. Writes Parquet and a manifest."""
    import boto3

    from waybill.features.set_tables import find_catalog
    from waybill.features.stored_sets import store
    from waybill.features.training_set import prepare
    from waybill.warehouse.connection import connect

    if output:
        local_folder(output, "--output", "the set goes to `training/` in the lake's bucket")
    wanted = prepare(entities, views, domain=domain, time_column=time_column, as_of_now=as_of_now)
    _warn_of_unbuilt(wanted)
    s3 = boto3.client("s3")
    catalog = None if output else find_catalog(boto3.Session(), s3)
    by = operating_system_user()
    stored = store(wanted, connect, by, name=name, target=output or s3, catalog=catalog)
    if as_json:
        print(json.dumps(stored.manifest, indent=2, ensure_ascii=False))
        return
    _print(stored)


def _warn_of_unbuilt(wanted: TrainingSet) -> None:
    """Warn of delivered periods without values: after the first set of a version, they are no history any more.

    Raises `NotBuilt` for a version that was never built, and `ContractError` for one whose files have changed since.
    """
    from waybill.derived.feature import built_from
    from waybill.derived.refresh_features import unbuilt_periods
    from waybill.formatting import count, some_of
    from waybill.warehouse.connection import connect

    with connect() as connection:
        for view in wanted.join.views:
            built_from(connection, view)
        found = [(view, unbuilt_periods(connection, view)) for view in wanted.join.views]
    for view, periods in found:
        if periods:
            print_message(
                f"{view.name} is not built for {count(len(periods), 'delivered period')}: "
                f"{some_of([period.key for period in periods])}. This set has no values of them"
                + ("." if wanted.join.as_of_now else ", and what is built later is known only when it is built."),
                "yellow",
            )


def _print(stored: StoredSet) -> None:
    from waybill.formatting import count

    manifest = stored.manifest
    print_line(f"{stored.name}: {count(stored.row_count, 'row')} {manifest['mode']}, in {stored.location}")
    if "table" in manifest:
        print_line(f"Table in the lake: {manifest['table']}, snapshot {manifest['snapshot_id']}")
    print_line(f"Hash of the rows: {stored.content_sha256}")
    for view in manifest["views"]:
        missing = view["rows_without_value"]
        print_line(f"  {view['name']}: {count(stored.row_count - missing, 'row')} with a value, {missing:,} without")
    if "leak" in manifest:
        rows = manifest["leak"]["rows"]
        print_message(fill(manifest["leak"]["warning"], _WIDTH), "yellow")
        print_message(
            f"{count(rows, 'row')} of {stored.row_count:,} have other values than in the set as known; the manifest "
            "names them.",
            "yellow",
        )


@features_app.command("training-sets")
@report_errors
def training_sets(
    view: Annotated[
        str | None, typer.Argument(help="Only the sets of a version of a view, such as payer_spend:1.")
    ] = None,
    domain: Annotated[str | None, typer.Option(help="The domain, if several have a view of the name.")] = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="Also list the sets that were deleted.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the training sets that were made, newest first."""
    from dataclasses import asdict

    from waybill.contracts.feature_views import find_feature_view
    from waybill.features.stored_sets import stored_sets
    from waybill.formatting import iso_or_text
    from waybill.warehouse.connection import connect

    table = find_feature_view(view, domain).table if view else None
    with connect() as connection:
        found = stored_sets(connection, table=table, with_deleted=deleted)
    if as_json:
        print(json.dumps([asdict(one) for one in found], default=iso_or_text, indent=2))
    elif found:
        print_line("\n\n".join(map(_described, found)))
    else:
        print_line(f"No training set{f' of {view}' if view else ''} was made.")


def _described(one: StoredSet) -> str:
    """Return what a set is and where it is, one fact a line: addresses are too long for columns."""
    from waybill.formatting import count

    made = f"made {one.created_at:%Y-%m-%d %H:%M} by {one.created_by}"
    lines = [f"{one.name}: {count(one.row_count, 'row')} {one.manifest['mode']}, {made}"]
    if one.deleted_at:
        lines.append(f"  deleted {one.deleted_at:%Y-%m-%d %H:%M} by {one.deleted_by}")
    else:
        lines.append(f"  file:  {one.location}")
        lines += [f"  table: {one.lake_table}"] if one.lake_table else []
    views = ", ".join(view["name"] for view in one.manifest["views"])
    return "\n".join([*lines, fill(views, _WIDTH, initial_indent="  views: ", subsequent_indent=" " * 9)])


@features_app.command("delete-set")
@report_errors
def delete_set(
    name: Annotated[str, typer.Argument(help="The name of a training set.")],
    gone: Annotated[
        list[str] | None, typer.Option(help="An address of the set that nobody can reach any more. Repeat the option.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a training set: its files, its former files and its table in the lake, after listing what goes and stays.

    Its record stays, with who deleted it and when, and its name is not given to another set.
    """
    import boto3

    from waybill.features.deleted_sets import delete, plan
    from waybill.features.set_tables import find_catalog
    from waybill.warehouse.connection import connect

    s3 = boto3.client("s3")
    catalog = find_catalog(boto3.Session(), s3, to_delete=True)
    with connect() as connection:
        found = plan(connection, s3, catalog, name, gone or ())
    _print_plan(found)
    if not yes and not typer.confirm(f"Delete {name}?"):
        raise typer.Exit(1)
    done = delete(connect, s3, catalog, name, operating_system_user(), gone or ())
    print_line(f"{name} is deleted." + (" Left:" if done.left else ""))
    for line in _described_left(done):
        print_line(line)


def _print_plan(found: Deletion) -> None:
    stored = found.stored
    if stored.deleted_at:
        print_line(f"{stored.name} was deleted by {stored.deleted_by} on {stored.deleted_at:%Y-%m-%d}.")
    goes = [*found.objects, *map(str, found.files)]
    if found.table:
        goes.append(f"{found.table}, the table in the lake")
    if goes:
        print_line("\n".join(["Deletes:", *(f"  {one}" for one in goes)]), "yellow")
    stays = _described_left(found)
    if found.objects:
        stays.append("  earlier versions of these objects, until the lifecycle of the bucket removes them")
    stays.append("  the record of the set, and its name")
    print_line("\n".join(["Leaves:", *stays]))
    if found.gone:
        print_line("\n".join(["Records as gone:", *(f"  {one}" for one in found.gone)]))


def _described_left(found: Deletion) -> list[str]:
    """Return the files that a deletion leaves, and what to do about them."""
    lines = [f"  {one.address}: {one.why}" for one in found.left]
    if lines:
        lines.append("  Run the command again where these are. If one is gone, add --gone with its address")
    return lines
