"""The live view: what the consumers of a stream have counted."""
