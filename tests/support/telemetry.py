"""A receiver of OpenTelemetry metrics over HTTP, which remembers what arrives."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_DELTA, Metric


class Received:
    """What arrived: the kind of each metric, the names of those that are not deltas, and the services."""

    def __init__(self) -> None:
        self.address = ""
        self.kinds: dict[str, str] = {}
        self.cumulative: set[str] = set()
        self.services: set[str] = set()

    def take(self, body: bytes) -> None:
        """Remember the metrics of a request."""
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            attributes = {one.key: one.value.string_value for one in resource.resource.attributes}
            self.services.add(attributes.get("service.name", ""))
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    self._remember(metric)

    def _remember(self, metric: Metric) -> None:
        kind = str(metric.WhichOneof("data"))
        self.kinds[metric.name] = kind
        temporality = getattr(getattr(metric, kind), "aggregation_temporality", AGGREGATION_TEMPORALITY_DELTA)
        if temporality != AGGREGATION_TEMPORALITY_DELTA:
            self.cumulative.add(metric.name)


@contextmanager
def receiver() -> Iterator[Received]:
    """Receive metrics on a free port of the loopback address until the end of the block."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.take(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        received.address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield received
        finally:
            server.shutdown()
