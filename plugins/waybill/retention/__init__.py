"""Remove what the retentions of contracts no longer keep: former states of rows, and texts of rejected rows."""
