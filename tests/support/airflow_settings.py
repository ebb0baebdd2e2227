"""Settings of Airflow for the stacks of tests."""

from __future__ import annotations

RARE_PARSING = {"AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300"}
"""DAG files are parsed when they change. Parsing them every 30 s took a quarter of the processor time of the tests."""
