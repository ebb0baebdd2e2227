"""The command that publishes the business view as a static site."""

from __future__ import annotations

from waybill.cli.terminal import app, console, failures_in_words


@app.command()
@failures_in_words
def publish_dashboard() -> None:
    """Write the business view as a static site to the dashboard bucket; files with the same content stay."""
    import boto3

    from waybill.settings import settings
    from waybill.views.site import publish_dashboard as publish
    from waybill.warehouse.connection import connect

    with connect() as connection:
        written = publish(connection, boto3.client("s3"))
    place = f"s3://{settings().dashboard_bucket}/{settings().dashboard_prefix}index.html"
    console.print(f"{len(written)} files written; the site begins at {place}", soft_wrap=True)
