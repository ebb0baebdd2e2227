"""Tables computed from loaded rows: star schemas, marts and reports."""
