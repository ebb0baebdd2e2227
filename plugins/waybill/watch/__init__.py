"""Watch what arrives: values of a dataset that differ from what its past periods let expect."""
