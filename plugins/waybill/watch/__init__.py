"""Watch what arrives: values that differ from what past periods let expect, and columns that contracts do not have."""
