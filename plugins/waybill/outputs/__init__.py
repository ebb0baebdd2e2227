"""Copies that leave the warehouse: published reports and the Parquet files of the lake, masked."""
