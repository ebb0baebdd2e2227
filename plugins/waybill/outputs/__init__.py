"""Copies of tables outside the warehouse, masked: published reports, and Parquet files of the lake."""
