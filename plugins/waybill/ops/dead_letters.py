"""Messages about landed files that SQS moved to a dead-letter queue, because nobody processed them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final

from waybill.contracts.domains import dead_letter_url

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

log = logging.getLogger(__name__)

KEPT_SECONDS: Final = 60
"""How long a count, or the failure to count, is kept."""


@dataclass(frozen=True)
class DeadLetters:
    """The messages in the dead-letter queue of a domain."""

    domain: str
    queue: str
    """The name of the queue."""
    arn: str
    messages: int
    """About how many there are."""


class DeadLetterCounts:
    """Counts the messages in dead-letter queues, at most once a minute for each queue.

    A queue that cannot be read counts as empty, with a warning in the log: a page must not fail because of it.
    """

    def __init__(self, client: Callable[[], SQSClient]) -> None:
        """`client` returns a client of SQS with short timeouts."""
        self._client = client
        self._known: dict[str, tuple[float, DeadLetters | None]] = {}
        self.is_complete = True
        """Whether all queues of the last call could be read."""

    def __call__(self, domains: Sequence[str]) -> list[DeadLetters]:
        """Return the dead-letter queues of domains that have messages."""
        urls = {domain: url for domain in domains if (url := dead_letter_url(domain))}
        found: list[DeadLetters] = []
        self.is_complete = True
        for domain, url in urls.items():
            until, known = self._known.get(url, (0.0, None))
            if monotonic() >= until:
                try:
                    known = self._count(domain, url)
                except Exception as error:  # no error of AWS may fail the page
                    log.warning("the messages in %s cannot be counted: %s", url, error)
                    # The other queues are most likely not available, either. Each would delay the page.
                    self._known |= dict.fromkeys(urls.values(), (monotonic() + KEPT_SECONDS, None))
                    self.is_complete = False
                    return found
                self._known[url] = (monotonic() + KEPT_SECONDS, known)
            if known is not None and known.messages:
                found.append(known)
        return found

    def _count(self, domain: str, url: str) -> DeadLetters:
        names: Final = ("ApproximateNumberOfMessages", "QueueArn")
        values = self._client().get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        arn = values["QueueArn"]
        return DeadLetters(domain, arn.rpartition(":")[2], arn, int(values["ApproximateNumberOfMessages"]))
