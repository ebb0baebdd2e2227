"""The views in Airflow's user interface: business, which is also a static site, and data operations."""
