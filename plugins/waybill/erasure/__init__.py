"""Forget people: erase them in the warehouse, and find what is left of them elsewhere."""
