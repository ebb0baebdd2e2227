"""The settings that the image and the embedded stack share, compared with Airflow's own."""

from __future__ import annotations

import configparser
import json

from airflow.configuration import conf

from waybill.settings import PROJECT_ROOT


def shared_settings() -> configparser.ConfigParser:
    shared = configparser.ConfigParser(interpolation=None)
    shared.read(PROJECT_ROOT / "containers" / "airflow.cfg")
    return shared


def test_every_shared_setting_exists_in_airflow() -> None:
    shared = shared_settings()
    known = conf.configuration_description
    names = {(section, option) for section in shared.sections() for option in shared[section]}
    assert names
    assert {(section, option) for section, option in names if option not in known[section]["options"]} == set()


def test_a_task_waits_for_the_broker_without_using_up_a_try() -> None:
    """The time limit of an attempt to send it ends before Celery's own attempts do: only then Airflow tries again."""
    shared = shared_settings()
    policy = json.loads(shared["celery"]["extra_celery_config"])["task_publish_retry_policy"]
    waits = [min(number * policy["interval_step"], policy["interval_max"]) for number in range(policy["max_retries"])]
    assert sum(waits) > 10 * conf.getfloat("celery", "operation_timeout")
