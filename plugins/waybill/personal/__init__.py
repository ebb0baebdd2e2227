"""What personal data looks like: the names of columns, and the forms and check digits of values."""
