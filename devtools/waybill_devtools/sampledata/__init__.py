"""Seeded generators of sample files with injected errors, each with its ground truth."""
