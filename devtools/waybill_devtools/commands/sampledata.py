"""The command that makes sample files."""

from __future__ import annotations

from typing import Annotated

import typer

from waybill.cli.terminal import app, console, report_errors

Domain = Annotated[str, typer.Option(help="Domain of the contracts.")]


@app.command()
@report_errors
def seed(
    domain: Domain = "messaging",
    last: Annotated[
        str | None, typer.Option(help="The last period to make; by default as before, or the last complete one.")
    ] = None,
    periods: Annotated[
        int | None, typer.Option(help="How many months or days; by default as many as the demo.")
    ] = None,
    scale: Annotated[float, typer.Option(help="How many times as many rows as the demo.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Another seed gives other data.")] = 20260101,
) -> None:
    """Put sample files into the raw bucket, with an ground truth of what is wrong with them."""
    import boto3

    from waybill.errors import DataError
    from waybill.settings import settings
    from waybill_devtools.demo import PIPELINES, last_period
    from waybill_devtools.sampledata.files import upload

    pipeline = next((one for one in PIPELINES if one.domain == domain), None)
    if pipeline is None:
        raise DataError(
            f"there is no sample data of {domain!r}; there is of {', '.join(one.domain for one in PIPELINES)}"
        )
    s3 = boto3.client("s3")
    files = pipeline.generate(last or last_period(s3, pipeline).key, periods or pipeline.seeded, seed, scale)
    uploaded = upload(s3, settings().raw_bucket, files)
    console.print(f"{uploaded.uploaded} objects written, {uploaded.unchanged} were there with the same content.")
