"""Seeded generators of sample files, each with an answer key of everything that was planted in them."""
