"""What people look at in Airflow's web UI: the business view, also a static site, and data operations."""
