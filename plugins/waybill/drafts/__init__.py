"""Draft contracts from files: profile every row, choose types and keys, and write YAML with each doubt as a comment."""
