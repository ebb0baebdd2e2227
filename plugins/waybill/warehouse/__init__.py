"""The PostgreSQL warehouse: tables from contracts, migrations of the operations schema, type-2 history."""
