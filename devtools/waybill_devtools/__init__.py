"""Development without production: the embedded stack, sample data and the demo."""
