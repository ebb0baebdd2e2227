"""From a file in S3 to reconciled rows in the warehouse: list, receive, validate, load, account."""
