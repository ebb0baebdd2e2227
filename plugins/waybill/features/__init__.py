"""Features for models: versions of views, their values by time, and what is read of them."""
