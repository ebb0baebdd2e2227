"""The PostgreSQL warehouse: tables from contracts, migrations of the operations schema, type-2 history."""

LARGEST_INTEGER = 2**31 - 1
"""The largest value of the type integer, which identifiers of files and numbers of records have."""
