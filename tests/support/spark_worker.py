"""One Spark session that answers requests, beside the tests. Each line of the input is the address of a request."""

from __future__ import annotations

import sys

from waybill.lakehouse.exchange import receive_request, send
from waybill.lakehouse.job import answer
from waybill.lakehouse.session import open_session


def main() -> None:
    import boto3

    s3, spark = boto3.client("s3"), None
    for line in sys.stdin:
        address = line.strip()
        request = receive_request(s3, address)
        spark = spark or open_session(request.domain, request.lake)
        send(s3, f"{address.rpartition('/')[0]}/result.json", answer(spark, request))
        print(address, flush=True)
    if spark:
        spark.stop()


if __name__ == "__main__":
    main()
