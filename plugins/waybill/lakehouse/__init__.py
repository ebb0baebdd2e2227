"""Datasets and reports on Spark, with the contracts of one machine: for domains that outgrow it.

Airflow's tasks read and write PostgreSQL; the Spark job reads and writes S3 and the catalog of the lake. They exchange
JSON objects.
"""
