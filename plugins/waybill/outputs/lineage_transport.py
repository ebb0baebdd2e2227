"""Sends events of OpenLineage with names and numbers only, and never waits long.

Airflow's provider puts more into an event than a lineage needs: the text of errors, the parameters of the run, the
attributes of the task. These may contain values of rows. This transport keeps listed facets and hands the event to
another transport, which its configuration names.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

import attr
from openlineage.client.event_v2 import RunEvent
from openlineage.client.facet_v2 import error_message_run
from openlineage.client.transport.transport import Config, Transport

if TYPE_CHECKING:
    from openlineage.client.client import Event

log = logging.getLogger(__name__)

LONGEST_SECONDS: Final = 2.0
"""How long a task waits for an event to be sent. Then the event is lost."""
RUN_FACETS: Final = frozenset({"nominalTime", "parent", "processing_engine", "tags"})
JOB_FACETS: Final = frozenset({"documentation", "jobType", "ownership", "tags"})
DATASET_FACETS: Final = frozenset({"columnLineage", "schema", "version"})
INPUT_FACETS: Final = frozenset({"inputStatistics"})
OUTPUT_FACETS: Final = frozenset({"outputStatistics"})
FAILED: Final = "The task failed. Its log in Airflow says why."


@attr.define
class NamesOnlyConfig(Config):
    """The configuration of the other transport, as for OpenLineage."""

    to: dict[str, Any]

    @classmethod
    def from_dict(cls, params: dict[str, Any]) -> NamesOnlyConfig:
        """Return the configuration. Raises `ValueError` without the other transport."""
        if not isinstance(params.get("to"), dict):
            raise ValueError(
                'the transport needs another one under "to", such as {"type": "http", "url": "https://..."}'
            )
        return cls(to=params["to"])


class NamesOnlyTransport(Transport):
    """Keeps the listed facets of an event, and sends it by another transport within two seconds or not at all."""

    kind = "names_only"
    config_class = NamesOnlyConfig

    def __init__(self, config: NamesOnlyConfig) -> None:
        from openlineage.client.transport import get_default_factory

        chosen = dict(config.to)
        if chosen.get("type") == "http":
            chosen = {"timeout": LONGEST_SECONDS, "retry": {"total": 0}} | chosen
        self.transport = get_default_factory().create(chosen)

    def emit(self, event: Event) -> None:
        """Send an event. An error and a delay are logged; neither reaches the task."""
        if not isinstance(event, RunEvent):  # datasets and jobs without a run are not ours
            return
        kept, failures = names_only(event), list[str]()

        def send() -> None:
            try:
                self.transport.emit(kept)
            except Exception as error:
                failures.append(type(error).__name__)

        sending = Thread(target=send, name="openlineage", daemon=True)
        sending.start()
        sending.join(LONGEST_SECONDS)
        if sending.is_alive() or failures:
            reason = failures[0] if failures else f"no answer within {LONGEST_SECONDS:g} seconds"
            log.warning("the lineage event of %s is lost: %s", event.job.name, reason)


def names_only(event: RunEvent) -> RunEvent:
    """Return an event with the listed facets of its run, job and datasets, and a fixed text in place of an error."""
    run_facets = _kept(event.run.facets, RUN_FACETS)
    if "errorMessage" in (event.run.facets or {}):
        run_facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(FAILED, programmingLanguage="python")
    return attr.evolve(
        event,
        run=attr.evolve(event.run, facets=run_facets),
        job=attr.evolve(event.job, facets=_kept(event.job.facets, JOB_FACETS)),
        inputs=[
            attr.evolve(one, facets=_kept(one.facets, DATASET_FACETS), inputFacets=_kept(one.inputFacets, INPUT_FACETS))
            for one in event.inputs or ()
        ],
        outputs=[
            attr.evolve(
                one, facets=_kept(one.facets, DATASET_FACETS), outputFacets=_kept(one.outputFacets, OUTPUT_FACETS)
            )
            for one in event.outputs or ()
        ],
    )


def _kept(facets: Mapping[str, Any] | None, names: frozenset[str]) -> dict[str, Any]:
    return {name: facet for name, facet in (facets or {}).items() if name in names}
