"""Commands about domains and their tables: domain new, retire."""

from __future__ import annotations

from typing import Annotated

import typer

from waybill.cli.terminal import app, print_line, report_errors

domain_app = typer.Typer(no_args_is_help=True, help="Add a domain.")
app.add_typer(domain_app, name="domain")


@domain_app.callback()
def domain() -> None:
    """Add a domain."""


@domain_app.command("new")
@report_errors
def domain_new(
    name: Annotated[str, typer.Argument(help="Name of the domain, such as billing.")],
    title: Annotated[str | None, typer.Option(help="Name in headings. Default: the name, such as Billing.")] = None,
) -> None:
    """Write the manifest, the DAG file and the folders of a domain whose files land at any time.

    Existing files are never overwritten.
    """
    from waybill.drafts.domain import write_domain
    from waybill.settings import in_project

    for path in write_domain(name, title):
        shown = in_project(path)
        print_line(f"{shown}/" if path.is_dir() else str(shown))
    print_line(f"Airflow adds the DAG {name}_reports within a few seconds. Next, draft a contract from a file:")
    print_line(f"waybill contract new FILE --domain {name} --dataset NAME")


@app.command()
@report_errors
def retire(
    table: Annotated[str, typer.Argument(help="A dataset or report with its schema, such as billing.invoices.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also if training sets rest on it.")] = False,
) -> None:
    """Drop the table of a dataset or report whose contract was deleted, after listing what goes and what stays."""
    from waybill.ops import retire as retirement
    from waybill.warehouse.connection import connect

    with connect() as connection:
        found = retirement.plan(connection, table, is_forced=force)
        print_line("\n".join(["Drops:", *(f"  {one}" for one in found.drops)]), "yellow")
        print_line("\n".join(["Keeps:", *(f"  {one}" for one in found.keeps)]))
        if not yes and not typer.confirm(f"Retire {table}?"):
            raise typer.Exit(1)
        retirement.retire(connection, found)
    print_line(f"{table} is retired.")
