"""Write the files of new domains, and draft contracts from the files of a dataset."""
