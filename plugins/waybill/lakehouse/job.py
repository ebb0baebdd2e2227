"""The Spark job: `spark-submit job.py --request s3://lake/_spark/run/request.json`, on every platform.

It answers the request by an object beside it, `result.json`. Credentials are those of the environment.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Answer one request. Arguments that the platform adds are ignored."""
    parser = argparse.ArgumentParser(description="Answer a request of Waybill's tasks.")
    parser.add_argument("--request", required=True, help="the address of the request")
    given, _ = parser.parse_known_args(arguments)

    import boto3

    from waybill.lakehouse.exchange import IntakeRequest, receive_request, send
    from waybill.lakehouse.session import open_session

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    s3 = boto3.client("s3")
    request = receive_request(s3, given.request)
    spark = open_session(request.domain, request.lake)
    if not isinstance(request, IntakeRequest):
        raise NotImplementedError("reports")
    from waybill.lakehouse.intake import load

    send(s3, f"{given.request.rpartition('/')[0]}/result.json", load(spark, request))
    spark.stop()


if __name__ == "__main__":
    main()
