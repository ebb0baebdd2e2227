"""The trigger that waits until every dataset has a file of a period."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

if TYPE_CHECKING:
    from waybill.contracts import Contract
    from waybill.period import Cadence, Period


class LandedTrigger(BaseTrigger):
    """Fires when each dataset has at least one file of the period."""

    def __init__(
        self,
        *,
        domain: str,
        datasets: list[str],
        cadence: Cadence,
        period: str,
        bucket: str,
        aws_conn_id: str,
        poke_interval: float,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.arguments: dict[str, Any] = {
            "domain": domain,
            "datasets": datasets,
            "cadence": cadence,
            "period": period,
            "bucket": bucket,
            "aws_conn_id": aws_conn_id,
            "poke_interval": poke_interval,
        }

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments, from which the triggerer creates it again."""
        return f"{type(self).__module__}.{type(self).__qualname__}", self.arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """List the bucket every `poke_interval` seconds. An error becomes an event: the task fails and is retried."""
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook

        from waybill.contracts import load_domain
        from waybill.period import Period

        of = self.arguments
        try:
            contracts = await asyncio.to_thread(load_domain, of["domain"])
            waiting = [contracts[name] for name in of["datasets"]]
            period = Period.parse(of["cadence"], of["period"])
            connecting = S3Hook(of["aws_conn_id"]).get_async_conn()  # type: ignore[no-untyped-call]
            async with await connecting as s3:
                while waiting := [one for one in waiting if not await _has_landed(s3, of["bucket"], one, period)]:
                    await asyncio.sleep(of["poke_interval"])
        except Exception as error:
            event = {"status": "error", "message": str(error)}
        else:
            event = {"status": "success"}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]


async def _has_landed(s3: Any, bucket: str, contract: Contract, period: Period) -> bool:
    """Return what `landing.has_landed` returns, with an aiobotocore client."""
    from waybill.contracts.locations import raw_prefix
    from waybill.intake.landing import is_file_of

    prefix = raw_prefix(contract.domain, contract.name, period)
    async for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        if any(is_file_of(item, bucket, contract, period) for item in page.get("Contents", [])):
            return True
    return False
