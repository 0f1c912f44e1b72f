"""Tasks in logistics."""
