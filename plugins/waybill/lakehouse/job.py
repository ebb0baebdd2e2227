"""The Spark job: `spark-submit job.py --request s3://lake/_spark/run/request.json`, on every platform.

It answers the request by an object beside it, `result.json`. Credentials are those of the environment.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from waybill.lakehouse.exchange import IntakeRequest, IntakeResult, ReportsRequest, ReportsResult


def main(arguments: Sequence[str] | None = None) -> None:
    """Answer one request. Arguments that the platform adds are ignored."""
    parser = argparse.ArgumentParser(description="Answer a request of Waybill's tasks.")
    parser.add_argument("--request", required=True, help="the address of the request")
    given, _ = parser.parse_known_args(arguments)

    import boto3

    from waybill.lakehouse.exchange import RESULT, beside, receive_request, send
    from waybill.lakehouse.session import open_session

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    s3 = boto3.client("s3")
    request = receive_request(s3, given.request)
    spark = open_session(request.domain, request.lake)
    send(s3, beside(given.request, RESULT), answer(spark, request))
    spark.stop()


def answer(spark: SparkSession, request: IntakeRequest | ReportsRequest) -> IntakeResult | ReportsResult:
    """Return the result of a request."""
    from waybill.lakehouse.exchange import IntakeRequest

    if isinstance(request, IntakeRequest):
        from waybill.lakehouse.intake import load

        return load(spark, request)
    from waybill.lakehouse.queries import compute

    return compute(spark, request)


if __name__ == "__main__":
    main()
