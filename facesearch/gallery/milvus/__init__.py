"""A gallery in another engine: what is sent there, searched there and erased there."""
