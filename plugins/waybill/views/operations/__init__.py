"""The data operations view: loads, checks, rejected rows and alerts. It is shown only within Airflow."""
