"""The command seed."""

from __future__ import annotations

from typing import Annotated

import typer

from waybill.cli.terminal import app, console, report_errors

Domain = Annotated[str, typer.Option(help="Domain of the sample data.")]


@app.command()
@report_errors
def seed(
    domain: Domain = "messaging",
    last: Annotated[
        str | None, typer.Option(help="Last month or day. Default: as seeded before, else the last complete one.")
    ] = None,
    periods: Annotated[int | None, typer.Option(help="Number of months or days. Default: as in the demo.")] = None,
    scale: Annotated[float, typer.Option(help="Multiple of the rows of the demo.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Random seed; equal seeds give equal files.")] = 20260101,
) -> None:
    """Upload sample files to the raw bucket, with the ground truth of their injected errors."""
    import boto3

    from waybill.errors import DataError
    from waybill.formatting import count
    from waybill.settings import settings
    from waybill_devtools.demo import PIPELINES, sample_options
    from waybill_devtools.sampledata.files import upload

    pipeline = next((one for one in PIPELINES if one.domain == domain), None)
    if pipeline is None:
        raise DataError(
            f"there is no sample data for {domain!r}; there is for {', '.join(one.domain for one in PIPELINES)}"
        )
    s3 = boto3.client("s3")
    files = pipeline.generate(last or sample_options(s3, pipeline)[0].key, periods or pipeline.seeded, seed, scale)
    uploaded = upload(s3, settings().raw_bucket, files)
    console.print(f"{count(uploaded.uploaded, 'object')} written, {uploaded.unchanged} unchanged.")
