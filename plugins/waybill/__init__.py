"""Waybill: files in S3 become audited tables and reports, and every number can be traced to its files."""
