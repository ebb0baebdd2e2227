"""What development needs and production does not: the embedded stack, sample data and the demo."""
